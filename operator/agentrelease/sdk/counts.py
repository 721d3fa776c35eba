"""The counters' families and, for each stratum, their series, all at zero from the start.

A value that nobody declared never makes a new series: it counts under the last, most careful one of its
kind.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from agentrelease.sdk.permissions import effect_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry

OUTCOMES = ("completed", "failed", "abandoned", "refused")
DISPOSITIONS = ("simulated", "suggested", "approved", "rejected", "executed", "blocked")
RISK_CLASSES = ("read", "write", "irreversible")
SEVERITIES = ("low", "high", "critical")
CATEGORIES = ("policy", "data-leak", "unsafe-action", "injection", "other")
CORRECTIONS = ("edit", "override", "retry")
ESCALATIONS = ("low_confidence", "routing", "user", "policy")
LONG = (240.0, 480.0, 900.0, 1800.0)
DURATION_EDGES = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, *LONG)
AGES = tuple(edge for edge in DURATION_EDGES if edge >= 1.0)
"""Ages at which a task that still runs is counted; each is an edge of the histogram as well."""

LATE_LABELS = ("violated", "escalated", "corrected")
"""What may be said of a task until it is mature; what nobody declared counts as corrected."""

_COMMON = ("agent", "release", "workflow_class", "risk_tier", "audience")


class Counts:
    """The series of one stratum, each at zero from the start."""

    def __init__(self, series: Series, labels: tuple[str, ...]) -> None:
        self._started = series.started.labels(*labels)
        self._aged = [series.aged.labels(*labels, str(age)) for age in AGES]
        self._running: dict[object, list[float]] = {}  # when it began, and the place of its next age
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
        self._late = None if series.late is None else LateCounts(series.late, labels)

    @staticmethod
    def severer(one: str, other: str) -> bool:
        """Whether the first severity is worse than the second."""
        return SEVERITIES.index(bounded(one, SEVERITIES)) > SEVERITIES.index(bounded(other, SEVERITIES))

    def started(self, task: object, at: float) -> None:
        self._running[task] = [at, 0]
        self._started.inc()

    def grow_older(self, now: float) -> None:
        """Count the ages that running tasks have reached since this was last asked."""
        for running in tuple(self._running.values()):
            self._grow_older(running, now)

    def _grow_older(self, running: list[float], now: float) -> None:
        began, place = running[0], int(running[1])
        while place < len(AGES) and now - began > AGES[place]:
            self._aged[place].inc()
            place += 1
        running[1] = place

    def outcome(self, task: object, outcome: str, seconds: float) -> None:
        running = self._running.pop(task, None)
        if running is not None:
            self._grow_older(running, running[0] + seconds)
        self._outcomes[outcome].inc()
        self._duration.observe(seconds)

    def cost(self, amount: float) -> None:
        self._cost.inc(amount)

    def violation(self, severity: str, category: str) -> None:
        self._violations[bounded(severity, SEVERITIES), bounded(category, CATEGORIES)].inc()

    def action(self, disposition: str, risk_class: str | None) -> None:
        # An unknown disposition counts as executed: the one reading that stops a release wrongly at worst.
        known = disposition if disposition in DISPOSITIONS else "executed"
        self._actions[known, effect_of(risk_class)].inc()

    def correction(self, kind: str) -> None:
        self._corrections[bounded(kind, CORRECTIONS)].inc()

    def escalation(self, reason: str) -> None:
        self._escalations[bounded(reason, ESCALATIONS)].inc()

    def matured(self, labels: Iterable[str]) -> None:
        if self._late is not None:
            self._late.matured.inc()
            for label in {bounded(one, LATE_LABELS) for one in labels}:
                self._late.labelled[label].inc()

    def unmatured(self) -> None:
        if self._late is not None:
            self._late.unmatured.inc()


class LateCounts:
    """The series of one stratum that wait for late labels."""

    def __init__(self, series: LateSeries, labels: tuple[str, ...]) -> None:
        self.matured = series.matured.labels(*labels)
        self.unmatured = series.unmatured.labels(*labels)
        self.labelled = {label: series.labelled.labels(*labels, label) for label in LATE_LABELS}


class LateSeries:
    """The metric families of agents that wait for late labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"agentrelease_{name}", text, (*_COMMON, *labels), registry=registry)

        self.matured = counter("matured_tasks", "Tasks whose time for late labels is over")
        self.labelled = counter("matured_labelled_tasks", "Those of them that had this label", "label")
        self.unmatured = counter("unmatured_tasks", "Tasks given up before that, for lack of memory")


class Series:
    """The metric families."""

    def __init__(self, registry: CollectorRegistry, *, late: bool = False) -> None:
        self.late = LateSeries(registry) if late else None

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"agentrelease_{name}", text, (*_COMMON, *labels), registry=registry)

        self.started = counter("started_tasks", "Tasks that began, finished or not")
        self.aged = counter("aged_tasks", "Tasks that were still running at this age, in seconds", "age")
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


def bounded(value: str, known: tuple[str, ...]) -> str:
    """Return the value if it is known, else the last known one."""
    return value if value in known else known[-1]
