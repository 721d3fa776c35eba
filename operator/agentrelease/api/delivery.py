"""Which objects carry an agent's exposure: slots, route and flags."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from agentrelease.api.base import Model, Name
from agentrelease.api.schema import rule, rules, whole

Hostname = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
]

_SLOT_NAME = "^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$"


class Slot(Model):
    """A place where a bundle runs: a Service and the Deployment behind it."""

    service: Name
    """The Service that reaches this slot's pods and no others. Example: `support-blue`."""
    deployment: Name
    """The Deployment whose pods load the slot's bundle. Example: `support-blue`."""


class ParentRef(Model):
    """A Gateway that an owned route asks to be served by."""

    name: Name
    """The Gateway. Example: `edge`."""
    namespace: Name | None = None
    """Its namespace, if another one; its own `allowedRoutes` decides whom it serves. Example: `gateways`."""
    section_name: Name | None = None
    """One of its listeners; absent means all that fit. Example: `https`."""


class OwnedRoute(Model):
    """An HTTPRoute that the operator makes, and keeps as it made it."""

    name: Name | None = None
    """The HTTPRoute's name; absent means the release's."""
    parent_refs: list[ParentRef] = Field(min_length=1, max_length=8, json_schema_extra=whole())
    """The Gateways that shall serve it."""
    hostnames: list[Hostname] = Field(default_factory=list, max_length=16, json_schema_extra=whole())
    """The host names that it is for; none means the listeners'. Example: `[support.example.com]`."""
    path_prefix: str = Field(
        default="/", max_length=256, pattern=r"^/([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*)?$"
    )
    """The paths that it is for. Example: `/chat`."""
    port: int = Field(ge=1, le=65535)
    """The port of both slots' Services. Example: `80`."""


class Route(Model):
    """The object that splits traffic."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.httpRoute), has(self.owned), has(self.virtualService)]"
                ".filter(given, given).size() == 1",
                "give exactly one of httpRoute, owned and virtualService: only one object may split the "
                "traffic; leave route out where the flags shall",
            ),
        )
    )

    http_route: Name | None = None
    """A Gateway API HTTPRoute in this namespace. Example: `support`."""
    owned: OwnedRoute | None = None
    """A Gateway API HTTPRoute that the operator makes for this release."""
    virtual_service: Name | None = None
    """An Istio VirtualService in this namespace. Example: `support`."""


class Flags(Model):
    """Where the agents read what they may do."""

    config_map: Name
    """The ConfigMap that the agents mount as a directory of flagd documents. Example: `support-flags`."""
    feature_flag: Name | None = None
    """An OpenFeature FeatureFlag that carries the same document, for flagd. Example: `support`."""
    lease_seconds: int = Field(default=60, ge=5, le=3600)
    """A candidate's autonomy lapses to `observe` this many seconds after the operator's last renewal."""


PLACES = ("a", "b")
"""Where bundles are kept for pods that have no slots: two places, whose roles swap as slots' do."""


class Delivery(Model):
    """The levers of one agent. Roles of the slots swap on promotion; nothing is copied."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.slots) || !has(self.route)",
                "a route splits between slots: give slots, or leave route out and let the flags split",
                field=".slots",
            ),
            rule(
                "has(self.route) == has(oldSelf.route) && has(self.slots) == has(oldSelf.slots)",
                "who splits can't change later: what is there would be left at its shares; delete the "
                "AgentRelease, which leaves stable serving, and make it anew",
            ),
        )
    )

    slots: dict[str, Slot] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        json_schema_extra=rules(
            rule(
                f"self.all(slot, slot.matches('{_SLOT_NAME}'))",
                "a slot's name has at most 15 lower-case letters, digits and dashes, for example blue",
            ),
            rule(
                "self.all(a, self.all(b, a == b || self[a].service != self[b].service))",
                "both slots name the same Service; stable and candidate need one each",
            ),
            rule(
                "self.all(a, self.all(b, a == b || self[a].deployment != self[b].deployment))",
                "both slots name the same Deployment; stable and candidate need one each",
            ),
        ),
    )
    """Exactly two places, by any two names; none at all where the same pods serve every revision that
    the flags name. Example: `{blue: {…}, green: {…}}`."""
    route: Route | None = None
    """What splits traffic between the slots; absent means that the flags say which revision serves."""
    flags: Flags
    """What the agents obey."""

    @property
    def places(self) -> tuple[str, ...]:
        """The names of the two places that hold a bundle, in their order."""
        return PLACES if self.slots is None else tuple(sorted(self.slots))

    def slot(self, name: str) -> Slot | None:
        """Return a slot by its name; ``None`` where there is no such slot, or no slots at all."""
        return (self.slots or {}).get(name)
