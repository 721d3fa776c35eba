"""The second pair of eyes: lists what the feed should have told, purges ghosts, notices blindness.

Every watch can go blind without an error: a stream that stays open and silent, a deletion that falls
into a gap. So all watched kinds are listed again from time to time.

* What a list teaches wakes releases up just as an event does; a blind feed costs time, not truth.
* Ghosts, known objects that a complete list doesn't have, are purged and reported as deleted.
* What a list taught and the feed still hasn't said after ``grace`` seconds means a blind feed:
  ``run`` raises ``BlindFeed``, and the process ends to start anew.
* An API server that can't be reached is no blindness: the list is tried again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from agentrelease.engine.ports import ClusterError, Missing, Ref
from agentrelease.engine.store import News

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agentrelease.engine.ports import Cluster, Kind, Object
    from agentrelease.engine.store import Store

    Wake = Callable[[Kind, str, str, str, Object], None]
    """Takes kind, namespace, name, what happened, and the object (empty for a ghost)."""

log = structlog.get_logger(__name__)

RELISTED = "RELISTED"
DELETED = "DELETED"


class BlindFeed(Exception):
    """The feed hasn't reported a change that a list has shown; the process should start anew."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched kind: which objects (labels), and whether a change of status alone is worth waking for.

    An ``optional`` kind may be absent from the API server.
    """

    kind: Kind
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    status_matters: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to list, how long the feed may take to catch up, how soon to retry; seconds.

    ``grace`` must outlast the feed's own repair: kopf reopens a silent watch after 70 s.
    """

    interval: float = 300.0
    grace: float = 150.0
    retry: float = 5.0


@dataclass(frozen=True, slots=True)
class Overdue:
    """A version that a list has shown and the feed hasn't."""

    version: str
    since: float


class Watchdog:
    """Takes the feed's events and its own lists, and wakes releases for what is news."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        watched: Sequence[Watched],
        wake: Wake,
        *,
        namespaces: Sequence[str] = (),
        clock: Callable[[], float],
        pace: Pace | None = None,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._watched = {item.kind: item for item in watched}
        self._wake = wake
        self._namespaces: Sequence[str | None] = tuple(namespaces) or (None,)
        self._clock = clock
        self._pace = pace or Pace()
        self._overdue: dict[Ref, Overdue] = {}
        self.listed = asyncio.Event()
        self.problem: str | None = None

    def fed(self, kind: Kind, namespace: str, name: str, event: str, obj: Object) -> None:
        """Take one event from the feed; ``event`` is the watch's type, empty for its first list."""
        ref = Ref(kind, namespace, name)
        overdue = self._overdue.get(ref)
        gone = event == DELETED
        if overdue is not None and (
            gone or _reaches(obj["metadata"].get("resourceVersion"), overdue.version)
        ):
            del self._overdue[ref]
        self._tell(ref, self._store.observe(ref, obj, gone=gone), event, obj)

    async def run(self) -> None:
        """List for ever; end with ``BlindFeed`` when the feed has fallen behind."""
        while True:
            try:
                await self.relist()
            except ClusterError as error:
                self._log_once(f"{type(error).__name__}: {error}")
                await asyncio.sleep(self._pace.retry)
                continue
            self.problem = None
            self.listed.set()
            self._judge()
            await asyncio.sleep(self._pace.interval)

    async def relist(self) -> None:
        """List every watched kind once; raise the first error only after the others had their turn."""
        failed: ClusterError | None = None
        for item in self._watched.values():
            for namespace in self._namespaces if item.kind.namespaced else (None,):
                asked = self._clock()
                try:
                    objects = await self._cluster.list(item.kind, namespace, item.labels)
                except ClusterError as error:
                    if not (item.optional and isinstance(error, Missing)):
                        failed = failed or error
                    continue
                self._take(item.kind, namespace, objects, asked)
        if failed is not None:
            raise failed

    def _take(self, kind: Kind, namespace: str | None, objects: Sequence[Object], asked: float) -> None:
        by_ref = {
            Ref(kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]): obj for obj in objects
        }
        relist = self._store.relisted(kind, namespace, objects, asked=asked)
        for ref, news in relist.news:
            version = by_ref[ref]["metadata"]["resourceVersion"]
            self._overdue.setdefault(ref, Overdue(version, self._clock()))
            self._tell(ref, news, RELISTED, by_ref[ref])
        for ref in relist.ghosts:
            self._overdue.pop(ref, None)
            log.info("ghost purged", object=str(ref))
            self._wake(ref.kind, ref.namespace, ref.name, DELETED, {})

    def _judge(self) -> None:
        late = self._clock() - self._pace.grace
        for ref, overdue in self._overdue.items():
            if overdue.since < late:
                raise BlindFeed(
                    f"The watch is blind: {ref} has been at resourceVersion {overdue.version} for "
                    f"{self._clock() - overdue.since:.0f} s and the feed hasn't said so."
                )

    def _tell(self, ref: Ref, news: News, event: str, obj: Object) -> None:
        if news is News.NONE or (news is News.STATUS and not self._watched[ref.kind].status_matters):
            return
        self._wake(ref.kind, ref.namespace, ref.name, event, obj)

    def _log_once(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("list failed", why=problem)
        self.problem = problem


def _reaches(version: str | None, wanted: str) -> bool:
    """Compare resourceVersions: decimal and growing, by the API's contract since Kubernetes 1.35."""
    if version is None:
        return False
    if version.isdecimal() and wanted.isdecimal():
        return int(version) >= int(wanted)
    return version == wanted
