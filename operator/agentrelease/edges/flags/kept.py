"""A flag document kept in an object of the API server: the part of the lever that is the same for all kinds.

The object is never deleted, because an evaluator whose source is gone keeps what it read last: only a low
value revokes. No document is written that flagd might refuse, because it would go on with the one before:
a raise is refused in its place, and a lowering writes the lowest document, which is always valid.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from agentrelease.api.vocabulary import MANAGED_BY_LABEL, OPERATOR_NAME, RELEASE_LABEL
from agentrelease.edges.fence import Fence
from agentrelease.edges.flags import stored
from agentrelease.edges.flags.document import version_of
from agentrelease.edges.flags.schema import problem
from agentrelease.engine.levers import Reading
from agentrelease.engine.ports import Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Cluster, Kind, Object


class KeptFlags:
    """The lever on what agents may do. A kind of object says where in it the document is."""

    name: str
    side = "flags"
    kind: Kind
    claimed: tuple[str, ...] = ()  # what of an object a release claims

    def __init__(self, cluster: Cluster, *, jitter: Callable[[], float] = random.random) -> None:
        self._fence = Fence(cluster, lambda _: self.claimed, jitter=jitter)
        self._cluster = cluster
        self._written: dict[Ref, int] = {}  # so that versions grow even when a document was destroyed

    def named(self, placement: Placement) -> str | None:
        """Return the name of this placement's object, if it has one of this kind."""
        raise NotImplementedError

    def found(self, obj: Object, placement: Placement) -> Any:
        """Return the stored document, or whatever is in its place; ``None`` where there is nothing."""
        raise NotImplementedError

    def put(self, obj: Object, placement: Placement, document: dict[str, Any]) -> None:
        """Store the document in the object, and touch nothing else in it."""
        raise NotImplementedError

    async def read(self, placement: Placement) -> Reading:
        """Return what the document allows anybody but stable; no exposure where there is no document."""
        ref = self._ref(placement)
        obj = await self._fence.read(ref, placement)
        other = await self._fence.blocked(ref, placement, obj)
        if other:
            return Reading(claim=other)
        document = None if obj is None else self.found(obj, placement)
        if obj is None or document is None:
            return Reading(missing=True)
        return stored.reading(obj, document, placement)

    async def raise_(self, placement: Placement, epoch: int) -> None:
        """Write the document and its epoch, if nobody wrote since ``read``."""
        ref = self._ref(placement)
        await self._fence.raise_(ref, placement, epoch, lambda obj: self._raised(obj, placement))

    async def lower(self, placement: Placement) -> None:
        """Write the document whoever else writes; a namespace that is going away needs none."""
        ref = self._ref(placement)
        try:
            await self._fence.lower(ref, placement, lambda obj: self._lowered(obj, placement))
        except Refused as error:
            if "being terminated" not in str(error):
                raise

    async def confirm(self, placement: Placement) -> str | None:
        """Say that the stored document is not the placement's, or ``None``."""
        ref = self._ref(placement)
        obj = await self._cluster.get(ref)
        if obj is None:
            return f"{ref} does not exist"
        other = await self._fence.blocked(ref, placement, obj)
        if other:
            return other
        return stored.difference(ref, self.found(obj, placement), placement)

    def _ref(self, placement: Placement) -> Ref:
        name = self.named(placement)
        if name is None:
            raise Refused(f"the release {placement.namespace}/{placement.agent} names no {self.kind.name}")
        return Ref(self.kind, placement.namespace, name)

    def _raised(self, obj: Object | None, placement: Placement) -> Object:
        ref = self._ref(placement)
        before = None if obj is None else self.found(obj, placement)
        document = stored.amend(before, placement, self._written.get(ref, 0))
        if why := problem(document):
            raise Refused(f"{ref}: flagd would refuse the flags that were asked for: {why}")
        return self._stored(obj, placement, before, document)

    def _lowered(self, obj: Object | None, placement: Placement) -> Object:
        written = self._written.get(self._ref(placement), 0)
        before = None if obj is None else self.found(obj, placement)
        document = stored.amend(before, placement, written)
        if problem(document):
            document = stored.lowest(before, placement, written)
        return self._stored(obj, placement, before, document)

    def _stored(
        self, obj: Object | None, placement: Placement, before: Any, document: dict[str, Any]
    ) -> Object:
        ref = self._ref(placement)
        self._written[ref] = max(version_of(document), self._written.get(ref, 0))
        obj = obj or _fresh(ref, placement)
        # Events come only from objects with these labels; a person's object gets them if it has none.
        obj["metadata"]["labels"] = _labels(placement) | (obj["metadata"].get("labels") or {})
        if document != before:
            self.put(obj, placement, document)
        return obj


def _labels(placement: Placement) -> dict[str, str]:
    return {MANAGED_BY_LABEL: OPERATOR_NAME, RELEASE_LABEL: placement.agent}


def _fresh(ref: Ref, placement: Placement) -> Object:
    """Return a new object, owned by the release so that it goes when the release does."""
    metadata: dict[str, Any] = {"name": ref.name, "namespace": ref.namespace}
    if placement.owner:
        # blockOwnerDeletion would let the flags hold up the deletion of their release
        metadata["ownerReferences"] = [
            {k: v for k, v in placement.owner.items() if k != "blockOwnerDeletion"}
        ]
    return {"apiVersion": ref.kind.api_version, "kind": ref.kind.name, "metadata": metadata}
