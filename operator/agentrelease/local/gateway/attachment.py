"""Which listeners of which Gateways an HTTPRoute attaches to, and under which hostnames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GROUP", "Attachment", "attach", "intersect", "usable"]

Json = dict[str, Any]
GROUP = "gateway.networking.k8s.io"
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Attachment:
    """One parentRef of a route. `listeners` is empty if nothing admits the route; `reason` then says why."""

    parent_ref: Json
    gateway: tuple[str, str]
    listeners: tuple[str, ...]
    hostnames: tuple[str, ...]
    reason: str
    message: str


def usable(listener: Json) -> bool:
    """Tell whether this gateway can serve a listener: plain HTTP that admits HTTPRoutes."""
    kinds = (listener.get("allowedRoutes") or {}).get("kinds") or [{"kind": "HTTPRoute"}]
    routes = any(kind["kind"] == "HTTPRoute" and kind.get("group", GROUP) == GROUP for kind in kinds)
    return listener["protocol"] == "HTTP" and routes


def attach(route: Json, parent_ref: Json, gateway: Json, namespaces: Mapping[str, Json]) -> Attachment:
    """Attach `route` to those listeners of `gateway` that `parent_ref` names and that admit it."""
    owner = (gateway["metadata"]["namespace"], gateway["metadata"]["name"])

    def refused(reason: str, message: str) -> Attachment:
        return Attachment(parent_ref, owner, (), (), reason, message)

    named = [listener for listener in gateway["spec"]["listeners"] if _named(listener, parent_ref)]
    if not named:
        return refused(
            "NoMatchingParent", f"Gateway {owner[1]} has no listener with that sectionName and port"
        )
    open_ = [
        listener for listener in named if usable(listener) and _admits(listener, route, owner[0], namespaces)
    ]
    if not open_:
        return refused("NotAllowedByListeners", f"no listener of Gateway {owner[1]} admits this route")
    wanted = route["spec"].get("hostnames") or []
    pairs = [(listener["name"], intersect(listener.get("hostname"), wanted)) for listener in open_]
    listeners = tuple(name for name, hostnames in pairs if hostnames)
    if not listeners:
        return refused("NoMatchingListenerHostname", f"no listener of Gateway {owner[1]} has such a hostname")
    hostnames = tuple(dict.fromkeys(hostname for _, found in pairs for hostname in found))
    return Attachment(parent_ref, owner, listeners, hostnames, "Accepted", "the route is served")


def intersect(listener: str | None, wanted: list[str]) -> list[str]:
    """Give the hostnames that both sides serve: of two that overlap the narrower one.

    An absent one is `*`.
    """
    if not wanted:
        return [listener or _ANY]
    if not listener:
        return list(wanted)
    kept = (_narrower(listener.lower(), name.lower()) for name in wanted)
    return [name for name in kept if name is not None]


def _narrower(one: str, other: str) -> str | None:
    if one == other or (one.startswith("*.") and other.endswith(one[1:])):
        return other
    return one if other.startswith("*.") and one.endswith(other[1:]) else None


def _named(listener: Json, parent_ref: Json) -> bool:
    section, port = parent_ref.get("sectionName"), parent_ref.get("port")
    return section in {None, listener["name"]} and port in {None, listener["port"]}


def _admits(listener: Json, route: Json, home: str, namespaces: Mapping[str, Json]) -> bool:
    rule = (listener.get("allowedRoutes") or {}).get("namespaces") or {}
    origin = route["metadata"]["namespace"]
    match rule.get("from", "Same"):
        case "All":
            return True
        case "Selector":
            labels = namespaces.get(origin, {}).get("metadata", {}).get("labels", {})
            wanted = (rule.get("selector") or {}).get("matchLabels", {})
            return bool(wanted) and wanted.items() <= labels.items()
        case _:
            return bool(origin == home)
