"""Tasks that began and have no outcome when their deadline has passed: as many as counters can prove.

An agent that hangs must not look healthy, and what it never finished is in no counter of finished tasks.

Agents that count the ages which their tasks reach (``AGED``, the SDK does) say it themselves: those that
reached the deadline less those that ended later than it. The deadline is the next age that is counted.

Of others it is bounded. With ``d`` the deadline, ``S(t)`` the tasks started by a scrape at ``t`` and
``F_b(t)`` those finished that took at most ``b`` (the buckets), a process that was last scraped at ``L`` has

    lacking = S(T) - sum over buckets of F_b(first scrape at or after T + b, at most L),   T <= L - d.

A task that was started by ``T`` and took at most ``b`` is in ``F_b`` by then, so every finished one is taken
off and ``lacking`` never exceeds the tasks that really have no outcome: *no good agent is harmed by it*. It
falls short by what began and ended within a bucket's width and a scrape after ``T``, once. Without a
histogram ``b`` is unbounded and it falls short by a deadline's worth of tasks.

- Counters are a process's own, so what was in flight when evidence began is known and no debt.
- A restart loses what was in flight: started, never finished. A pod that is gone for good (no target any
  more, while others of its agent are scraped) lost all that it had started.
- A gap between scrapes moves ``L``, and with it ``T``: nobody is late because nobody looked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from agentrelease.core.counters import Sample
    from agentrelease.core.series import Series, Target

STARTED = "agentrelease_started_tasks_total"
FINISHED = "agentrelease_tasks_total"
DURATIONS = "agentrelease_task_duration_seconds"
AGED = "agentrelease_aged_tasks_total"

ALL_TASKS = "tasks"
"""What tasks a path is of: all; others are named by the labels that they have to have."""

LAG = 0.1
"""Seconds by which two numbers of one scrape may be apart: a page takes a moment to write."""

GONE_AFTER = 4.0
"""Scrapes in a row that a process must have missed, while others were scraped, to be gone."""

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Line:
    """A counter that only rises: restarts are added up. Times are unix seconds.

    ``raw`` are the values as they were scraped, since the last restart.
    """

    times: Sequence[float]
    values: Sequence[float]
    raw: Sequence[float]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Line:
        """Read one series' samples, which are in order of time."""
        raw = [sample.value for sample in samples]
        steps = (after if after < before else after - before for before, after in pairwise(raw))
        return cls([sample.at for sample in samples], list(accumulate(steps, initial=raw[0])), raw)

    def by(self, at: float) -> float:
        """The value of the last sample at or before a time; 0 before the first."""
        place = bisect_right(self.times, at)
        return self.values[place - 1] if place else 0.0

    def now(self, at: float) -> float:
        """The value as it was last scraped up to a time; 0 before the first."""
        place = bisect_right(self.times, at)
        return self.raw[place - 1] if place else 0.0

    def from_then(self, at: float, latest: float) -> float:
        """The value of the first sample at or after a time, or of the last one up to ``latest``."""
        place = bisect_left(self.times, at)
        if place < len(self.times) and self.times[place] <= latest:
            return self.values[place]
        return self.by(latest)


@dataclass(slots=True)
class Process:
    """One process and one stratum of its tasks. ``buckets`` count those that took at most so long."""

    labels: Mapping[str, str]
    started: Line
    target: Target
    buckets: list[tuple[float, Line]] = field(default_factory=list)
    finished: list[Line] = field(default_factory=list)
    aged: list[tuple[float, Line]] = field(default_factory=list)

    def newest(self, at: float) -> float:
        """Time of the last scrape up to a moment; minus infinity before the first."""
        place = bisect_right(self.started.times, at)
        return self.started.times[place - 1] if place else -inf

    def lacking(self, at: float, deadline: float, seen: float) -> float:
        """Tasks without an outcome at a moment, at least; below zero while it can't be told.

        ``seen`` is when any process of the agent was last scraped; infinitely early where this one is
        known to be somebody's target still.
        """
        last = self.newest(at)
        if self._gone(last, deadline, seen):
            return self.started.by(last) - self._done(inf, last)
        told = self._told(last, deadline)
        if told is not None:
            return told
        place = bisect_right(self.started.times, last - deadline)
        if not place:
            return 0.0
        return self.started.values[place - 1] - self._done(self.started.times[place - 1], last)

    def _told(self, last: float, deadline: float) -> float | None:
        """What the agent says itself, and what its restarts lost; ``None`` where it does not say it."""
        buckets = dict(self.buckets)
        for age, aged in self.aged:
            if age >= deadline and age in buckets:
                ended, in_time = buckets[inf], buckets[age]
                lost = self.started.by(last) - self.started.now(last) - ended.by(last) + ended.now(last)
                return aged.now(last) - (ended.now(last) - in_time.now(last)) + lost
        return None

    def _gone(self, last: float, deadline: float, seen: float) -> bool:
        place = bisect_left(self.started.times, last)
        if not place:
            return False
        interval = last - self.started.times[place - 1]
        return seen - last >= max(deadline, GONE_AFTER * interval)

    def _done(self, then: float, last: float) -> float:
        """Tasks finished by ``last`` that may have been among those started by ``then``; all for infinity."""
        if not self.buckets:
            return sum(line.by(last) for line in self.finished)
        done, shorter = 0.0, None
        for longest, line in self.buckets:
            at = min(then + longest + LAG, last)
            done += line.from_then(at, last) - (shorter.from_then(at, last) if shorter else 0.0)
            shorter = line
        return done


def processes(
    started: Iterable[Series],
    buckets: Iterable[Series],
    finished: Iterable[Series],
    aged: Iterable[Series] = (),
) -> tuple[Process, ...]:
    """Join what is of the same process and stratum: series that differ by one label of their own."""
    found = {_key(one, ()): Process(one.labels, Line.of(one.samples), one.target) for one in started}
    for one in buckets:
        process = found.get(_key(one, ("le",)))
        if process is not None:
            process.buckets.append((float(one.labels.get("le", "inf")), Line.of(one.samples)))
    for one in finished:
        process = found.get(_key(one, ("outcome",)))
        if process is not None:
            process.finished.append(Line.of(one.samples))
    for one in aged:
        process = found.get(_key(one, ("age",)))
        if process is not None:
            process.aged.append((float(one.labels.get("age", "inf")), Line.of(one.samples)))
    for process in found.values():
        process.aged.sort(key=lambda age: age[0])
        process.buckets.sort(key=lambda bucket: bucket[0])
        if not process.buckets or process.buckets[-1][0] != inf:
            process.buckets.clear()
            process.aged.clear()  # an incomplete histogram proves nothing
    return tuple(p for p in found.values() if p.buckets or p.finished)


def path(
    some: Iterable[Process],
    points: Sequence[float],
    deadline: float,
    seen: Mapping[float, float],
    listed: Collection[Target],
) -> tuple[float, ...]:
    """Return what these processes lack together at each point, in unix seconds.

    ``seen`` is by point when any process of the agent was last scraped; ``listed`` are targets that are
    down but still somebody's, so not gone.
    """
    some = tuple(some)
    return tuple(
        sum(p.lacking(at, deadline, -inf if p.target in listed else seen[at]) for p in some) for at in points
    )


def last_seen(some: Iterable[Process], points: Iterable[float]) -> dict[float, float]:
    """Return by point when any of these processes was last scraped."""
    some = tuple(some)
    return {at: max((p.newest(at) for p in some), default=-inf) for at in points}


def _key(series: Series, without: Collection[str]) -> Labels:
    return frozenset(item for item in series.labels.items() if item[0] not in without)
