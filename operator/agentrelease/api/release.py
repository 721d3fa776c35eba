"""AgentRelease: one agent, the bundle it shall have, and how it gets there."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from agentrelease.api.base import Duration, Model, Name
from agentrelease.api.bundle import Bundle
from agentrelease.api.schema import keyed_by, rule, rules, unique, whole
from agentrelease.api.status import ReleaseStatus
from agentrelease.api.vocabulary import Autonomy, OnDeadline

_SLOT_NAME = "^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$"


class Slot(Model):
    """A place where a bundle runs: a Service and the Deployment behind it."""

    service: Name
    """The Service that reaches this slot's pods and no others. Example: `support-blue`."""
    deployment: Name
    """The Deployment whose pods load the slot's bundle. Example: `support-blue`."""


class Route(Model):
    """The object that splits traffic."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.httpRoute) && has(self.virtualService))",
                "name httpRoute or virtualService, not both: only one object may split the traffic",
            ),
        )
    )

    http_route: Name | None = None
    """A Gateway API HTTPRoute in this namespace. Example: `support`."""
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


class Delivery(Model):
    """The levers of one agent. Roles of the slots swap on promotion; nothing is copied."""

    slots: dict[str, Slot] = Field(
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
    """Exactly two places, by any two names. Example: `{blue: {…}, green: {…}}`."""
    route: Route
    """What splits traffic between the slots."""
    flags: Flags
    """What the agents obey."""


class HeaderMatch(Model):
    """Requests that carry this header with exactly this value."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")
    """The header's name, in any case. Example: `x-audience`."""
    value: str = Field(min_length=1, max_length=128, pattern=r"^[!-~]([ -~]*[!-~])?$")
    """The header's value, exactly. Example: `internal`."""


class Cohort(Model):
    """The people who meet the candidate before any percentage of users does."""

    header: HeaderMatch
    """Requests that carry this header go to the candidate."""


class Phase(Model):
    """A point of exposure and what it takes to leave it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.mirror), has(self.cohort), has(self.weight)].filter(given, given).size() == 1",
                "a phase exposes the candidate in exactly one way: mirror, cohort or weight",
            ),
            rule(
                "!has(self.mirror) || self.autonomy == 'observe'",
                "a mirrored candidate may only observe: nobody sees its answers, so nobody could stop it",
                field=".autonomy",
            ),
            rule(
                "!has(self.deadline) || duration(self.deadline) > "
                "duration(has(self.minDuration) ? self.minDuration : '0s')",
                "deadline must be longer than minDuration, or the phase can't end well",
                field=".deadline",
            ),
            rule(
                "!has(self.onDeadline) || has(self.deadline) || self.onDeadline == 'hold'",
                "onDeadline without a deadline never happens; set deadline",
                field=".deadline",
            ),
        )
    )

    name: Name
    """Unique among the phases; appears in status, Events and approvals. Example: `canary-5`."""
    mirror: float | None = Field(default=None, gt=0, le=100)
    """Percent of live requests copied to the candidate, whose answers are thrown away. Example: `100`."""
    cohort: Cohort | None = None
    """People who reach the candidate while all others stay on stable."""
    weight: float | None = Field(default=None, gt=0, le=100)
    """Percent of live requests that the candidate answers. Example: `5`."""
    autonomy: Autonomy
    """How far the candidate may go: `observe`, `suggestion-only`, `limited-action`, `full-action`."""
    min_samples: int = Field(default=0, ge=0, le=10_000_000)
    """Tasks of the candidate that must be counted in this phase before it may end well."""
    min_duration: Duration = Duration("0s")
    """Time in this phase, counted only while intended, live and measured exposure agree. Example: `1h`."""
    deadline: Duration | None = None
    """After this, `onDeadline` happens; absent means no deadline. Example: `24h`."""
    on_deadline: OnDeadline = OnDeadline.HOLD
    """What a passed deadline causes: `hold`, `stepBack`, `rollback`, `requireApproval`; never promotion."""
    approval: Literal["none", "required"] = "none"
    """Whether a person must approve (AgentApproval) before the candidate enters this phase."""


class GuardrailRef(Model):
    """A GuardrailPolicy of the same namespace, or a ClusterGuardrailPolicy."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.policy) != has(self.clusterPolicy)",
                "name exactly one of policy and clusterPolicy",
            )
        )
    )

    policy: Name | None = None
    """A GuardrailPolicy in this namespace. Example: `agent-defaults`."""
    cluster_policy: Name | None = None
    """A ClusterGuardrailPolicy. Example: `company-safety`."""


