"""What the feed has told us: which objects exist, at which version; never what they contain.

The store answers "is this news?" so that the echo of an own status write doesn't wake a release,
and "what exists?" so that a re-list can purge ghosts: objects whose deletion nobody told us of.
No decision is taken from it. A reconcile reads the object anew.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from agentrelease.api.vocabulary import EPOCH_ANNOTATION
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agentrelease.engine.ports import Kind, Object


class News(StrEnum):
    """What an event means, compared with what was known."""

    NEW = "new"
    CHANGED = "changed"
    STATUS = "status"  # only the status or server-side bookkeeping moved
    GONE = "gone"
    NONE = "none"  # seen before


@dataclass(frozen=True, slots=True)
class Known:
    """One object as far as waking up is concerned.

    ``intent`` is a digest of all that people and controllers may ask for: generation, labels,
    annotations, finalizers, deletion. ``active`` means that a candidate is on its way, that what serves is
    watched, or that nobody is known to serve: a status may have been lost, and with it all that would
    otherwise have a release looked at.
    """

    uid: str
    generation: int
    resource_version: str
    intent: int
    deleting: bool
    active: bool
    epoch: int

    @classmethod
    def of(cls, obj: Object) -> Known:
        """Read what is worth remembering; tolerant, because anyone may write any object."""
        metadata = _mapping(obj.get("metadata"))
        status = _mapping(obj.get("status"))
        annotations = _mapping(metadata.get("annotations"))
        return cls(
            uid=str(metadata.get("uid", "")),
            generation=_whole(metadata.get("generation")),
            resource_version=str(metadata.get("resourceVersion", "")),
            intent=_intent(metadata, obj),
            deleting="deletionTimestamp" in metadata,
            active=bool(status.get("candidate") or status.get("watch") or not status.get("stable")),
            epoch=max(_whole(annotations.get(EPOCH_ANNOTATION)), _whole(status.get("epoch"))),
        )


@dataclass(frozen=True, slots=True)
class Relist:
    """What a list taught us: news of objects, and ghosts that are gone."""

    news: tuple[tuple[Ref, News], ...]
    ghosts: tuple[Ref, ...]


class Store:
    """Everything known of the watched kinds; one event loop, not for threads."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: defaultdict[Kind, dict[Ref, Known]] = defaultdict(dict)
        self._heard: dict[Ref, float] = {}
        self._spoke: dict[Kind, float] = {}
        self._highest_epoch = 0

    def get(self, ref: Ref) -> Known | None:
        """Return what is known of an object."""
        return self._known[ref.kind].get(ref)

    def refs(self, kind: Kind, namespace: str | None = None) -> list[Ref]:
        """Return the known objects of a kind, those with a candidate on its way first."""
        known = self._known[kind]
        found = [ref for ref in known if namespace in (None, ref.namespace)]
        return sorted(found, key=lambda ref: (not known[ref].active, ref.namespace, ref.name))

    @property
    def highest_epoch(self) -> int:
        """The highest epoch seen on any object: a new leader's must be higher, even on a new Lease."""
        return self._highest_epoch

    def age(self, kind: Kind) -> float | None:
        """Seconds since the feed or a list last spoke of this kind; ``None`` if neither ever did."""
        at = self._spoke.get(kind)
        return None if at is None else self._clock() - at

    def observe(self, ref: Ref, obj: Object, *, gone: bool = False) -> News:
        """Take in one event and say what it means; events may be doubled or late."""
        self._heard[ref] = self._spoke[ref.kind] = self._clock()
        return self._learn(ref, obj, gone=gone)

    def relisted(
        self, kind: Kind, namespace: str | None, objects: Iterable[Object], *, asked: float
    ) -> Relist:
        """Take in a complete list of a kind in a namespace (``None``: in all) and purge the ghosts.

        ``asked`` is when the list was asked for, by the store's clock: what the feed has said of an
        object since then is newer than the list, which is then ignored for that object.
        """
        self._spoke[kind] = self._clock()
        newer = {ref for ref, at in self._heard.items() if ref.kind == kind and at >= asked}
        news, listed = [], set()
        for obj in objects:
            ref = Ref(kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            listed.add(ref)
            meaning = News.NONE if ref in newer else self._learn(ref, obj, gone=False)
            if meaning is not News.NONE:
                news.append((ref, meaning))
        known = self._known[kind]
        spared = listed | newer
        ghosts = tuple(ref for ref in known if namespace in (None, ref.namespace) and ref not in spared)
        for ref in ghosts:
            del known[ref]
        self._forget_heard(kind, newer)
        # a candidate on its way has exposure to look after; everything else can wait
        news.sort(key=lambda item: not known[item[0]].active)
        return Relist(tuple(news), ghosts)

    def _forget_heard(self, kind: Kind, newer: set[Ref]) -> None:
        """Drop the times of objects that are gone, once no list on its way can bring them back."""
        kept = newer | self._known[kind].keys()
        stale = [ref for ref in self._heard if ref.kind == kind and ref not in kept]
        for ref in stale:
            del self._heard[ref]

    def _learn(self, ref: Ref, obj: Object, *, gone: bool) -> News:
        of_kind = self._known[ref.kind]
        known, now = of_kind.get(ref), Known.of(obj)
        if gone:
            if known is not None and known.uid != now.uid:
                return News.NONE  # late word of a namesake that is gone already
            of_kind.pop(ref, None)
            return News.GONE
        self._highest_epoch = max(self._highest_epoch, now.epoch)
        of_kind[ref] = now
        if known is None or known.uid != now.uid:
            return News.NEW
        if known.resource_version == now.resource_version:
            return News.NONE
        ended = known.active and not now.active  # perhaps not by us: what was exposed may be so still
        return News.CHANGED if ended or known.intent != now.intent else News.STATUS


def _intent(metadata: Object, obj: Object) -> int:
    parts = [repr(metadata.get(name)) for name in ("generation", "labels", "finalizers", "deletionTimestamp")]
    annotations = _mapping(metadata.get("annotations"))
    parts.append(repr(sorted(annotations.items())))
    if "generation" not in metadata:  # ConfigMaps have none: their content is the intent
        parts.append(repr(obj.get("data")))
    return hash(tuple(parts))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
