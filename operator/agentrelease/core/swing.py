"""How high stable's rates go by themselves: the rate that its past days came back to.

A record that is compared with when nothing serves beside a revision says nothing about the hour. Rates that
are higher every evening would look like harm every evening. So the record is held to the highest hour of a
day: the median of the past days' highest hours, because a single day with an outage is no habit.

An hour's own rate is noisy where bad outcomes are rare. It is drawn towards the mean of all hours, the more
the less the hours differ by more than chance (James and Stein's shrinkage, with the variance between hours
by moments, as DerSimonian and Laird take it), and ``SURE`` standard deviations of what stays unknown are
added.
Where hours differ by chance alone, the highest rate is the mean.
"""

from __future__ import annotations

from math import sqrt
from statistics import median_low
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agentrelease.core.evidence import Count

HOUR = 3600.0
"""Seconds over which a rate is taken: long enough to count something, short enough for a busy evening."""

DAY = 24
"""Hours of a day."""

DAYS = 7
"""Days of the past that are looked at: a week has every kind of day."""

SURE = 1.0
"""Standard deviations by which the true rate of an hour may exceed its estimate."""

ENOUGH = DAY // 2
"""Hours that a day needs to be one of several; the only day may be shorter."""


def highest(hours: Mapping[int, Count], phi: float = 1.0) -> float:
    """Return the rate that most days reached in some hour; 0 where nothing is known.

    ``hours`` are counts by how many whole hours ago; ``phi`` is the dispersion of outcomes within an hour.
    """
    known = {ago: count for ago, count in hours.items() if count.n > 0}
    n, x = sum(c.n for c in known.values()), sum(c.x for c in known.values())
    if x <= 0:
        return 0.0
    mean = x / n
    between = _between(known.values(), mean, phi)
    levels = {ago: _level(count, mean, between, phi) for ago, count in known.items()}
    days = _by_day(levels)
    whole = [day for day in days if len(day) >= ENOUGH] or days[:1]
    return mean * median_low(max(day) for day in whole)


def _between(hours: Iterable[Count], mean: float, phi: float) -> float:
    """Return the relative variance of the true rates between hours, beyond chance."""
    counts = list(hours)
    beyond = sum((c.x - c.n * mean) ** 2 - phi * c.n * mean for c in counts)
    return max(0.0, beyond / sum((c.n * mean) ** 2 for c in counts))


def _level(count: Count, mean: float, between: float, phi: float) -> float:
    """Return how many times the mean an hour's true rate may be."""
    expected = count.n * mean
    weight = between / (between + phi / expected)
    return 1.0 + weight * (count.x / expected - 1.0) + SURE * sqrt(weight * phi / expected)


def _by_day(levels: Mapping[int, float]) -> list[list[float]]:
    """Return the levels of each day that has any, the newest day first."""
    days: dict[int, list[float]] = {}
    for ago in sorted(levels):
        days.setdefault(ago // DAY, []).append(levels[ago])
    return list(days.values())
