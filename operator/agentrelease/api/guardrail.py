"""GuardrailPolicy: metrics, how much worse is too much, and what a breach causes.

A guardrail is a metric, two margins and a consequence. Worse than ``tolerance``, proven, brings the
consequence; harm as large as ``maxHarm`` excluded allows promotion; neither is a hold.
"""

from __future__ import annotations

from pydantic import Field

from agentrelease.api.base import Duration, Model, Name
from agentrelease.api.vocabulary import Action, Autonomy, MetricClass


class Selector(Model):
    """A Prometheus counter and the label values that pick its series."""

    metric: str = Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", max_length=200)
    match: dict[str, str] = Field(default_factory=dict, max_length=16)


class Ratio(Model):
    """A share of tasks: exactly one of ``good`` and ``bad``, out of ``of``."""

    good: Selector | None = None
    bad: Selector | None = None
    of: Selector


class Event(Model):
    """A counter of which one increase is enough."""

    metric: str = Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", max_length=200)
    match: dict[str, str] = Field(default_factory=dict, max_length=16)


class Latency(Model):
    """The share of tasks slower than a bucket edge of a histogram; never a quantile."""

    histogram: str = Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", max_length=200)
    slower_than: Duration


class Cost(Model):
    """Mean cost per task, each task's cost capped, from a counter of cost and one of tasks."""

    metric: str = Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", max_length=200)
    of: Selector
    cap: float = Field(gt=0)


class Margin(Model):
    """A bound on the candidate's bad rate: ``relative × stable + absolute``."""

    relative: float = Field(default=1.0, ge=0.5, le=10)
    absolute: float = Field(default=0.0, ge=0, le=1)


class Metric(Model):
    """One guardrail."""

    name: Name
    class_: MetricClass = Field(alias="class")
    ratio: Ratio | None = None
    event: Event | None = None
    latency: Latency | None = None
    cost: Cost | None = None
    worse_when: str | None = Field(default=None, pattern="^(higher|lower)$")
    tolerance: Margin | None = None
    max_harm: Margin | None = None
    max_harm_stratum: Margin | None = None
    ceiling: float | None = Field(default=None, ge=0, le=1)
    floor: float | None = Field(default=None, ge=0, le=1)
    when_autonomy: list[Autonomy] = Field(default_factory=list, max_length=4)
    weight: float | None = Field(default=None, gt=0, le=1)
    alpha: float | None = Field(default=None, gt=0, le=0.2)
    on_breach: Action


class Strata(Model):
    """Which labels split the traffic into strata, and which strata must be proven safe by themselves."""

    labels: list[str] = Field(default_factory=list, max_length=3)
    required: list[dict[str, str]] = Field(default_factory=list, max_length=8)


class GuardrailPolicySpec(Model):
    """The guardrails of one or many releases."""

    strata: Strata = Field(default_factory=Strata)
    false_rollback: float = Field(default=0.05, gt=0, le=0.2)
    unit: str = Field(default="task", pattern="^(task|session)$")
    stale_after: Duration = Duration("60s")
    blind_after: Duration = Duration("5m")
    metrics: list[Metric] = Field(min_length=1, max_length=24)


class GuardrailPolicy(Model):
    """The object as the API server stores it; ClusterGuardrailPolicy has the same spec."""

    name: str
    namespace: str | None = None
    generation: int = 0
    spec: GuardrailPolicySpec
