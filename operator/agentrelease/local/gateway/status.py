"""What a Gateway API controller says about routes, Gateways and its class; conditions still undated. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentrelease.local.gateway.attachment import GROUP, Attachment, usable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.local.gateway.backends import Unresolved
    from agentrelease.local.gateway.isolation import Refusal

__all__ = ["CONTROLLER", "Findings", "class_conditions", "condition", "gateway_report", "route_parent"]

Json = dict[str, Any]

CONTROLLER = "agentrelease.dev/local-gateway"


@dataclass(slots=True)
class Findings:
    """What was wrong with a route's rules. `served` counts those that are in the configuration."""

    served: int = 0
    unresolved: list[Unresolved] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def condition(kind: str, *, holds: bool, reason: str, message: str, generation: int) -> Json:
    """Make a condition without its time."""
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }


def route_parent(
    generation: int, attachment: Attachment, findings: Findings, refusal: Refusal | None
) -> Json:
    """Report a route to one parent; `generation` is that of the version which serves."""
    accepted, reason, message = bool(attachment.listeners), attachment.reason, attachment.message
    if accepted and findings.dropped and not findings.served:
        accepted, reason, message = False, "UnsupportedValue", "; ".join(findings.dropped)
    conditions = [
        condition("Accepted", holds=accepted, reason=reason, message=message, generation=generation),
        _resolved(findings.unresolved, generation),
    ]
    partly = "; ".join(findings.dropped)
    if refusal is not None and refusal.last_good is not None:
        generation, partly = refusal.generation, f"Fall Back: {refusal.message}"
    if accepted and partly:
        conditions.append(
            condition(
                "PartiallyInvalid",
                holds=True,
                reason="UnsupportedValue",
                message=partly,
                generation=generation,
            )
        )
    return {"parentRef": attachment.parent_ref, "controllerName": CONTROLLER, "conditions": conditions}


def gateway_report(gateway: Json, attached: Mapping[str, int]) -> Json:
    """Report a Gateway of our class; `attached` counts routes by listener name."""
    generation = gateway["metadata"]["generation"]
    valid = any(usable(listener) for listener in gateway["spec"]["listeners"])

    def says(kind: str, bad: str, message: str) -> Json:
        reason, why = (kind, message) if valid else (bad, "no listener can be served")
        return condition(kind, holds=valid, reason=reason, message=why, generation=generation)

    return {
        "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}],
        "conditions": [
            says("Accepted", "ListenersNotValid", "the Gateway is served"),
            says("Programmed", "Invalid", "Envoy has confirmed the configuration"),
        ],
        "listeners": [
            _listener(listener, attached.get(listener["name"], 0), generation)
            for listener in gateway["spec"]["listeners"]
        ],
    }


def class_conditions(generation: int) -> list[Json]:
    """Report our GatewayClass."""
    message = "served by the local gateway"
    return [condition("Accepted", holds=True, reason="Accepted", message=message, generation=generation)]


def _resolved(unresolved: list[Unresolved], generation: int) -> Json:
    reason = unresolved[0].reason if unresolved else "ResolvedRefs"
    message = "; ".join(dict.fromkeys(item.message for item in unresolved)) or "every reference was found"
    return condition(
        "ResolvedRefs", holds=not unresolved, reason=reason, message=message, generation=generation
    )


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
