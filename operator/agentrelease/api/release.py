"""AgentRelease: one agent, the bundle it shall have, and how it gets there."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field

from agentrelease.api.base import Duration, Model, Name
from agentrelease.api.bundle import Bundle
from agentrelease.api.status import ReleaseStatus
from agentrelease.api.vocabulary import Autonomy, Effect, OnDeadline


class Slot(Model):
    """A place where a bundle runs: a Service and the Deployment behind it."""

    service: Name
    deployment: Name


class Route(Model):
    """The object that splits traffic."""

    http_route: Name | None = None


class Flags(Model):
    """Where the agents read what they may do."""

    config_map: Name
    lease_seconds: int = Field(default=60, ge=5, le=3600)


class Delivery(Model):
    """The levers of one agent. Roles of the slots swap on promotion; nothing is copied."""

    slots: dict[str, Slot] = Field(min_length=2, max_length=2)
    route: Route
    flags: Flags


class HeaderMatch(Model):
    """Requests that carry this header with exactly this value."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")
    value: str = Field(min_length=1, max_length=256, pattern=r"^[ -~]+$")


class Cohort(Model):
    """The people who meet the candidate before any percentage of users does."""

    header: HeaderMatch


class Phase(Model):
    """A point of exposure and what it takes to leave it."""

    name: Name
    mirror: float | None = Field(default=None, ge=0, le=100)
    cohort: Cohort | None = None
    weight: float | None = Field(default=None, ge=0, le=100)
    autonomy: Autonomy
    min_samples: int = Field(default=0, ge=0, le=10_000_000)
    min_duration: Duration = Duration("0s")
    deadline: Duration | None = None
    on_deadline: OnDeadline = OnDeadline.HOLD
    approval: str = Field(default="none", pattern="^(none|required)$")


class GuardrailRef(Model):
    """A GuardrailPolicy of the same namespace, or a ClusterGuardrailPolicy."""

    policy: Name | None = None
    cluster_policy: Name | None = None


class Rollback(Model):
    """How long missing evidence is borne, and where to go back to by hand."""

    hold_budget: Duration = Duration("15m")
    to: Name | None = None  # the revision to go back to; the bundle in spec is refused while this is set
    of: Name | None = None  # the revision that the order is about; absent = whatever the spec holds


class ReleaseSpec(Model):
    """What the user asks for."""

    bundle: Bundle
    delivery: Delivery
    phases: list[Phase] = Field(min_length=1, max_length=32)
    guardrails: list[GuardrailRef] = Field(min_length=1, max_length=8)
    first_release: str = Field(default="phases", pattern="^(promote|phases)$")
    rollback: Rollback = Field(default_factory=Rollback)
    paused: bool = False


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

    def tools_within(self, effects: frozenset[Effect]) -> tuple[str, ...]:
        """Names of the bundle's tools whose effect is one of these, sorted."""
        return tuple(sorted(t.name for t in self.spec.bundle.tools if t.effect in effects))
