"""How a Gateway API HTTPRoute spells a rule: ``spec.rules[]`` of ``gateway.networking.k8s.io/v1``."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from agentrelease.core.exposure import Cohort
from agentrelease.edges.traffic import cookies
from agentrelease.edges.traffic.split import COARSE, units

if TYPE_CHECKING:
    from collections.abc import Collection

    from agentrelease.engine.levers import Placement

Json = dict[str, Any]

_EVERYTHING: Json = {"path": {"type": "PathPrefix", "value": "/"}}


class GatewayApi:
    """The dialect of HTTPRoute."""

    def backends(self, rule: Json) -> list[Json]:
        """Return ``backendRefs``."""
        return rule.get("backendRefs") or []

    def service(self, backend: Json, placement: Placement) -> str | None:
        """Return the slot's Service; the same name in another namespace or of another kind is none."""
        ours = (
            backend.get("group", "") in ("", "core")
            and backend.get("kind", "Service") == "Service"
            and backend.get("namespace", placement.namespace) == placement.namespace
            and backend.get("name") in placement.services
        )
        return str(backend["name"]) if ours else None

    def weight(self, backend: Json, *, alone: bool) -> int:  # noqa: ARG002 - one default here
        """Return the weight, by default 1."""
        return int(backend.get("weight", 1))

    def mirrored(self, rule: Json, services: Collection[str], placement: Placement) -> float:
        """Return the largest share of a mirror to one of the services."""
        mirrors = [
            item["requestMirror"]
            for item in rule.get("filters") or ()
            if self._target(item, placement) in services
        ]
        return max((_percent(mirror) for mirror in mirrors), default=0.0)

    def set_mirror(self, rule: Json, placement: Placement, service: str | None, share: float) -> None:
        """Leave one RequestMirror filter to a slot, in the place of an earlier one, or none."""
        filters = rule.get("filters") or []
        kept = [item for item in filters if not self._target(item, placement)]
        if service is not None:
            first = (n for n, item in enumerate(filters) if self._target(item, placement))
            kept.insert(next(first, len(kept)), self._mirror(rule, placement, service, share))
        if kept:
            rule["filters"] = kept
        elif filters:
            del rule["filters"]

    def mirror_obstacle(self, rule: Json, placement: Placement) -> str:  # noqa: ARG002 - never one here
        """Find none: RequestMirror may be repeated in a rule."""
        return ""

    def narrow(self, rule: Json, cohort: Cohort) -> bool:
        """Add the cohort's header to every match that can take it: a match names a header once."""
        matches = [_narrowed(match, cohort) for match in rule.get("matches") or [_EVERYTHING]]
        rule["matches"] = [match for match in matches if match is not None]
        return bool(rule["matches"])

    def cohort(self, rule: Json) -> Cohort | None:
        """Return the last header of the matches, where ``narrow`` puts the cohort's."""
        last = [(match.get("headers") or [{}])[-1] for match in rule.get("matches") or [{}]]
        if not last[0] or any(header != last[0] for header in last):
            return None
        if last[0].get("type", "Exact") == "Exact":
            return Cohort(last[0]["name"], last[0]["value"])
        return cookies.cohort_of(last[0]["value"]) if last[0]["name"] == cookies.HEADER else None

    def settle(self, rule: Json, placement: Placement) -> None:
        """Leave weights as they are: zero means zero."""

    def _mirror(self, rule: Json, placement: Placement, service: str, share: float) -> Json:
        backends = [b for b in self.backends(rule) if self.service(b, placement)]
        like = next((b for b in backends if b["name"] == service), backends[0])
        target = {"group": "", "kind": "Service", "name": service, "port": like["port"]}
        part: Json = (
            {"percent": int(share)}
            if share == int(share)
            else {"fraction": {"numerator": units(share, COARSE), "denominator": COARSE}}
        )
        return {"type": "RequestMirror", "requestMirror": {"backendRef": target} | part}

    def _target(self, item: Json, placement: Placement) -> str | None:
        if item.get("type") != "RequestMirror":
            return None
        return self.service(item["requestMirror"]["backendRef"], placement)


def _narrowed(match: Json, cohort: Cohort) -> Json | None:
    """Return the match with the cohort's header last; ``None`` where it can never hold."""
    headers = list(match.get("headers") or ())
    added = _header(cohort)
    same = [header for header in headers if header["name"].lower() == added["name"].lower()]
    if any((h.get("type", "Exact"), h["value"]) != (added["type"], added["value"]) for h in same):
        return None
    others = [header for header in headers if header not in same]
    return deepcopy(match) | {"headers": [*others, added]}


def _header(cohort: Cohort) -> Json:
    if cohort.cookie:
        return {"type": "RegularExpression", "name": cookies.HEADER, "value": cookies.expression(cohort)}
    return {"type": "Exact", "name": cohort.name, "value": cohort.value}


def _percent(mirror: Json) -> float:
    fraction = mirror.get("fraction")
    if fraction:
        return float(100 * fraction["numerator"] / fraction.get("denominator", 100))
    return float(mirror.get("percent", 100))
