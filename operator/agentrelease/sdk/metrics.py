"""The numbers that decide about a release, in Prometheus's names.

Each series exists from the start at zero: a counter that first appears at 1 shows no increase, and a
series that is absent must mean "unknown", never "none".
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agentrelease.api.vocabulary import Autonomy
from agentrelease.sdk.counts import Counts, Series, bounded
from agentrelease.sdk.maturing import Late, Maturing
from agentrelease.sdk.task import Pair, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

    from agentrelease.sdk.flags import AgentFlags
    from agentrelease.sdk.pairing.reporter import PairReporter


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
            bounded(workflow_class, self.workflow_classes),
            bounded(risk_tier, self.risk_tiers),
            bounded(audience, self.audiences),
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
        pairing: PairReporter | None = None,
        late: Late | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._pairing = pairing
        self._registry = CollectorRegistry(auto_describe=False)
        self._strata = strata or Strata()
        self._clock = clock
        self._maturing = None if late is None else Maturing(late, clock)
        series = Series(self._registry, late=late is not None)
        every = product(self._strata.workflow_classes, self._strata.risk_tiers, self._strata.audiences)
        self._counts = {
            stratum: Counts(series, (identity.agent, identity.release, *stratum)) for stratum in every
        }
        self._registry.register(_InEffect(identity, flags, self._strata))

    def stratum(self, workflow_class: str, risk_tier: str, audience: str) -> tuple[str, str, str]:
        """Return the declared stratum that these values belong to.

        Ask the flags about this one too: what is allowed to a request and where its actions are counted
        must be the same, or an action that was allowed counts as forbidden.
        """
        return self._strata.bound(workflow_class, risk_tier, audience)

    def task(
        self, workflow_class: str, risk_tier: str, audience: str, *, request: str = "", mirrored: bool = False
    ) -> Task:
        """Begin a task; use it as a context manager.

        ``request`` is the id that the gateway gave the request (``x-request-id``) and ``mirrored`` says that
        it is a copy whose answer nobody reads; both are for answers that are judged in pairs. Labels that
        come late name their task by ``request`` too.
        """
        stratum = self._strata.bound(workflow_class, risk_tier, audience)
        pair = None
        if self._pairing is not None and request:
            pair = Pair(self._pairing, request, stratum, copy=mirrored)
        return Task(self._counts[stratum], self._clock, pair, self._maturing, request)

    def label(self, request: str, label: str) -> bool:
        """Say something of a task that ended: ``corrected``, ``escalated`` or ``violated``.

        Returns whether it counts: false for a task that nobody knows (any more), after its window, and where
        this was built without ``late``.
        """
        return self._maturing is not None and self._maturing.label(request, label)

    def render(self) -> bytes:
        """Return the page that Prometheus scrapes."""
        return page_of([self])

    def families(self) -> Iterator[Metric]:
        """Return what there is to tell, without ``_created``, which doubles a page and which nobody reads.

        The client library's own switch is a global of the process; an agent's other metrics are not ours.
        """
        now = self._clock()
        for counts in self._counts.values():
            counts.grow_older(now)
        if self._maturing is not None:
            self._maturing.ripen()
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


def page_of(metrics: Iterable[AgentMetrics]) -> bytes:
    """Return one page for all releases that a process serves; each family stands in it once."""
    return generate_latest(_Together(tuple(metrics)))


class _InEffect(Collector):
    """What the flags give at the moment of the scrape, to a task of each stratum."""

    def __init__(self, identity: Identity, flags: AgentFlags | None, strata: Strata) -> None:
        self._identity = identity
        self._flags = flags
        self._strata = tuple(product(strata.workflow_classes, strata.risk_tiers))

    def collect(self) -> Iterator[Metric]:
        agent, release = self._identity.agent, self._identity.release
        info = GaugeMetricFamily(
            "agentrelease_info", "The bundle that serves", labels=("agent", "release", "bundle_digest")
        )
        info.add_metric((agent, release, self._identity.bundle_digest), 1)
        yield info
        clock = GaugeMetricFamily(
            "agentrelease_clock_seconds",
            "This process's wall clock, by which leases end, in unix seconds",
            labels=("agent", "release"),
        )
        clock.add_metric((agent, release), time.time())
        yield clock
        if self._flags is None:
            return
        autonomy = GaugeMetricFamily(
            "agentrelease_autonomy_in_effect",
            "1 for the level in effect, lease and kill switch included",
            labels=("agent", "release", "workflow_class", "risk_tier", "level"),
        )
        for kind, tier in self._strata:
            level = self._flags.permissions("", workflow_class=kind, risk_tier=tier).autonomy
            for each in Autonomy:
                autonomy.add_metric((agent, release, kind, tier, str(each)), float(each is level))
        yield autonomy
        age = GaugeMetricFamily(
            "agentrelease_flags_age_seconds",
            "Seconds since the flag provider was last healthy",
            labels=("agent", "release"),
        )
        age.add_metric((agent, release), self._flags.age)
        yield age


class _Together(Collector):
    """The families of several releases, of which each has all."""

    def __init__(self, metrics: tuple[AgentMetrics, ...]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for family in (family for one in self._metrics for family in one.families()):
            if family.name in found:
                found[family.name].samples += family.samples
            else:
                found[family.name] = family
        yield from found.values()
