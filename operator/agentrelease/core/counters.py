"""Counters as they are: raw samples of one series, and what they grew by between two moments.

Prometheus' ``increase()`` extrapolates and loses the first increments of a new series. Here every
scraped increment counts once, exactly, in the block in which it was first seen:

- a value below the one before is a restart from zero, so all of it is growth;
- a series that begins inside the block began at zero, so its first value is growth;
- a series that ends keeps what was counted; one that is silent for a while catches up in the block in
  which it speaks again, because growth is measured from the last sample, however old.

Growth between the last scrape and a restart was never scraped and cannot be counted by anybody.
Callers must look back further than any gap they want to bridge: a series whose only earlier samples lie
outside what was read looks as if it had just begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Sample:
    """One scraped value; ``at`` is in unix seconds on Prometheus' clock."""

    at: float
    value: float


def increase(samples: Iterable[Sample], start: float, end: float) -> float | None:
    """Return how much a counter grew in ``(start, end]``; ``None`` without a sample in there: unknown.

    ``samples`` are in order of time and include the last one at or before ``start`` where there is one.
    Samples that are not numbers (staleness marks) and repeated times are passed over. Increases over
    adjacent blocks add up to the increase over both.
    """
    previous: float | None = None
    latest = float("-inf")
    grown: float | None = None
    for sample in samples:
        if sample.at > end:
            break
        if sample.at <= latest or not isfinite(sample.value):
            continue
        latest = sample.at
        if sample.at > start:
            step = sample.value if previous is None or sample.value < previous else sample.value - previous
            grown = step if grown is None else grown + step
        previous = sample.value
    return grown
