"""Two ways of writing an object that others write too: one that loses races, one that wins them.

Levers say *what* an object shall be, as a pure function from the stored object to the wanted one;
this module gets it there.

* ``raise_`` writes with the resourceVersion that the last ``read`` saw, stamps the writer's epoch and
  takes the note of a lowering away. A stored epoch above the writer's own is ``Refused``: a newer leader
  has been here. (An admission policy refuses it as well; see the chart.)
* ``lower`` reads and writes until it gets through, keeps the stored epoch, and leaves the reason as an
  annotation. When losing races does not end, its last try is a merge patch without a resourceVersion,
  because a busy neighbour must not keep exposure up.
* Neither writes what another release holds; ``raise_`` claims what it writes (``claims``).
* A write that would change nothing is not made, so that a lever may be called as often as one likes.
"""

from __future__ import annotations

import asyncio
import random
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agentrelease.api.vocabulary import EPOCH_ANNOTATION, LOWERED_ANNOTATION
from agentrelease.edges.claims import blocked, claim
from agentrelease.engine.ports import Conflict, Missing, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Cluster, Object, Ref

    Edit = Callable[[Object | None], Object | None]

TRIES = 10
LONGEST_NOTE = 1024

_PAUSE = 0.02  # seconds, times the number of lost races, times a random part


class Fence:
    """Guarded writes of the objects of one lever. Remembers what it read last, one line an object.

    ``parts`` says what of an object a placement claims.
    """

    def __init__(
        self,
        cluster: Cluster,
        parts: Callable[[Placement], Collection[str]],
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._cluster = cluster
        self._parts = parts
        self._jitter = jitter
        self._seen: dict[tuple[Ref, str], str] = {}

    async def read(self, ref: Ref, placement: Placement) -> Object | None:
        """Return the object; the next ``raise_`` for this agent builds on this state of it."""
        stored = await self._cluster.get(ref)
        self._seen[ref, placement.agent] = _version(stored)
        return stored

    async def blocked(self, ref: Ref, placement: Placement, obj: Object | None) -> str:
        """Say which other release the object belongs to; empty when it may be written."""
        return await blocked(self._cluster, ref, obj, self._parts(placement), placement.agent)

    async def raise_(self, ref: Ref, placement: Placement, epoch: int, edit: Edit) -> None:
        """Write what ``edit`` makes of the object; ``Conflict`` unless it is as it was last read."""
        stored = await self._cluster.get(ref)
        if self._seen.get((ref, placement.agent)) != _version(stored):
            raise Conflict(f"{ref} was written since it was last read")
        newer = epoch_of(stored)
        if newer > epoch:
            raise Refused(f"{ref} carries epoch {newer}; the writer of epoch {epoch} no longer leads")
        other = await self.blocked(ref, placement, stored)
        if other:
            raise Refused(other)
        wanted = edit(deepcopy(stored))
        if wanted is None:
            return
        claim(wanted, self._parts(placement), placement.agent)
        notes = wanted["metadata"].setdefault("annotations", {})
        notes[EPOCH_ANNOTATION] = str(epoch)
        if _is_of(notes.get(LOWERED_ANNOTATION, ""), placement.agent):
            notes.pop(LOWERED_ANNOTATION, None)
        if wanted != stored:
            written = await self._write(stored, wanted)
            self._seen[ref, placement.agent] = _version(written)

    async def lower(self, ref: Ref, placement: Placement, edit: Edit) -> None:
        """Write what ``edit`` makes of the object, whoever else writes; its ``None`` means: leave it."""
        self._seen.pop((ref, placement.agent), None)
        for lost in range(TRIES):
            stored, wanted = await self._lowered(ref, placement, edit)
            if wanted is None or wanted == stored:
                return
            try:
                await self._write(stored, wanted)
            except (Conflict, Missing):
                await asyncio.sleep(_PAUSE * lost * self._jitter())
            else:
                return
        stored, wanted = await self._lowered(ref, placement, edit)
        if stored is not None and wanted is not None:
            await self._cluster.merge(ref, difference(stored, wanted))

    async def _lowered(
        self, ref: Ref, placement: Placement, edit: Edit
    ) -> tuple[Object | None, Object | None]:
        stored = await self._cluster.get(ref)
        if await self.blocked(ref, placement, stored):
            return stored, None
        wanted = edit(deepcopy(stored))
        if wanted is not None and stored is None:
            claim(wanted, self._parts(placement), placement.agent)
        if wanted is not None and placement.note:
            notes = wanted["metadata"].setdefault("annotations", {})
            notes[LOWERED_ANNOTATION] = placement.note[:LONGEST_NOTE]
        return stored, wanted

    async def _write(self, stored: Object | None, wanted: Object) -> Object:
        return await (self._cluster.create(wanted) if stored is None else self._cluster.replace(wanted))


def epoch_of(obj: Object | None) -> int:
    """Return the epoch of the last raising write; 0 where there is none, or none that can be read."""
    value = annotations_of(obj).get(EPOCH_ANNOTATION, "")
    return int(value) if value.isascii() and value.isdigit() else 0


def note_of(obj: Object | None) -> str:
    """Return the reason that the last lowering write left behind."""
    return annotations_of(obj).get(LOWERED_ANNOTATION, "")


def annotations_of(obj: Object | None) -> dict[str, str]:
    """Return an object's annotations, which may be missing or null."""
    return ((obj or {}).get("metadata") or {}).get("annotations") or {}


def difference(old: Any, new: Any) -> Any:
    """Return the JSON merge patch (RFC 7386) that makes ``new`` of ``old``; lists are replaced whole."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    changed = {key: difference(old.get(key), value) for key, value in new.items() if old.get(key) != value}
    return changed | {key: None for key in old if key not in new}


def _version(obj: Object | None) -> str:
    return obj["metadata"]["resourceVersion"] if obj else ""


def _is_of(note: str, agent: str) -> bool:
    """Whether a note is this agent's to take away; notes begin with a revision, ``<agent>-<digest>: ``."""
    revision, colon, _ = note.partition(": ")
    return not colon or revision.rpartition("-")[0] in ("", agent)
