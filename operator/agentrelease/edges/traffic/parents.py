"""Whether the gateways say that they serve a route as it is written now.

Every parent the route names must be there, with ``Accepted`` and ``ResolvedRefs`` true at the route's own
generation and without ``PartiallyInvalid``. No status is no confirmation: a controller that is down
writes none. What no status can say (gateway-api #1870) is that requests are split so; that is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrelease.engine.ports import Object

Json = dict[str, Any]

_NEEDED = ("Accepted", "ResolvedRefs")


def missing(route: Object) -> str | None:
    """Return what is missing until all parents serve the route, in one sentence; ``None`` when they do."""
    namespace = route["metadata"]["namespace"]
    wanted = route["spec"].get("parentRefs") or []
    if not wanted:
        return "the route names no parent, so no gateway serves it"
    entries = (route.get("status") or {}).get("parents") or []
    for parent in wanted:
        identity = _identity(parent, namespace)
        found = [entry for entry in entries if _identity(entry["parentRef"], namespace) == identity]
        if not found:
            return f"{_named(parent)} says nothing about the route yet"
        for entry in found:
            why = _entry(entry, route["metadata"].get("generation", 0))
            if why:
                return f"{_named(parent)}: {why}"
    return None


def _entry(entry: Json, generation: int) -> str:
    conditions = {item["type"]: item for item in entry.get("conditions") or ()}
    for kind in _NEEDED:
        condition = conditions.get(kind)
        if condition is None:
            return f"{entry['controllerName']} has not set {kind}"
        if condition["status"] != "True":
            return f"{kind} is {condition['status']}: {_why(condition)}"
        if condition.get("observedGeneration", 0) < generation:
            return f"{kind} is about an older generation of the route"
    partly = conditions.get("PartiallyInvalid")
    if partly is not None and partly["status"] == "True":
        return f"PartiallyInvalid: {_why(partly)}"
    return ""


def _why(condition: Json) -> str:
    return f"{condition.get('reason', '')} {condition.get('message', '')}".strip()


def _identity(ref: Json, namespace: str) -> tuple[object, ...]:
    """Return a parentRef with its defaults, because controllers write them out in different ways."""
    return (
        ref.get("group", "gateway.networking.k8s.io"),
        ref.get("kind", "Gateway"),
        ref.get("namespace") or namespace,
        ref["name"],
        ref.get("sectionName") or "",
        ref.get("port") or 0,
    )


def _named(ref: Json) -> str:
    return f"{ref.get('kind', 'Gateway')} {ref['name']}"
