"""What Prometheus returned: raw samples of counters, as they were scraped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.counters import Sample

SLACK = 0.001
"""Seconds by which sample times are compared; Prometheus rounds them to milliseconds."""


@dataclass(frozen=True, slots=True)
class Series:
    """One time series: its labels without the name, and its samples in order of time."""

    labels: Mapping[str, str]
    samples: tuple[Sample, ...]

    @property
    def newest(self) -> float:
        """Time of the last sample, in unix seconds on Prometheus' clock."""
        return self.samples[-1].at


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at Prometheus.

    ``at`` is Prometheus' own time, ``end`` the newest grid point that is settled, ``since`` the oldest
    time that the samples reach back to. ``series`` is metric → (namespace, agent) → series. ``problem``
    says why nothing here may be relied on; ``unread`` says it for single metrics.
    """

    at: float
    end: float
    since: float
    series: Mapping[str, Mapping[tuple[str, str], tuple[Series, ...]]] = field(default_factory=dict)
    problem: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)

    def of(self, metric: str, namespace: str, agent: str) -> tuple[Series, ...]:
        """Return the series of one agent."""
        return self.series.get(metric, {}).get((namespace, agent), ())
