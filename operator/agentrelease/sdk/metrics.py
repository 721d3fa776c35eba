"""The counters that decide about a release, in Prometheus's names.

Each series exists from the start at zero: a counter that first appears at 1 shows no increase, and a
series that is absent must mean "unknown", never "none". Label values are bounded; a value that nobody
declared is counted under the last, most careful one of its kind, and never makes a new series.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agentrelease.api.vocabulary import Autonomy
from agentrelease.sdk.permissions import effect_of
from agentrelease.sdk.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from agentrelease.sdk.flags import AgentFlags

OUTCOMES = ("completed", "failed", "abandoned", "refused")
DISPOSITIONS = ("simulated", "suggested", "approved", "rejected", "executed", "blocked")
RISK_CLASSES = ("read", "write", "irreversible")
SEVERITIES = ("low", "high", "critical")
CATEGORIES = ("policy", "data-leak", "unsafe-action", "injection", "other")
CORRECTIONS = ("edit", "override", "retry")
ESCALATIONS = ("low_confidence", "routing", "user", "policy")
DURATION_EDGES = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)

_COMMON = ("agent", "release", "workflow_class", "risk_tier", "audience")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose numbers these are; ``bundle_digest`` is the full ``sha256:…``."""

    agent: str
    release: str
    bundle_digest: str


@dataclass(frozen=True, slots=True)
class Strata:
    """The values that may appear; in each list the last is where unknown ones go."""

    workflow_classes: tuple[str, ...] = ("billing", "general")
    risk_tiers: tuple[str, ...] = ("low", "high")
    audiences: tuple[str, ...] = ("internal", "external")

    def bound(self, workflow_class: str, risk_tier: str, audience: str) -> tuple[str, str, str]:
        """Return the declared stratum that these values belong to."""
        return (
            _bounded(workflow_class, self.workflow_classes),
            _bounded(risk_tier, self.risk_tiers),
            _bounded(audience, self.audiences),
        )


class AgentMetrics:
    """One release's counters on a registry of their own."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self,
        identity: Identity,
        *,
        flags: AgentFlags | None = None,
        strata: Strata | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._strata = strata or Strata()
        self._clock = clock
        series = _Series(self._registry)
        every = product(self._strata.workflow_classes, self._strata.risk_tiers, self._strata.audiences)
        self._counts = {
            stratum: Counts(series, (identity.agent, identity.release, *stratum)) for stratum in every
        }
        self._registry.register(_InEffect(identity, flags))

    def task(self, workflow_class: str, risk_tier: str, audience: str) -> Task:
        """Begin a task; use it as a context manager."""
        stratum = self._strata.bound(workflow_class, risk_tier, audience)
        return Task(self._counts[stratum], self._clock)

    def render(self) -> bytes:
        """Return the page that Prometheus scrapes."""
        return generate_latest(_WithoutCreated(self._registry))


class Counts:
    """The series of one stratum, each at zero from the start."""

    def __init__(self, series: _Series, labels: tuple[str, ...]) -> None:
        self._outcomes = {o: series.tasks.labels(*labels, o) for o in OUTCOMES}
        self._duration = series.duration.labels(*labels)
        self._cost = series.cost.labels(*labels)
        self._violations = {
            key: series.violations.labels(*labels, *key) for key in product(SEVERITIES, CATEGORIES)
        }
        self._actions = {
            key: series.actions.labels(*labels, *key) for key in product(DISPOSITIONS, RISK_CLASSES)
        }
        self._corrections = {k: series.corrections.labels(*labels, k) for k in CORRECTIONS}
        self._escalations = {r: series.escalations.labels(*labels, r) for r in ESCALATIONS}

    @staticmethod
    def severer(one: str, other: str) -> bool:
        """Whether the first severity is worse than the second."""
        return SEVERITIES.index(_bounded(one, SEVERITIES)) > SEVERITIES.index(_bounded(other, SEVERITIES))

    def outcome(self, outcome: str, seconds: float) -> None:
        self._outcomes[outcome].inc()
        self._duration.observe(seconds)

    def cost(self, amount: float) -> None:
        self._cost.inc(amount)

    def violation(self, severity: str, category: str) -> None:
        self._violations[_bounded(severity, SEVERITIES), _bounded(category, CATEGORIES)].inc()

    def action(self, disposition: str, risk_class: str | None) -> None:
        # An unknown disposition counts as executed: the one reading that stops a release wrongly at worst.
        known = disposition if disposition in DISPOSITIONS else "executed"
        self._actions[known, effect_of(risk_class)].inc()

    def correction(self, kind: str) -> None:
        self._corrections[_bounded(kind, CORRECTIONS)].inc()

    def escalation(self, reason: str) -> None:
        self._escalations[_bounded(reason, ESCALATIONS)].inc()


class _Series:
    """The metric families."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"agentrelease_{name}", text, (*_COMMON, *labels), registry=registry)

        self.tasks = counter("tasks", "Finished tasks", "outcome")
        self.violations = counter(
            "policy_violations", "Tasks with a policy violation, once per task", "severity", "category"
        )
        self.actions = counter("actions", "Actions by what became of them", "disposition", "risk_class")
        self.corrections = counter("corrected_tasks", "Tasks corrected by a person, once per task", "kind")
        self.escalations = counter("escalated_tasks", "Tasks handed to a person, once per task", "reason")
        self.cost = counter("task_cost", "Cost of tasks in USD")
        self.duration = Histogram(
            "agentrelease_task_duration_seconds",
            "Time from the request to the answer",
            _COMMON,
            buckets=DURATION_EDGES,
            registry=registry,
        )


class _InEffect(Collector):
    """What the flags give at the moment of the scrape, to a task of no particular stratum."""

    def __init__(self, identity: Identity, flags: AgentFlags | None) -> None:
        self._identity = identity
        self._flags = flags

    def collect(self) -> Iterator[Metric]:
        agent, release = self._identity.agent, self._identity.release
        info = GaugeMetricFamily(
            "agentrelease_info", "The bundle that serves", labels=("agent", "release", "bundle_digest")
        )
        info.add_metric((agent, release, self._identity.bundle_digest), 1)
        yield info
        if self._flags is None:
            return
        level = self._flags.permissions("").autonomy
        autonomy = GaugeMetricFamily(
            "agentrelease_autonomy_in_effect",
            "1 for the level in effect, lease and kill switch included",
            labels=("agent", "release", "level"),
        )
        for each in Autonomy:
            autonomy.add_metric((agent, release, str(each)), float(each is level))
        yield autonomy
        age = GaugeMetricFamily(
            "agentrelease_flags_age_seconds",
            "Seconds since the flag provider was last healthy",
            labels=("agent", "release"),
        )
        age.add_metric((agent, release), self._flags.age)
        yield age


class _WithoutCreated(Collector):
    """The registry's families without ``_created``, which doubles the page and which nobody reads.

    The client library's own switch is a global of the process; an agent's other metrics are not ours.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


def _bounded(value: str, known: tuple[str, ...]) -> str:
    return value if value in known else known[-1]
