"""Counters as they are: raw samples of one series, and what they grew by between two moments.

Prometheus' ``increase()`` extrapolates and loses the first increments of a new series. Here every
scraped increment counts once, exactly, in the block in which it was first seen:

- a value below the one before is a restart from zero, so all of it is growth;
- a series that began inside the block began at zero, so its first value is growth; one that may be older
  than what was read (``from_zero`` is false) only shows from where to count;
- a series that ends keeps what was counted; one that is silent for a while catches up in the block in
  which it speaks again, because growth is measured from the last sample, however old.

Growth between the last scrape and a restart was never scraped and cannot be counted by anybody.
Whether a series began or only speaks again is for whoever read it to know: ``core/births.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Sample:
    """One scraped value; ``at`` is in unix seconds on Prometheus' clock."""

    at: float
    value: float


def increase(samples: Iterable[Sample], start: float, end: float, *, from_zero: bool = True) -> float | None:
    """Return how much a counter grew in ``(start, end]``; ``None`` without a sample in there: unknown.

    ``samples`` are in order of time and include the last one at or before ``start`` where there is one.
    Samples that are not numbers (staleness marks) and repeated times are passed over. Increases over
    adjacent blocks add up to the increase over both. ``from_zero`` says that the first sample's value
    had grown since the one before would have been scraped; otherwise it is only a point to count from.
    """
    previous: float | None = 0.0 if from_zero else None
    latest = float("-inf")
    grown: float | None = None
    for sample in samples:
        if sample.at > end:
            break
        if sample.at <= latest or not isfinite(sample.value):
            continue
        latest = sample.at
        if sample.at > start and previous is not None:
            step = sample.value if sample.value < previous else sample.value - previous
            grown = step if grown is None else grown + step
        previous = sample.value
    return grown


def united(replicas: Sequence[Sequence[Sample]]) -> tuple[Sample, ...]:
    """Return one counter that several Prometheus replicas scraped, without its restarts.

    Each replica sees the same counter at other moments. A restart is what one replica sees in its own
    samples, once for all of them; samples of two replicas that are out of order by a little clock skew
    are no restart and count nothing twice. The result starts with the first value seen and never falls.
    """
    marked = sorted(
        (s.at, place, s.value) for place, samples in enumerate(replicas) for s in samples if isfinite(s.value)
    )
    own: dict[int, tuple[float, int]] = {}  # by replica: its last value, and the restarts known then
    restarts, level, total = 0, 0.0, 0.0
    found: list[Sample] = []
    for at, place, value in marked:
        last, known = own.get(place, (0.0, restarts))
        if value < last and known == restarts:
            restarts += 1
            level = 0.0
        own[place] = (value, restarts)
        total += max(0.0, value - level)
        level = max(level, value)
        if not found or at > found[-1].at:
            found.append(Sample(at, total))
        else:
            found[-1] = Sample(at, total)
    return tuple(found)