class Window(Model):
    """Hours in which exposure may be raised. Lowering is always allowed."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.from != self.to", "a window from and to the same time is never open", field=".to")
        )
    )

    days: list[Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]] = Field(
        min_length=1, max_length=7, json_schema_extra=unique()
    )
    """Weekdays. Example: `[Mon, Tue, Wed, Thu]`."""
    from_: str = Field(alias="from", max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    """The local time from which. Example: `"09:00"`."""
    to: str = Field(max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    """The local time until which; earlier than `from` means over midnight. Example: `"16:00"`."""
    time_zone: str = Field(
        default="UTC", max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"
    )
    """An IANA time zone. Example: `Europe/Zurich`."""


class FreezeDates(Model):
    """Dates on which nothing is raised, both included."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.first <= self.last", "a freeze ends before it begins", field=".last")
        )
    )

    first: str = Field(
        max_length=10, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={"format": "date"}
    )
    """The first date. Example: `"2026-12-20"`."""
    last: str = Field(
        max_length=10, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={"format": "date"}
    )
    """The last date. Example: `"2027-01-03"`."""
    time_zone: str = Field(
        default="UTC", max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"
    )
    """An IANA time zone. Example: `Europe/Zurich`."""


class Rollback(Model):
    """How long missing evidence is borne, and where to go back to by hand."""

    hold_budget: Duration = Duration("15m")
    """How long a phase may hold for want of evidence before exposure is stepped down."""
    to: Name | None = None
    """The revision to go back to; while it is set, the bundle in the spec is refused."""
    of: Name | None = None
    """The revision that the order is about; absent means whatever the spec holds."""


_LAST = "self[size(self) - 1]"
# Spelled out because the API server reckons indexOf at a hundred times the budget.
_LEVEL = (
    "p.autonomy == 'observe' ? 0 : p.autonomy == 'suggestion-only' ? 1 "
    ": p.autonomy == 'limited-action' ? 2 : 3"
)
_PHASES_RISE = rules(
    rule(
        "self.map(p, has(p.weight) ? 2 : has(p.cohort) ? 1 : 0).isSorted()",
        "phases expose the candidate more and more: first mirror, then cohort, then weight",
    ),
    rule(
        "self.filter(p, has(p.mirror)).map(p, p.mirror).isSorted()",
        "the mirrored share must not shrink from one phase to the next",
    ),
    rule(
        "self.filter(p, has(p.weight)).map(p, p.weight).isSorted()",
        "weight must not shrink from one phase to the next",
    ),
    rule(
        f"self.map(p, {_LEVEL}).isSorted()",
        "autonomy must not shrink from one phase to the next",
    ),
    rule(
        f"size(self) == 0 || (has({_LAST}.weight) && {_LAST}.weight == 100.0)",
        "the last phase must have weight 100, or the release could never be promoted",
    ),
)


class ReleaseSpec(Model):
    """What the user asks for."""

    bundle: Bundle
    """The agent's ten layers, each pinned exactly. A change here starts a rollout."""
    delivery: Delivery
    """Which objects carry exposure: slots, route and flags, all in this namespace."""
    phases: list[Phase] = Field(
        min_length=1, max_length=32, json_schema_extra=keyed_by("name") | _PHASES_RISE
    )
    """Points of exposure from least to most; the last one has weight 100."""
    guardrails: list[GuardrailRef] = Field(min_length=1, max_length=8, json_schema_extra=whole())
    """Policies whose metrics judge the candidate. All of them apply."""
    first_release: Literal["promote", "phases"] = "phases"
    """For an agent without a stable revision: go through the phases against absolute bounds only, or
    serve the first bundle at once."""
    rollback: Rollback = Field(default_factory=Rollback)
    """Going back, by the operator and by hand."""
    windows: list[Window] = Field(default_factory=list, max_length=16, json_schema_extra=whole())
    """When exposure may be raised; none means at any time."""
    freezes: list[FreezeDates] = Field(default_factory=list, max_length=32, json_schema_extra=whole())
    """Dates on which exposure is not raised, whatever the windows say."""
    paused: bool = False
    """Holds the candidate where it is. Guardrails and rollback keep working."""


class AgentRelease(Model):
    """The object, with the parts of its metadata that decisions depend on."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    deleting: bool = False
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    spec: ReleaseSpec
    status: ReleaseStatus

    @classmethod
    def from_object(cls, obj: dict[str, Any]) -> Self:
        """Read the object as the API server returns it; raises pydantic's ValidationError."""
        meta = obj["metadata"]
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            resource_version=meta["resourceVersion"],
            deleting="deletionTimestamp" in meta,
            annotations=meta.get("annotations", {}),
            finalizers=tuple(meta.get("finalizers", ())),
            spec=ReleaseSpec.model_validate(obj["spec"]),
            status=ReleaseStatus.model_validate(obj.get("status") or {}),
        )

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"
