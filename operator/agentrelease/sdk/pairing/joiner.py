"""Putting two judgements of the same request together, within bounded memory and time."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from agentrelease.sdk.metrics import Strata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.core import Metric

OUTCOMES = ("completion", "violation", "correction", "escalation")
"""What an agent of this SDK judges: was it not completed, was there a violation, and so on."""

JUDGED = ("both_good", "both_bad", "candidate_only_bad", "stable_only_bad")
UNMATCHED = ("candidate_missing", "stable_missing")

MAX_REVISIONS = 32
"""Pairs of revisions counted at once, and agents known; those not heard of for longest go."""

Stratum = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """What one agent says of one request. ``bad`` is ``None`` when it has only begun."""

    request: str
    release: str
    copy: bool
    stratum: Stratum
    bad: Mapping[str, bool] | None


@dataclass(slots=True)
class _Waiting:
    """A request of which not everything is known; ``settled`` ones only keep repetitions out."""

    since: float
    live: Told | None = None
    copy: Told | None = None
    settled: bool = False


class Joiner:
    """Counts pairs. ``window`` is seconds to wait for the other side, ``capacity`` requests kept at most.

    ``clock`` is monotonic, in seconds. Not thread-safe.
    """

    def __init__(
        self,
        *,
        outcomes: tuple[str, ...] = OUTCOMES,
        strata: Strata | None = None,
        window: float = 60.0,
        capacity: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outcomes = outcomes
        self._strata = strata or Strata()
        self._window, self._capacity, self._clock = window, capacity, clock
        self._waiting: OrderedDict[tuple[str, str], _Waiting] = OrderedDict()
        self._live: OrderedDict[str, str] = OrderedDict()  # agent → the release that answers its users
        self._counts: OrderedDict[tuple[str, str, str], dict[tuple[Stratum, str, str], int]] = OrderedDict()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Page(self))

    def hear(self, agent: str, told: Told) -> None:
        """Take what an agent says; the first judgement of each side stands."""
        self.forget_old()
        self._know(agent, told)
        key = agent, told.request
        waiting = self._waiting.get(key)
        if waiting is None:
            while len(self._waiting) >= self._capacity:
                self._give_up(*self._waiting.popitem(last=False))
            waiting = self._waiting[key] = _Waiting(self._clock())
        if waiting.settled:
            return
        before = waiting.copy if told.copy else waiting.live
        if before is not None and (before.bad is not None or before.release != told.release):
            return
        if told.copy:
            waiting.copy = told
        else:
            waiting.live = told
        self._match(agent, waiting)

    def forget_old(self) -> None:
        """Give up on requests whose window is over."""
        horizon = self._clock() - self._window
        while self._waiting:
            key, waiting = next(iter(self._waiting.items()))
            if waiting.since > horizon:
                return
            del self._waiting[key]
            self._give_up(key, waiting)

    def render(self) -> bytes:
        """Return the page that Prometheus scrapes."""
        self.forget_old()
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the families of the page."""
        labels = (
            "agent",
            "release",
            "stable",
            "metric",
            "outcome",
            "workflow_class",
            "risk_tier",
            "audience",
        )
        family = CounterMetricFamily(
            "agentrelease_shadow_pairs",
            "Requests that both revisions answered, by who was bad",
            labels=labels,
        )
        for revisions, counts in self._counts.items():
            for (stratum, metric, outcome), count in counts.items():
                family.add_metric((*revisions, metric, outcome, *stratum), count)
        yield family
        waiting = sum(not one.settled for one in self._waiting.values())
        yield GaugeMetricFamily(
            "agentrelease_pairing_waiting", "Requests of which one side is not known yet", value=waiting
        )

    def _know(self, agent: str, told: Told) -> None:
        """Remember who answers users, and start counting two revisions at zero when both are known."""
        if not told.copy:
            self._live[agent] = told.release
            self._live.move_to_end(agent)
            if len(self._live) > MAX_REVISIONS:
                self._live.popitem(last=False)
            return
        stable = self._live.get(agent)
        if stable is not None and stable != told.release:
            self._counts_of(agent, told.release, stable)

    def _match(self, agent: str, waiting: _Waiting) -> None:
        live, copy = waiting.live, waiting.copy
        if live is None or copy is None or live.bad is None or copy.bad is None:
            return
        waiting.live = waiting.copy = None
        waiting.settled = True
        if live.release == copy.release:
            return  # a copy to itself compares nothing
        counts, stratum = self._counts_of(agent, copy.release, live.release), self._bound(copy)
        for metric in self._outcomes:
            counts[stratum, metric, _outcome(copy.bad.get(metric), live.bad.get(metric))] += 1

    def _give_up(self, key: tuple[str, str], waiting: _Waiting) -> None:
        """Count a copy that stays alone; a request that was never copied is nothing to count."""
        agent, _ = key
        copy = waiting.copy
        stable = waiting.live.release if waiting.live else self._live.get(agent)
        if waiting.settled or copy is None or stable is None or stable == copy.release:
            return
        outcome = "candidate_missing" if copy.bad is None else "stable_missing"
        counts, stratum = self._counts_of(agent, copy.release, stable), self._bound(copy)
        for metric in self._outcomes:
            counts[stratum, metric, outcome] += 1

    def _counts_of(self, agent: str, candidate: str, stable: str) -> dict[tuple[Stratum, str, str], int]:
        key = agent, candidate, stable
        found = self._counts.get(key)
        if found is None:
            if len(self._counts) >= MAX_REVISIONS:
                self._counts.popitem(last=False)
            every = product(self._strata.workflow_classes, self._strata.risk_tiers, self._strata.audiences)
            places = product(every, self._outcomes, (*JUDGED, *UNMATCHED))
            found = self._counts[key] = dict.fromkeys(places, 0)
        self._counts.move_to_end(key)
        return found

    def _bound(self, told: Told) -> Stratum:
        return self._strata.bound(*told.stratum)


def _outcome(candidate: bool | None, stable: bool | None) -> str:
    """Name a pair; one that a side did not judge by this is unmatched."""
    if candidate is None:
        return "candidate_missing"
    if stable is None:
        return "stable_missing"
    return {
        (False, False): "both_good",
        (True, True): "both_bad",
        (True, False): "candidate_only_bad",
        (False, True): "stable_only_bad",
    }[candidate, stable]


class _Page(Collector):
    def __init__(self, joiner: Joiner) -> None:
        self._joiner = joiner

    def collect(self) -> Iterator[Metric]:
        return self._joiner.collect()
