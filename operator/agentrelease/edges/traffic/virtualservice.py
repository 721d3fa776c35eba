"""Traffic through a user's own Istio VirtualService (``networking.istio.io/v1``).

Istio writes no status by default, and where it does, ``observedGeneration`` was seen standing still
(istio #31931). So nothing but a plain refusal is taken from it, and whether requests are split as
written has to be measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.edges.kinds import VIRTUAL_SERVICE
from agentrelease.edges.traffic.adopted import Adopted, AdoptedTraffic
from agentrelease.edges.traffic.istio import Istio
from agentrelease.edges.traffic.rules import Rules

if TYPE_CHECKING:
    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Object


class VirtualServiceTraffic(AdoptedTraffic):
    """The lever on a VirtualService."""

    name = "virtualservice"
    adopted = Adopted(VIRTUAL_SERVICE, "http", Rules(Istio()))

    def named(self, placement: Placement) -> str | None:
        """Return the VirtualService that the release names."""
        return placement.objects.get(self.name)

    def unaccepted(self, route: Object) -> str | None:
        """Say that Istio refused the object, if it has said so."""
        for condition in (route.get("status") or {}).get("conditions") or ():
            if condition.get("status") == "False":
                return f"Istio says {condition.get('type')} is False: {condition.get('message', '')}"
        return None
