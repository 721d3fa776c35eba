"""Traffic through a Gateway API HTTPRoute (``gateway.networking.k8s.io/v1``), a user's own or one of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.edges.kinds import HTTP_ROUTE
from agentrelease.edges.traffic import owned, parents
from agentrelease.edges.traffic.adopted import Adopted, AdoptedTraffic
from agentrelease.edges.traffic.gateway_api import GatewayApi
from agentrelease.edges.traffic.rules import Rules

if TYPE_CHECKING:
    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Object


class HTTPRouteTraffic(AdoptedTraffic):
    """The lever on an HTTPRoute. It is in effect when every gateway of the route has said so."""

    name = "httproute"
    adopted = Adopted(HTTP_ROUTE, "rules", Rules(GatewayApi()))

    def named(self, placement: Placement) -> str | None:
        """Return the HTTPRoute that the release names, or has us make."""
        return placement.route

    def made(self, placement: Placement) -> Object | None:
        """Return the route that the release has us own, before any exposure."""
        return owned.made(placement)

    def foreign(self, route: Object, placement: Placement) -> str:
        """Say that a route which we were asked to own was made by somebody else."""
        return owned.foreign(route, placement)

    def unaccepted(self, route: Object) -> str | None:
        """Say which parent does not serve the route as it is written now."""
        return parents.missing(route)
