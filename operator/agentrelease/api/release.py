"""AgentRelease: one agent, the bundle it shall have, and how it gets there."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from agentrelease.api.base import Duration, Model, Name
from agentrelease.api.bundle import Bundle
from agentrelease.api.calendar import FreezeDates, Window
from agentrelease.api.delivery import Delivery
from agentrelease.api.phase import PHASES_RISE, Phase
from agentrelease.api.schema import keyed_by, rule, rules, whole
from agentrelease.api.status import ReleaseStatus
from agentrelease.api.vocabulary import Effect


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


class Compensation(Model):
    """What undoes the effects of one class, if the rollout that caused them is rolled back."""

    effect: Literal[Effect.WRITE, Effect.IRREVERSIBLE]
    """The class of effect: `write` or `irreversible`; a tool that says nothing is irreversible."""
    hook: Name
    """A hook of the operator's settings, where the administrator says what it leads to.
    Example: `undo-writes`."""


class Sessions(Model):
    """How a request says that its session has met the candidate, and what becomes of such sessions."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.header) != has(self.cookie)",
                "a session is known by exactly one thing: header or cookie",
            )
        )
    )

    header: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")
    """The header in which clients send back the revision that answered them. Example: `x-agent-release`."""
    cookie: str | None = Field(
        default=None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
    )
    """The cookie in which agents give their revision to clients. Example: `agent-release`."""
    answers: Literal["drain", "cut"] = "drain"
    """`drain`: a candidate that was rolled back answers such sessions for `drainFor` more, at autonomy
    `observe`. `cut`: their next request goes to stable. A safety guardrail's breach always cuts. Actions
    are cut at once either way."""
    drain_for: Duration = Field(
        default=Duration("5m"),
        json_schema_extra=rules(
            rule(
                "duration(self) >= duration('1s') && duration(self) <= duration('24h')",
                "sessions are drained for at least a second and at most a day; to end them at once set "
                "answers: cut",
            )
        ),
    )
    """How long; a newer bundle waits so long too. Example: `10m`."""


class Rollback(Model):
    """How long missing evidence is borne, where to go back to by hand, and what undoes effects."""

    hold_budget: Duration = Duration("15m")
    """How long a phase may hold for want of evidence before exposure is stepped down."""
    to: Name | None = None
    """The revision to go back to; while it is set, the bundle in the spec is refused."""
    of: Name | None = None
    """The revision that the order is about; absent means whatever the spec holds."""
    compensations: list[Compensation] = Field(
        default_factory=list, max_length=2, json_schema_extra=keyed_by("effect")
    )
    """Hooks that undo what a rolled-back candidate did to the world, by class of effect."""
    sessions: Sessions | None = None
    """Who is in the middle of a conversation with a rolled-back candidate; absent, their next request goes
    to stable. Needs a route."""


class Watch(Model):
    """Guardrails that go on after promotion, because providers change models under a fixed name."""

    duration: Duration = Duration("168h")
    """How long after its promotion a revision is watched; `0s` is not at all. Example: `72h`."""
    compensation_window: Duration = Field(
        default=Duration("1h"),
        json_schema_extra=rules(
            rule(
                "duration(self) <= duration('24h')",
                "at most the last day of a revision that served is undone; older effects are for people",
            )
        ),
    )
    """How much of what a watched revision did is undone when it is taken back: the effects of so long
    before, none from before its promotion. `0s` is nothing. Example: `30m`."""


class ReleaseSpec(Model):
    """What the user asks for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.delivery.route) || !has(self.rollback) || !has(self.rollback.sessions)",
                "flags can't tell a session in flight from a new one, so without delivery.route none can be "
                "drained: leave sessions out",
                field=".rollback",
            ),
            rule(
                "has(self.delivery.route) || self.phases.all(p, !has(p.mirror))",
                "flags can't copy requests, so without delivery.route no phase can mirror: begin with a "
                "cohort or a small weight at autonomy observe",
                field=".phases",
            ),
            rule(
                "self.phases.all(p, !has(p.cohort) || has(p.cohort.attribute) != has(self.delivery.route))",
                "a cohort is told to a route by header, cookie or claim, and to the flags, where no route "
                "splits, by attribute",
                field=".phases",
            ),
            rule(
                "has(self.delivery.slots) || !has(self.rollback) || !has(self.rollback.compensations) "
                "|| size(self.rollback.compensations) == 0",
                "compensations read the action logs of a slot's pods: give delivery.slots",
                field=".rollback",
            ),
        )
    )

    bundle: Bundle
    """The agent's ten layers, each pinned exactly. A change here starts a rollout."""
    delivery: Delivery
    """Which objects carry exposure: slots, route and flags, all in this namespace."""
    phases: list[Phase] = Field(min_length=1, max_length=24, json_schema_extra=keyed_by("name") | PHASES_RISE)
    """Points of exposure from least to most; the last one has weight 100."""
    guardrails: list[GuardrailRef] = Field(min_length=1, max_length=8, json_schema_extra=whole())
    """Policies whose metrics judge the candidate. All of them apply."""
    first_release: Literal["promote", "phases"] = "phases"
    """For an agent without a stable revision: go through the phases against absolute bounds only, or
    serve the first bundle at once."""
    rollback: Rollback = Field(default_factory=Rollback)
    """Going back, by the operator and by hand."""
    watch: Watch = Field(default_factory=Watch)
    """The watch after promotion: a breach lowers autonomy or returns to the revision that served before."""
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
