"""How often agents are scraped, as their samples show, and what can be known no sooner because of that.

Nobody tells the operator the interval between scrapes; it may be longer than a block, and two pods are
scraped at different moments. A block in which one arm was scraped and the other was not compares nothing,
and what it counted would be lost as evidence. So it stays open until both were.

When scrapes come depends on no outcome, so a block that ends by them is as good as one that ends by the
clock, and growth is taken from raw samples: longer blocks are the same evidence.
"""

from __future__ import annotations

from itertools import islice, pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentrelease.core.series import Series

NEWEST = 8
"""Samples of each series, from the last back, that show how often it is scraped."""

ENOUGH = 3
"""Gaps between samples that show how often somebody is scraped; one may be a pause."""

ROUNDS = 2.0
"""Intervals in which everybody who can be scraped was, with one attempt lost."""

LONGEST = 300.0
"""Seconds beyond which nothing measured is about the present any more, however rare scrapes are."""


def interval(arms: Iterable[Iterable[Series]]) -> float:
    """Return the seconds between scrapes of the arm that is scraped least; 0 where nobody knows yet."""
    return max((median(gaps) for arm in arms if len(gaps := _gaps(arm)) >= ENOUGH), default=0.0)


def window(every: float, least: float) -> float:
    """Return ``least`` seconds, or as many more as it takes until all were surely scraped."""
    return max(least, min(ROUNDS * every, LONGEST))


def awaited(
    arms: Sequence[Sequence[Series]], start: float, end: float, every: float, patience: float
) -> bool:
    """Whether a block ``(start, end]`` stays open, because an arm that may yet be scraped in it was not.

    ``every`` is the interval between scrapes, and ``patience`` how long a block may last for that at most.
    """
    last = min(ROUNDS * every, patience)
    return end - start < last and not all(_scraped(arm, start, end) for arm in arms)


def _scraped(arm: Iterable[Series], start: float, end: float) -> bool:
    return any(start < sample.at <= end for one in arm for sample in reversed(one.samples))


def _gaps(arm: Iterable[Series]) -> list[float]:
    return [
        newer.at - older.at for one in arm for newer, older in pairwise(islice(reversed(one.samples), NEWEST))
    ]
