"""Gateway API objects in, Envoy configuration and statuses out. Pure: the same objects give the same answer.

All Gateways of our class share one address (127.0.0.1 and one port), whatever ports their listeners name:
that is the one liberty this gateway takes, because a demo must find its ports free. Host names keep them
apart.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentrelease.local.gateway.attachment import GROUP, Attachment, attach
from agentrelease.local.gateway.backends import Backend, Backends
from agentrelease.local.gateway.isolation import Refusal, key_of
from agentrelease.local.gateway.matching import Unsupported, match, precedence
from agentrelease.local.gateway.rules import SessionKey, action
from agentrelease.local.gateway.status import CONTROLLER, Findings, gateway_report, route_parent

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ROUTES", "SESSION_COOKIE", "SESSION_HEADER", "Snapshot", "Translation", "translate"]

Json = dict[str, Any]
Key = tuple[str, str]
Ranked = tuple[tuple[Any, ...], Json]
"""An Envoy route and its place among all others."""

ROUTES = "gateway"
"""The name of Envoy's one route configuration."""
SESSION_HEADER = "agentrelease.dev/session-header"
SESSION_COOKIE = "agentrelease.dev/session-cookie"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The objects at one moment, in any order, and which routes Envoy has refused.

    `namespaces` is needed only for listeners that select by label.
    """

    classes: tuple[Json, ...] = ()
    gateways: tuple[Json, ...] = ()
    routes: tuple[Json, ...] = ()
    services: tuple[Json, ...] = ()
    pods: tuple[Json, ...] = ()
    namespaces: tuple[Json, ...] = ()
    refused: Mapping[Key, Refusal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Translation:
    """Envoy's clusters by name and its route configuration; statuses by object, conditions still undated."""

    clusters: dict[str, Json]
    routes: Json
    gateway_status: dict[Key, Json]
    route_parents: dict[Key, list[Json]]


@dataclass(slots=True)
class _Rules:
    """One route's rules: what they become, what they use, what is wrong with them."""

    entries: list[Ranked] = field(default_factory=list)
    backends: list[Backend] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)


def translate(snapshot: Snapshot) -> Translation:
    """Translate everything at once; never raises for what a tenant wrote."""
    classes = {c["metadata"]["name"] for c in snapshot.classes if c["spec"]["controllerName"] == CONTROLLER}
    gateways = {key_of(g): g for g in snapshot.gateways if g["spec"]["gatewayClassName"] in classes}
    namespaces = {n["metadata"]["name"]: n for n in snapshot.namespaces}
    backends = Backends(snapshot.services, snapshot.pods)
    hosts: dict[str, list[Ranked]] = defaultdict(list)
    clusters: dict[str, Json] = {}
    attached: dict[Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    parents: dict[Key, list[Json]] = {}
    for declared in sorted(snapshot.routes, key=_age):
        refusal = snapshot.refused.get(key_of(declared))
        route = declared if refusal is None else refusal.last_good or declared
        attachments = _attachments(route, gateways, namespaces)
        rules = _rules(route, backends, refusal)
        parents[key_of(declared)] = [
            route_parent(route["metadata"]["generation"], attachment, rules.findings, refusal)
            for attachment in attachments
        ]
        if any(attachment.listeners for attachment in attachments):
            clusters |= {backend.cluster: _cluster(backend) for backend in rules.backends}
        for hostname in {name for attachment in attachments for name in attachment.hostnames}:
            hosts[hostname].extend(rules.entries)
        for attachment in attachments:
            for listener in attachment.listeners:
                attached[attachment.gateway][listener] += 1
    return Translation(
        dict(sorted(clusters.items())),
        {"name": ROUTES, "ignore_port_in_host_matching": True, "virtual_hosts": _virtual_hosts(hosts)},
        {key: gateway_report(gateway, attached[key]) for key, gateway in gateways.items()},
        parents,
    )


def _attachments(
    route: Json, gateways: Mapping[Key, Json], namespaces: Mapping[str, Json]
) -> list[Attachment]:
    namespace, found = route["metadata"]["namespace"], []
    for ref in route["spec"].get("parentRefs", []):
        ours = ref.get("group", GROUP) == GROUP and ref.get("kind", "Gateway") == "Gateway"
        gateway = gateways.get((ref.get("namespace", namespace), ref["name"]))
        if ours and gateway is not None:
            found.append(attach(route, ref, gateway, namespaces))
    return found


def _rules(route: Json, backends: Backends, refusal: Refusal | None) -> _Rules:
    meta, result = route["metadata"], _Rules()
    if refusal is not None and refusal.last_good is None:
        result.findings.dropped.append(f"Envoy refused the route: {refusal.message}")
        return result
    session = _session(route)
    for index, rule in enumerate(route["spec"].get("rules", [])):
        try:
            done = action(rule, meta["namespace"], backends, session)
            matches = rule.get("matches") or [{}]
            entries = [((*precedence(m), *_age(route), index, n), match(m)) for n, m in enumerate(matches)]
        except Unsupported as error:
            result.findings.dropped.append(f"Dropped Rule {index}: {error}")
            continue
        name = f"{meta['namespace']}/{meta['name']}/{index}"
        result.entries += [(order, {"name": name, "match": m} | done.route) for order, m in entries]
        result.backends += done.backends
        result.findings.served += 1
        result.findings.unresolved += done.unresolved
    return result


def _session(route: Json) -> SessionKey | None:
    meta = route["metadata"]
    notes = meta.get("annotations") or {}
    header, cookie = notes.get(SESSION_HEADER), notes.get(SESSION_COOKIE)
    if not header and not cookie:
        return None
    return SessionKey(header or None, cookie or None, f"{meta['namespace']}/{meta['name']}")


def _virtual_hosts(hosts: Mapping[str, list[Ranked]]) -> list[Json]:
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
        "alt_stat_name": backend.cluster.replace(".", "/"),  # a dot would end the label in Prometheus' names
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": backend.cluster, "endpoints": [{"lb_endpoints": hosts}]},
    }


def _age(route: Json) -> tuple[str, str, str]:
    meta = route["metadata"]
    return meta.get("creationTimestamp", ""), meta["namespace"], meta["name"]
