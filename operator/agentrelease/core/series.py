"""What Prometheus returned: raw samples of counters, as they were scraped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentrelease.core.counters import increase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.counters import Sample
    from agentrelease.core.evidence import Block

Target = tuple[str, str]
"""A scrape target by ``job`` and ``instance``."""


@dataclass(frozen=True, slots=True)
class Series:
    """One time series: its labels without the name, and its samples in order of time.

    ``from_zero`` says that it began with the first sample; otherwise it may be older than what was read.
    """

    labels: Mapping[str, str]
    samples: tuple[Sample, ...]
    from_zero: bool = True

    @property
    def target(self) -> Target:
        """What was scraped to get it."""
        return self.labels.get("job", ""), self.labels.get("instance", "")

    def grown(self, start: float, end: float) -> float | None:
        """Return the growth in ``(start, end]``; ``None`` is unknown."""
        return increase(self.samples, start, end, from_zero=self.from_zero)

    @property
    def newest(self) -> float:
        """Time of the last sample, in unix seconds on Prometheus' clock."""
        return self.samples[-1].at


@dataclass(frozen=True, slots=True)
class Wanted:
    """A counter to read. ``reach`` is seconds before a block, beyond the look-back, that are needed too.

    ``labels`` pick a router's series by the values that each may have; an agent's are all read.
    """

    metric: str
    reach: float = 0.0
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Picked:
    """The series of a counter that have these labels."""

    metric: str
    match: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Whose counter it is: a revision of an agent."""

    namespace: str
    agent: str
    release: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the past of one agent's revisions (none: all), ``(start, end]`` in unix seconds.

    With a ``step`` (seconds) a sample at each multiple of it is enough; otherwise all there are.
    """

    namespace: str
    agent: str
    revisions: tuple[str, ...]
    start: float
    end: float
    step: float = 0.0


@dataclass(frozen=True, slots=True)
class Days:
    """Blocks of an hour each from stable's past days, what is to be said of them, and when they were.

    ``read`` is the part of the past that they are from, in unix seconds; ``unread`` says that it could not
    be asked for, so that nobody knows whether there is any.
    """

    hours: tuple[Block, ...]
    said: str
    read: tuple[float, float]
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """Blocks of stable alone from before ``candidate``'s evidence, and what is to be said of them.

    ``read`` is the part of the past that was read, in unix seconds. ``days`` are read after it.
    """

    candidate: str
    blocks: tuple[Block, ...]
    said: str
    read: tuple[float, float]
    days: Days | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at Prometheus.

    ``at`` is Prometheus' own time, ``end`` the newest grid point that is settled, ``since`` the oldest
    time that the samples reach back to. ``series`` is metric → (namespace, agent) → series. ``problem``
    says why nothing here may be relied on; ``unread`` says it for single metrics. ``down`` are targets that
    could not be scraped when last tried (``up`` is 0). ``pasts`` has stable's history by release, for those
    that asked for it. ``routed`` is metric → series of the router's own.
    """

    at: float
    end: float
    since: float
    series: Mapping[str, Mapping[tuple[str, str], tuple[Series, ...]]] = field(default_factory=dict)
    problem: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
    down: frozenset[Target] = frozenset()
    pasts: Mapping[str, Past] = field(default_factory=dict)
    routed: Mapping[str, tuple[Series, ...]] = field(default_factory=dict)

    def of(self, metric: str, namespace: str, agent: str) -> tuple[Series, ...]:
        """Return the series of one agent."""
        return self.series.get(metric, {}).get((namespace, agent), ())
