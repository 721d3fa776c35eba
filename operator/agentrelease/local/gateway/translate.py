"""Gateway API objects in, Envoy configuration and statuses out. Pure: the same objects give the same answer.

All Gateways of our class share one address (127.0.0.1 and one port), whatever ports their listeners name:
that is the one liberty this gateway takes, because a demo must find its ports free. Host names keep them
apart.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from agentrelease.local.gateway.attachment import GROUP, Attachment, attach, usable
from agentrelease.local.gateway.backends import Backend, Backends, Unresolved
from agentrelease.local.gateway.matching import Unsupported, match, precedence
from agentrelease.local.gateway.rules import SessionKey, action
from agentrelease.local.gateway.status import CONTROLLER, condition

__all__ = ["ROUTES", "SESSION_COOKIE", "SESSION_HEADER", "Snapshot", "Translation", "translate"]

Json = dict[str, Any]
Key = tuple[str, str]

ROUTES = "gateway"
"""The name of Envoy's one route configuration."""
SESSION_HEADER = "agentrelease.dev/session-header"
SESSION_COOKIE = "agentrelease.dev/session-cookie"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The objects at one moment, in any order.

    `namespaces` is needed only for listeners that select by label.
    """

    classes: tuple[Json, ...] = ()
    gateways: tuple[Json, ...] = ()
    routes: tuple[Json, ...] = ()
    services: tuple[Json, ...] = ()
    pods: tuple[Json, ...] = ()
    namespaces: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Translation:
    """Envoy's clusters by name and its route configuration; statuses by object, conditions still undated."""

    clusters: dict[str, Json]
    routes: Json
    gateway_status: dict[Key, Json]
    route_parents: dict[Key, list[Json]]


@dataclass(slots=True)
class _Rules:
    """What became of one route's rules."""

    entries: list[tuple[tuple[Any, ...], Json]] = field(default_factory=list)
    backends: list[Backend] = field(default_factory=list)
    unresolved: list[Unresolved] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def translate(snapshot: Snapshot) -> Translation:
    """Translate everything at once; never raises for what a tenant wrote."""
    classes = {c["metadata"]["name"] for c in snapshot.classes if c["spec"]["controllerName"] == CONTROLLER}
    gateways = {_key(g): g for g in snapshot.gateways if g["spec"]["gatewayClassName"] in classes}
    namespaces = {n["metadata"]["name"]: n for n in snapshot.namespaces}
    backends = Backends(snapshot.services, snapshot.pods)
    hosts: dict[str, list[tuple[tuple[Any, ...], Json]]] = defaultdict(list)
    clusters: dict[str, Json] = {}
    attached: dict[tuple[Key, str], int] = defaultdict(int)
    parents: dict[Key, list[Json]] = {}
    for route in sorted(snapshot.routes, key=_age):
        attachments = [
            attach(route, ref, gateways[key], namespaces)
            for ref in route["spec"].get("parentRefs", [])
            if (key := _gateway_of(ref, route)) in gateways
        ]
        rules = _rules(route, backends)
        parents[_key(route)] = [_parent(route, attachment, rules) for attachment in attachments]
        for hostname in {name for attachment in attachments for name in attachment.hostnames}:
            hosts[hostname].extend(rules.entries)
        if any(attachment.listeners for attachment in attachments):
            clusters |= {backend.cluster: _cluster(backend) for backend in rules.backends}
        for attachment in attachments:
            for listener in attachment.listeners:
                attached[attachment.gateway, listener] += 1
    return Translation(
        dict(sorted(clusters.items())),
        {"name": ROUTES, "ignore_port_in_host_matching": True, "virtual_hosts": _virtual_hosts(hosts)},
        {key: _gateway(gateway, key, attached) for key, gateway in gateways.items()},
        parents,
    )


def _rules(route: Json, backends: Backends) -> _Rules:
    meta, result = route["metadata"], _Rules()
    session = _session(route)
    for index, rule in enumerate(route["spec"].get("rules", [])):
        try:
            done = action(rule, meta["namespace"], backends, session)
            matches = rule.get("matches") or [{}]
            entries = [
                ((*precedence(m), *_age(route), index, n), {"match": match(m)}) for n, m in enumerate(matches)
            ]
        except Unsupported as error:
            result.dropped.append(f"Dropped Rule {index}: {error}")
            continue
        name = f"{meta['namespace']}/{meta['name']}/{index}"
        result.entries += [(order, {"name": name} | entry | done.route) for order, entry in entries]
        result.backends += done.backends
        result.unresolved += done.unresolved
    return result


