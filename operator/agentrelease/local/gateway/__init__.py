"""A small Gateway API implementation for one machine: real Envoy, configured from HTTPRoutes by files.

Not a production gateway: HTTP only, one address for all Gateways of its class, no TLS, no ReferenceGrants.

    async with Gateway(kubeconfig) as gateway:
        print(gateway.url)
"""

from agentrelease.local.gateway.serve import CLASS, Gateway
from agentrelease.local.gateway.status import CONTROLLER

__all__ = ["CLASS", "CONTROLLER", "Gateway"]
