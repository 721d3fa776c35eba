"""Traffic through a user's own Gateway API HTTPRoute (``gateway.networking.k8s.io/v1``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.edges.kinds import HTTP_ROUTE
from agentrelease.edges.traffic import parents
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
        """Return the HTTPRoute that the release names."""
        return placement.route

    def unaccepted(self, route: Object) -> str | None:
        """Say which parent does not serve the route as it is written now."""
        return parents.missing(route)