def _session(route: Json) -> SessionKey | None:
    meta = route["metadata"]
    notes = meta.get("annotations") or {}
    header, cookie = notes.get(SESSION_HEADER), notes.get(SESSION_COOKIE)
    if not header and not cookie:
        return None
    return SessionKey(header or None, cookie or None, f"{meta['namespace']}/{meta['name']}")


def _virtual_hosts(hosts: dict[str, list[tuple[tuple[Any, ...], Json]]]) -> list[Json]:
    return [
        {
            "name": hostname,
            "domains": [hostname],
            "routes": [entry for _, entry in sorted(entries, key=lambda ranked: ranked[0])],
        }
        for hostname, entries in sorted(hosts.items())
    ]


def _cluster(backend: Backend) -> Json:
    """Put endpoints into the cluster itself: a discovery file each would cost an inotify instance."""
    hosts = [
        {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
        for address, port in backend.endpoints
    ]
    return {
        "name": backend.cluster,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": backend.cluster, "endpoints": [{"lb_endpoints": hosts}]},
    }


def _parent(route: Json, attachment: Attachment, rules: _Rules) -> Json:
    generation = route["metadata"]["generation"]
    accepted, reason, message = bool(attachment.listeners), attachment.reason, attachment.message
    if accepted and rules.dropped and not rules.entries:
        accepted, reason, message = False, "UnsupportedValue", "; ".join(rules.dropped)
    conditions = [
        condition("Accepted", holds=accepted, reason=reason, message=message, generation=generation),
        _resolved(rules.unresolved, generation),
    ]
    if accepted and rules.dropped:
        conditions.append(
            condition(
                "PartiallyInvalid",
                holds=True,
                reason="UnsupportedValue",
                message="; ".join(rules.dropped),
                generation=generation,
            )
        )
    return {"parentRef": attachment.parent_ref, "controllerName": CONTROLLER, "conditions": conditions}


def _resolved(unresolved: list[Unresolved], generation: int) -> Json:
    reason = unresolved[0].reason if unresolved else "ResolvedRefs"
    message = "; ".join(dict.fromkeys(item.message for item in unresolved)) or "every reference was found"
    return condition(
        "ResolvedRefs", holds=not unresolved, reason=reason, message=message, generation=generation
    )


def _gateway(gateway: Json, key: Key, attached: dict[tuple[Key, str], int]) -> Json:
    generation = gateway["metadata"]["generation"]
    listeners = [
        _listener(listener, attached[key, listener["name"]], generation)
        for listener in gateway["spec"]["listeners"]
    ]
    return {
        "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}],
        "conditions": [
            condition(
                "Accepted",
                holds=True,
                reason="Accepted",
                message="the Gateway is served",
                generation=generation,
            ),
            condition(
                "Programmed",
                holds=True,
                reason="Programmed",
                message="Envoy has confirmed it",
                generation=generation,
            ),
        ],
        "listeners": listeners,
    }


def _listener(listener: Json, routes: int, generation: int) -> Json:
    served = usable(listener)
    reason = "UnsupportedProtocol" if listener["protocol"] != "HTTP" else "InvalidRouteKinds"
    message = "served" if served else "only listeners with protocol HTTP and kind HTTPRoute are served"

    def says(kind: str, good: str, bad: str) -> Json:
        return condition(
            kind, holds=served, reason=good if served else bad, message=message, generation=generation
        )

    return {
        "name": listener["name"],
        "supportedKinds": [{"group": GROUP, "kind": "HTTPRoute"}] if served else [],
        "attachedRoutes": routes,
        "conditions": [
            says("Accepted", "Accepted", reason),
            says("Programmed", "Programmed", "Invalid"),
            says("ResolvedRefs", "ResolvedRefs", "InvalidRouteKinds"),
        ],
    }


def _gateway_of(ref: Json, route: Json) -> Key | None:
    if ref.get("group", GROUP) != GROUP or ref.get("kind", "Gateway") != "Gateway":
        return None
    return ref.get("namespace", route["metadata"]["namespace"]), ref["name"]


def _age(route: Json) -> tuple[str, str, str]:
    meta = route["metadata"]
    return meta.get("creationTimestamp", ""), meta["namespace"], meta["name"]


def _key(obj: Json) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
