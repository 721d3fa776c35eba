"""What the operator says about itself to Prometheus; nothing here is read back by any decision.

Built per process with a registry of its own, so that two can live in one test. Series of a release
go away with the release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from agentrelease.edges.events import EventWriter
    from agentrelease.engine.leader import Leader
    from agentrelease.engine.ports import Kind
    from agentrelease.engine.queue import WorkQueue
    from agentrelease.engine.store import Store

_RELEASE = ["namespace", "release"]
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The operator's own metrics, each named ``agentrelease_operator_…``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = self._counter("reconciles", "Reconciles by how they ended.", ["result"])
        self.reconcile_seconds = Histogram(
            "agentrelease_operator_reconcile_seconds",
            "How long one reconcile took.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.decisions = self._counter(
            "decisions", "Decisions that changed exposure, by what they did.", [*_RELEASE, "action"]
        )
        self.evaluated = self._gauge(
            "last_evaluation_timestamp_seconds", "When a release was last looked at.", _RELEASE
        )
        self.weight = self._gauge(
            "candidate_weight",
            "The candidate's share of traffic in percent, in three views.",
            [*_RELEASE, "view"],
        )
        self.compensations = self._counter(
            "compensations", "Calls that undo an effect, by result.", [*_RELEASE, "result"]
        )
        self.effects = self._gauge(
            "effects_not_undone",
            "Effects of rolled-back candidates: pending, failed, or lost to the log.",
            [*_RELEASE, "state"],
        )
        self.incomplete = self._gauge(
            "rollback_incomplete_seconds",
            "How long a rollback has been waiting for what it still lacks; 0 when none is.",
            _RELEASE,
        )
        self.decisions_failed = self._counter("failures", "What did not work and is tried again.", ["what"])

    def observe(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Publish a number that is read at each scrape, such as the queue's length."""
        self._gauge(name, documentation, []).set_function(read)

    def observe_each(
        self, name: str, documentation: str, label: str, read: Callable[[], Mapping[str, float]]
    ) -> None:
        """Publish numbers by one label, read at each scrape, such as the feed's age by kind."""
        self.registry.register(_Read(f"agentrelease_operator_{name}", documentation, label, read))

    def forget(self, namespace: str, release: str) -> None:
        """Drop the series of a release that is gone."""
        gone = {"namespace": namespace, "release": release}
        for metric in (
            self.decisions,
            self.evaluated,
            self.weight,
            self.compensations,
            self.effects,
            self.incomplete,
        ):
            metric.remove_by_labels(gone)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, documentation: str, labels: Iterable[str]) -> Counter:
        return Counter(f"agentrelease_operator_{name}", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, labels: Iterable[str]) -> Gauge:
        return Gauge(f"agentrelease_operator_{name}", documentation, labels, registry=self.registry)


def publish(
    metrics: Metrics,
    *,
    queue: WorkQueue[str],
    leader: Leader,
    store: Store,
    kinds: Iterable[Kind],
    events: EventWriter,
) -> None:
    """Publish what the parts of a running operator know of themselves; read at each scrape."""
    watched = tuple(kinds)

    def ages() -> dict[str, float]:
        known = {kind.name: store.age(kind) for kind in watched}
        return {name: age for name, age in known.items() if age is not None}

    metrics.observe_each("feed_age_seconds", "Since a watch or list last spoke of a kind.", "kind", ages)
    metrics.observe("leading", "1 while this process may raise exposure.", lambda: leader.epoch is not None)
    metrics.observe("epoch", "The number on raising writes; 0 while not leading.", lambda: leader.epoch or 0)
    metrics.observe("queue_ready", "Releases waiting for a worker.", lambda: len(queue))
    metrics.observe("queue_waiting", "Releases that are due later.", lambda: queue.waiting)
    metrics.observe("queue_processing", "Releases that a worker looks at.", lambda: queue.processing)
    metrics.observe("events_dropped", "Events that were given up since the start.", lambda: events.dropped)


class _Read:
    """A collector of one family whose label values are known only at the scrape."""

    def __init__(
        self, name: str, documentation: str, label: str, read: Callable[[], Mapping[str, float]]
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._label = label
        self._read = read

    def collect(self) -> Iterator[Any]:
        """Read now."""
        family = GaugeMetricFamily(self._name, self._documentation, labels=[self._label])
        for value, number in self._read().items():
            family.add_metric([value], number)
        yield family
