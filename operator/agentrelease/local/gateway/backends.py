"""From a `backendRef` to addresses: Service, port and the ready Pods behind it.

Pods are read directly, because no EndpointSlice controller runs here. Cross-namespace references are refused:
there are no ReferenceGrants here, and the operator's own references are same-namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Backend", "Backends", "Unresolved"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Backend:
    """One Service port: Envoy's cluster name and where its ready Pods listen, sorted."""

    cluster: str
    endpoints: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why a reference leads nowhere; `reason` is one of Gateway API's for `ResolvedRefs`."""

    reason: str
    message: str


class Backends:
    """Resolves references against one snapshot of Services and Pods."""

    def __init__(self, services: Iterable[Json], pods: Iterable[Json]) -> None:
        self._services = {(s["metadata"]["namespace"], s["metadata"]["name"]): s for s in services}
        self._ready: dict[str, list[Json]] = {}
        for pod in pods:
            if _serves(pod):
                self._ready.setdefault(pod["metadata"]["namespace"], []).append(pod)

    def resolve(self, ref: Mapping[str, Any], namespace: str) -> Backend | Unresolved:
        """Resolve a BackendObjectReference found in an HTTPRoute of `namespace`."""
        kind, name, port = ref.get("kind", "Service"), ref["name"], ref.get("port")
        if ref.get("group", "") not in {"", "core"} or kind != "Service":
            return Unresolved("InvalidKind", f"backend {kind}/{name}: only Services are served")
        if ref.get("namespace", namespace) != namespace:
            return Unresolved(
                "RefNotPermitted", f"Service {ref['namespace']}/{name} is in another namespace than the route"
            )
        service = self._services.get((namespace, name))
        if service is None:
            return Unresolved("BackendNotFound", f"Service {namespace}/{name} does not exist")
        declared = next((p for p in service["spec"].get("ports", []) if p["port"] == port), None)
        if declared is None:
            return Unresolved("BackendNotFound", f"Service {namespace}/{name} has no port {port}")
        return Backend(f"{namespace}.{name}.{port}", self._endpoints(service, declared))

    def _endpoints(self, service: Json, port: Json) -> tuple[tuple[str, int], ...]:
        selector = service["spec"].get("selector") or {}
        if not selector:
            return ()
        chosen = [
            pod
            for pod in self._ready.get(service["metadata"]["namespace"], [])
            if selector.items() <= pod["metadata"].get("labels", {}).items()
        ]
        target = port.get("targetPort") or port["port"]
        found = ((pod["status"]["podIP"], _container_port(pod, target)) for pod in chosen)
        return tuple(sorted((address, number) for address, number in found if number is not None))


def _serves(pod: Json) -> bool:
    """Tell whether endpoints may include the Pod: ready, with an address, and not on its way out."""
    status = pod.get("status", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    return ready and bool(status.get("podIP")) and "deletionTimestamp" not in pod["metadata"]


def _container_port(pod: Json, target: int | str) -> int | None:
    if isinstance(target, int):
        return target
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    return next((int(port["containerPort"]) for port in ports if port.get("name") == target), None)
