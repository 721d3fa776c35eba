"""Keeping what somebody needs: each AgentRevision says who holds it, and goes only when nobody does.

* What is held carries a finalizer and an annotation that names its holders; an admission policy refuses
  to delete it and says by whom it is held. What nobody holds has neither.
* A look only says that a release names other revisions than before; the writing is done here, in a
  task of its own. No look waits for it, and its failure changes no exposure.
* Nothing is remembered that counts: after a start, and from time to time, everything is looked at again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agentrelease.core.holders import holders, roles
from agentrelease.engine.ports import ClusterError, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agentrelease.api.release import AgentRelease
    from agentrelease.core.holders import Case
    from agentrelease.engine.ports import Recorder, Releases

PAUSE = 2.0
"""Seconds before what failed is tried again."""

SEARCH = 600.0
"""Seconds between two looks at everything."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored revision, as far as its being held goes.

    ``finalizers`` are everybody's; ``owner`` is the uid of the release that it goes with.
    """

    namespace: str
    name: str
    version: str
    held_by: str
    finalizers: tuple[str, ...]
    deleting: bool
    owner: str = ""


class Revisions(Protocol):
    """Stored revisions and incidents."""

    async def named(self) -> Iterable[str]:
        """Return ``namespace/name`` of every release that a stored revision belongs to."""

    async def of(self, namespace: str, release: str) -> Sequence[Kept]:
        """Return the stored revisions of a release."""

    async def cases(self, namespace: str) -> Sequence[Case]:
        """Return the open incidents of a namespace."""

    async def hold(self, kept: Kept, by: Sequence[str], release: AgentRelease | None) -> None:
        """Write who holds a revision and which release it is of; nothing happens where that is so already."""


class Keeper:
    """Brings holders up to date, for ever; ``seen`` and ``gone`` are told by the looks."""

    def __init__(
        self,
        releases: Releases,
        revisions: Revisions,
        recorder: Recorder,
        *,
        leading: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._releases, self._revisions, self._recorder = releases, revisions, recorder
        self._leading, self._clock = leading, clock
        self._known: dict[str, tuple[tuple[str, str], ...]] = {}
        self._due: set[str] = set()
        self._searched = float("-inf")
        self._changed = asyncio.Event()

    def seen(self, release: AgentRelease) -> None:
        """Take a release as it is stored; if it names other revisions than before, their holders change."""
        named = roles(release)
        if self._known.get(release.key) != named:
            self._known[release.key] = named
            self.changed(release.key)

    def gone(self, key: str) -> None:
        """Take word that a release is gone; it holds nothing any more."""
        self._known.pop(key, None)
        self.changed(key)

    def changed(self, key: str) -> None:
        """Look again at the revisions of one release; all of them when the key is empty."""
        if key:
            self._due.add(key)
        else:
            self._searched = float("-inf")
        self._changed.set()

    async def run(self) -> None:
        """Keep for ever."""
        while True:
            self._changed.clear()
            done = await self.look()
            try:
                async with asyncio.timeout(SEARCH if done else PAUSE):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def look(self) -> bool:
        """Bring everything that is due up to date; return whether nothing has to be tried again soon."""
        if not self._leading():
            self._searched = float("-inf")  # whoever begins to lead has seen nothing
            return False
        await self._search()
        due, self._due = self._due, set()
        for key in sorted(due):
            try:
                await self._settle(key)
            except ClusterError as error:
                self._recorder.failed(key, "revision holders", str(error))
                self._due.add(key)
            except Exception as error:  # noqa: BLE001  one release's bug must not stop the others
                why = f"given up: {type(error).__name__}: {error}"
                self._recorder.failed(key, "revision holders", why)
        return not self._due

    async def _search(self) -> None:
        if self._clock() - self._searched < SEARCH:
            return
        try:
            self._due |= set(await self._revisions.named())
        except ClusterError as error:
            self._recorder.failed("", "revision holders", str(error))
            return
        self._searched = self._clock()

    async def _settle(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        try:
            release = await self._releases.get(key)
        except Unusable as error:  # what it names is unknown, so nothing is let go
            self._recorder.failed(key, "revision holders", str(error))
            return
        wanted = holders(release, await self._revisions.cases(namespace))
        for kept in await self._revisions.of(namespace, name):
            await self._revisions.hold(kept, wanted.get(kept.name, ()), release)


__all__ = ["Keeper", "Kept", "Revisions"]
