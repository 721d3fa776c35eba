"""AgentIncident: what broke, where, how badly, and what should have happened instead.

The operator opens it with what it saw, which never changes afterwards; people add the label. Together they
are the source of regression cases. Content with personal data stays outside and is named by reference.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from agentrelease.api.base import Digest, Instant, Model, Name
from agentrelease.api.schema import rule, rules, unique
from agentrelease.api.vocabulary import Autonomy


class Severity(StrEnum):
    """How bad it is, mildest first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Layer(StrEnum):
    """The layer that is blamed."""

    MODEL = "model"
    PROMPTS = "prompts"
    RETRIEVAL = "retrieval"
    TOOLS = "tools"
    CONNECTORS = "connectors"
    POLICIES = "policies"
    ROUTING = "routing"
    POST_PROCESSING = "postProcessing"
    MEMORY = "memory"
    WORKFLOW = "workflow"
    INFRASTRUCTURE = "infrastructure"


class Symptom(StrEnum):
    """What people and telemetry saw."""

    WRONG_RESULT = "wrong-result"
    ABANDONED = "abandoned"
    UNSAFE_ACTION = "unsafe-action"
    POLICY_VIOLATION = "policy-violation"
    DATA_LEAK = "data-leak"
    INJECTION = "injection"
    LOOP = "loop"
    COST = "cost"
    LATENCY = "latency"
    HANDOFF = "handoff"
    DUPLICATE_SIDE_EFFECT = "duplicate-side-effect"


class IncidentEvidence(Model):
    """The numbers that opened the incident."""

    metric: str = Field(max_length=63)
    """The guardrail's name. Example: `policy-violations`."""
    stratum: str = Field(default="", max_length=256)
    """The stratum that it broke in; empty for all traffic. Example: `risk_tier=high`."""
    value: float | None = None
    """What was measured, in the metric's unit."""
    bound: float | None = None
    """What it was held against."""
    samples: int = Field(default=0, ge=0)
    """Tasks of the candidate that were counted."""
    window: str = Field(default="", max_length=64)
    """When it was measured. Example: `2026-11-30T12:00:00Z/PT5M`."""
    message: str = Field(default="", max_length=512)
    """The same in one sentence."""


class IncidentLabel(Model):
    """What a person found out."""

    layer: Layer | None = None
    """The layer that is to blame."""
    symptom: Symptom | None = None
    """What was wrong, if it differs from what the operator saw."""
    asi: str | None = Field(default=None, pattern=r"^ASI(0[1-9]|10)$", max_length=5)
    """OWASP Agentic 2026 code of a security symptom. Example: `ASI02`."""
    expected: str = Field(default="", max_length=1024)
    """What the agent should have done. Example: `ask for approval`."""
    must_not: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default_factory=list, max_length=16, json_schema_extra=unique()
    )
    """What must not happen again. Example: `[tool:payments.refund]`."""
    cases: list[Annotated[str, Field(min_length=1, max_length=512)]] = Field(
        default_factory=list, max_length=32, json_schema_extra=unique()
    )
    """References to redacted transcripts, never their text. Example: `s3://cases/inc-142.jsonl`."""
    note: str = Field(default="", max_length=2048)
    """Anything else, without personal data."""


class IncidentSpec(Model):
    """What the operator saw, and a person's label."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *(
                rule(
                    f"has(self.{name}) == has(oldSelf.{name}) "
                    f"&& (!has(self.{name}) || self.{name} == oldSelf.{name})",
                    f"{name} is what was seen and never changes; findings belong into label",
                    field=f".{name}",
                )
                for name in ("release", "revision", "digest", "phase", "openedAt", "symptom", "evidence")
            )
        )
    )

    release: Name
    """The AgentRelease in this namespace. Example: `support`."""
    revision: str = Field(max_length=63)
    """The revision that broke. Example: `support-3f9a0c11de`."""
    digest: Digest
    """Its bundle's digest."""
    parent: str | None = Field(default=None, max_length=63)
    """The revision that was stable meanwhile."""
    phase: str = Field(default="", max_length=63)
    """The phase it broke in."""
    autonomy: Autonomy | None = None
    """The autonomy it had."""
    opened_at: Instant
    """When the operator opened it. Example: `2026-11-30T12:00:00Z`."""
    severity: Severity
    """How bad it is; people may correct it."""
    symptom: Symptom | None = None
    """What was seen."""
    evidence: list[IncidentEvidence] = Field(default_factory=list, max_length=24)
    """The guardrails that were breached, with their numbers."""
    label: IncidentLabel | None = None
    """What a person found out."""
    closed: bool = False
    """Whether the case is done with; an open one keeps its revision from being deleted."""
