"""Traffic through a user's own Gateway API HTTPRoute (``gateway.networking.k8s.io/v1``).

The route is adopted, not owned: what is written in it, and how our parts are told from the user's, is in
``rules``. A route that is missing is never made: nothing is exposed through it.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from agentrelease.edges.fence import Fence, epoch_of, note_of
from agentrelease.edges.kinds import HTTP_ROUTE
from agentrelease.edges.traffic import parents, rules
from agentrelease.engine.levers import Reading
from agentrelease.engine.ports import Missing, Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.core.exposure import Exposure
    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Cluster, Object


class HTTPRouteTraffic:
    """The lever on who reaches the candidate: mirror, cohort and weight."""

    name = "httproute"

    def __init__(self, cluster: Cluster, *, jitter: Callable[[], float] = random.random) -> None:
        self._fence = Fence(cluster, jitter=jitter)
        self._cluster = cluster

    async def read(self, placement: Placement) -> Reading:
        """Return what the route allows anybody but stable; no exposure without a route or a marked rule."""
        route = await self._fence.read(_ref(placement), placement.agent)
        if route is None:
            return Reading()
        said, problem = rules.reading(_rules(route), placement)
        in_sync = _says(route, placement) and not rules.obstacle(_rules(route), placement)
        return Reading(
            candidate=_as_asked(said, placement) if in_sync else said,
            epoch=epoch_of(route),
            lowered=note_of(route),
            in_sync=in_sync,
            problem=problem,
        )

    async def raise_(self, placement: Placement, epoch: int) -> None:
        """Write the placement, if nobody wrote since ``read`` and every marked rule can carry it."""
        ref = _ref(placement)

        def edit(route: Object | None) -> Object:
            if route is None:
                raise Missing(f"{ref} does not exist")
            why = rules.obstacle(_rules(route), placement)
            if why:
                raise Refused(f"{ref}: {why}")
            return _written(route, placement)

        await self._fence.raise_(ref, placement, epoch, edit)

    async def lower(self, placement: Placement) -> None:
        """Write the placement, whoever else writes; where there is no route, nothing is to be done."""

        def edit(route: Object | None) -> Object | None:
            if route is None or not rules.base_rules(_rules(route), placement):
                return None
            return _written(route, placement)

        await self._fence.lower(_ref(placement), placement, edit)

    async def confirm(self, placement: Placement) -> str | None:
        """Say what is missing until every gateway of the route has accepted the placement."""
        ref = _ref(placement)
        route = await self._cluster.get(ref)
        if route is None:
            return f"{ref} does not exist"
        why = rules.obstacle(_rules(route), placement)
        if why:
            return f"{ref}: {why}"
        if not _says(route, placement):
            return f"{ref} does not carry the weights that were asked for"
        return parents.missing(route)


def _ref(placement: Placement) -> Ref:
    if placement.route is None:
        raise Refused(f"the release {placement.namespace}/{placement.agent} names no HTTPRoute")
    return Ref(HTTP_ROUTE, placement.namespace, placement.route)


def _rules(route: Object) -> list[Object]:
    return list(route["spec"].get("rules") or ())


def _written(route: Object, placement: Placement) -> Object:
    return route | {"spec": route["spec"] | {"rules": rules.written(_rules(route), placement)}}


def _says(route: Object, placement: Placement) -> bool:
    return rules.written(_rules(route), placement) == _rules(route)


def _as_asked(said: Exposure | None, placement: Placement) -> Exposure | None:
    """Return the intended numbers where the route carries them as closely as integers can."""
    if said is None or placement.candidate is None:
        return said
    asked = placement.candidate.exposure
    return replace(said, mirror=asked.mirror, weight=asked.weight)
