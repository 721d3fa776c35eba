"""Traffic through a route object that a user made: the part of the lever that is the same for every router.

What is written in it, and how our parts are told from the user's, is in ``rules``. An adopted object that is
missing is never made: nothing is exposed through it. A router may know objects that are ours (``made``).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agentrelease.edges.fence import Fence, epoch_of, note_of
from agentrelease.engine.levers import Reading
from agentrelease.engine.ports import Missing, Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.core.exposure import Exposure
    from agentrelease.edges.traffic.rules import Rules
    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Cluster, Kind, Object


@dataclass(frozen=True, slots=True)
class Adopted:
    """Where a kind of route object has its rules: ``spec.<field>``, spoken in the dialect of ``rules``."""

    kind: Kind
    field: str
    rules: Rules


class AdoptedTraffic:
    """The lever on who reaches the candidate: mirror, cohort and weight."""

    name: str
    side = "traffic"
    adopted: Adopted

    def __init__(self, cluster: Cluster, *, jitter: Callable[[], float] = random.random) -> None:
        self._fence = Fence(cluster, lambda placement: placement.services, jitter=jitter)
        self._cluster = cluster

    def named(self, placement: Placement) -> str | None:
        """Return the name of this placement's object, if it has one of this kind."""
        raise NotImplementedError

    def made(self, placement: Placement) -> Object | None:  # noqa: ARG002 - an adopted object is never made
        """Return the object as it is without exposure, if it is ours whole; ``None`` if it is adopted."""
        return None

    def foreign(self, route: Object, placement: Placement) -> str:  # noqa: ARG002 - see above
        """Say why the object isn't this release's to write; empty when it is."""
        return ""

    def unaccepted(self, route: Object) -> str | None:
        """Say what the router's own status lacks; ``None`` where it says enough, or can't say anything."""
        raise NotImplementedError

    async def read(self, placement: Placement) -> Reading:
        """Return what the route allows anybody but stable; no exposure without a route or a marked rule."""
        ref = self._ref(placement)
        route = await self._fence.read(ref, placement)
        if route is None:
            return Reading(broken=self.made(placement) is not None)
        other = self.foreign(route, placement) or await self._fence.blocked(ref, placement, route)
        if other:
            return Reading(claim=other)
        said, problem = self.adopted.rules.reading(self._rules(route), placement)
        in_sync = self._says(route, placement) and not self._obstacle(route, placement)
        return Reading(
            candidate=_as_asked(said, placement) if in_sync else said,
            epoch=epoch_of(route),
            lowered=note_of(route),
            in_sync=in_sync,
            problem=problem,
            broken=self.made(placement) is not None and not in_sync,
            served=self.adopted.rules.served(self._rules(route), placement),
        )

    async def raise_(self, placement: Placement, epoch: int) -> None:
        """Write the placement, if nobody wrote since ``read`` and every marked rule can carry it."""
        ref = self._ref(placement)

        def edit(route: Object | None) -> Object:
            route = route or self.made(placement)
            if route is None:
                raise Missing(f"{ref} does not exist")
            why = self.foreign(route, placement) or self._obstacle(route, placement)
            if why:
                raise Refused(f"{ref}: {why}")
            return self._written(route, placement)

        await self._fence.raise_(ref, placement, epoch, edit)

    async def lower(self, placement: Placement) -> None:
        """Write the placement, whoever else writes; where there is no route, nothing is to be done."""

        def edit(route: Object | None) -> Object | None:
            if route is None or self.foreign(route, placement):
                return None
            if not self.adopted.rules.base(self._base(route, placement), placement):
                return None
            return self._written(route, placement)

        await self._fence.lower(self._ref(placement), placement, edit)

    async def confirm(self, placement: Placement) -> str | None:
        """Say what is missing until the router has accepted the placement."""
        ref = self._ref(placement)
        route = await self._cluster.get(ref)
        if route is None:
            return f"{ref} does not exist"
        other = self.foreign(route, placement) or await self._fence.blocked(ref, placement, route)
        if other:
            return other
        why = self._obstacle(route, placement)
        if why:
            return f"{ref}: {why}"
        if not self._says(route, placement):
            return f"{ref} does not carry the weights that were asked for"
        return self.unaccepted(route)

    def _ref(self, placement: Placement) -> Ref:
        kind, name = self.adopted.kind, self.named(placement)
        if name is None:
            raise Refused(f"the release {placement.namespace}/{placement.agent} names no {kind.name}")
        return Ref(kind, placement.namespace, name)

    def _rules(self, route: Object) -> list[Object]:
        return list(route["spec"].get(self.adopted.field) or ())

    def _base(self, route: Object, placement: Placement) -> list[Object]:
        """Return the rules to start from: the stored ones, or those of an object that is ours whole."""
        return self._rules(self.made(placement) or route)

    def _written(self, route: Object, placement: Placement) -> Object:
        rules = self.adopted.rules.written(self._base(route, placement), placement)
        spec = (self.made(placement) or route)["spec"]
        return route | {"spec": spec | {self.adopted.field: rules}}

    def _says(self, route: Object, placement: Placement) -> bool:
        if self.made(placement) is not None:
            return bool(self._written(route, placement)["spec"] == route["spec"])
        return self.adopted.rules.written(self._rules(route), placement) == self._rules(route)

    def _obstacle(self, route: Object, placement: Placement) -> str:
        return self.adopted.rules.obstacle(self._base(route, placement), placement)


def _as_asked(said: Exposure | None, placement: Placement) -> Exposure | None:
    """Return the intended numbers where the route carries them as closely as integers can."""
    if said is None or placement.candidate is None:
        return said
    asked = placement.candidate.exposure
    return replace(said, mirror=asked.mirror, weight=asked.weight)
