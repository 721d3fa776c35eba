"""One HTTPRoute rule as an Envoy route action: weights, mirrors, header changes, sticky sessions.

* A backend that doesn't resolve keeps its share, and that share is answered 500, as Gateway API demands. It
  is pointed at a cluster which never exists.
* With a session header or cookie, the split hashes it: each backend owns a stretch of a circle, in the order
  of `backendRefs`. The first and the last backend's stretches have one fixed end, so such a backend keeps all
  its sessions while its weight grows, whatever the totals are. Requests without the header are split at
  random.
* Header changes under `backendRefs[].filters` belong to that backend; they are taken off mirrored copies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from agentrelease.local.gateway.backends import Backend, Backends, Unresolved
from agentrelease.local.gateway.matching import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["NOWHERE", "RuleAction", "SessionKey", "action"]

Json = dict[str, Any]

NOWHERE = "unresolved-backend"
"""The cluster that never exists."""

# Finer than any weight's share (at most 16 backends of 1,000,000), and below Envoy's uint32 limit.
_CIRCLE = 1_000_000_000
_MILLION = 1_000_000
_SERVER_ERROR: Json = {"direct_response": {"status": 500}}
# Only what never reached a process: a Pod that has just ended must not cost a user anything.
_RETRY: Json = {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 2}
_PER_BACKEND = ("RequestHeaderModifier", "ResponseHeaderModifier")


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What identifies a session in a request.

    The salt (the route's name) makes routes pick different sessions.
    """

    header: str | None
    cookie: str | None
    salt: str

    def hash_policy(self) -> Json:
        if self.header is None:
            return {"cookie": {"name": self.cookie}}
        rewrite = {
            "pattern": {"regex": "^(.*)$"},
            "substitution": f"{self.salt}:\\1",
        }
        return {"header": {"header_name": self.header, "regex_rewrite": rewrite}}


@dataclass(frozen=True, slots=True)
class RuleAction:
    """Envoy's part of a rule (everything but the match), what it uses, and what it refers to in vain."""

    route: Json
    backends: tuple[Backend, ...]
    unresolved: tuple[Unresolved, ...]


def action(rule: Json, namespace: str, backends: Backends, session: SessionKey | None) -> RuleAction:
    """Translate a rule; raises `Unsupported` for what this gateway doesn't implement."""
    filters = rule.get("filters", [])
    changes = _header_changes(filters, also=("RequestMirror",))
    refs = rule.get("backendRefs", [])
    targets = [backends.resolve(ref, namespace) for ref in refs]
    mirrors = [f["requestMirror"] for f in filters if f["type"] == "RequestMirror"]
    shadows = [backends.resolve(mirror["backendRef"], namespace) for mirror in mirrors]
    clusters = [_arm(ref, target) for ref, target in zip(refs, targets, strict=True)]
    route = changes | _split(clusters, session)
    if "route" in route:
        route["route"] |= _patience(rule)
        own = sorted({header for arm in clusters for header in _request_headers(arm)})
        policies = [
            _mirror(mirror, shadow.cluster, own)
            for mirror, shadow in zip(mirrors, shadows, strict=True)
            if isinstance(shadow, Backend)
        ]
        if policies:
            route["route"]["request_mirror_policies"] = policies
    found = [*targets, *shadows]
    return RuleAction(
        route,
        tuple(target for target in found if isinstance(target, Backend)),
        tuple(target for target in found if isinstance(target, Unresolved)),
    )


def _arm(ref: Json, target: Backend | Unresolved) -> Json:
    name = target.cluster if isinstance(target, Backend) else NOWHERE
    return {"name": name, "weight": ref.get("weight", 1)} | _header_changes(ref.get("filters", []))


def _split(arms: list[Json], session: SessionKey | None) -> Json:
    total = sum(arm["weight"] for arm in arms)
    if not total:
        return dict(_SERVER_ERROR)
    weighted: Json = {"clusters": [arm for arm in arms if arm["weight"]]}
    route: Json = {"weighted_clusters": weighted, "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR"}
    if session is not None:
        ends = [
            round(part * _CIRCLE / total)
            for part in accumulate(arm["weight"] for arm in weighted["clusters"])
        ]
        widths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        weighted["clusters"] = [
            arm | {"weight": width} for arm, width in zip(weighted["clusters"], widths, strict=True)
        ]
        weighted["use_hash_policy"] = True
        route["hash_policy"] = [session.hash_policy()]
    return {"route": route}


def _mirror(mirror: Json, cluster: str, strip: Iterable[str]) -> Json:
    """Mirror a part of the requests; without `percent` or `fraction`, all of them.

    Envoy marks a copy by `-shadow` behind its host, and the demo's agents know a shadow by that.
    """
    fraction = mirror.get("fraction") or {"numerator": mirror.get("percent", 100), "denominator": 100}
    numerator = round(fraction["numerator"] * _MILLION / fraction.get("denominator", 100))
    policy: Json = {
        "cluster": cluster,
        "runtime_fraction": {"default_value": {"numerator": numerator, "denominator": "MILLION"}},
    }
    if mutations := [{"remove": header} for header in strip]:
        policy["request_headers_mutations"] = mutations
    return policy


def _header_changes(filters: Iterable[Json], also: tuple[str, ...] = ()) -> Json:
    changes: Json = {}
    for declared in filters:
        kind = declared["type"]
        if kind in also:
            continue
        if kind not in _PER_BACKEND:
            raise Unsupported(f"filter {kind} is not supported")
        side = "request" if kind == "RequestHeaderModifier" else "response"
        changes |= _modifier(side, declared.get(f"{side}HeaderModifier") or {})
    return changes


def _modifier(side: str, modifier: Mapping[str, Any]) -> Json:
    options = [("set", "OVERWRITE_IF_EXISTS_OR_ADD"), ("add", "APPEND_IF_EXISTS_OR_ADD")]
    added = [
        # Envoy expands %…% in header values; a tenant's text is only ever text.
        {
            "header": {"key": _modifiable(h["name"]), "value": h["value"].replace("%", "%%")},
            "append_action": how,
        }
        for field, how in options
        for h in modifier.get(field, [])
    ]
    removed = [_modifiable(name) for name in modifier.get("remove", [])]
    changes = {f"{side}_headers_to_add": added, f"{side}_headers_to_remove": removed}
    return {field: value for field, value in changes.items() if value}


def _modifiable(name: str) -> str:
    if name.lower() == "host" or name.startswith(":"):
        raise Unsupported(f"header {name} can't be modified")
    return name


def _request_headers(arm: Json) -> list[str]:
    return [option["header"]["key"].lower() for option in arm.get("request_headers_to_add", [])]


def _patience(rule: Json) -> Json:
    """Agents may take minutes: no time-out unless the rule has one (a Gateway API duration: `1h30m`)."""
    timeouts = rule.get("timeouts") or {}
    declared = timeouts.get("request") or timeouts.get("backendRequest") or "0s"
    scale = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    seconds = sum(float(n) * scale[unit] for n, unit in re.findall(r"(\d+)(ms|h|m|s)", declared))
    return {"timeout": f"{seconds:.3f}s", "retry_policy": _RETRY}
