"""How much more outcomes vary than independent ones would: what evidence has to be divided by.

Tasks of one conversation fail together, so counting them as independent exaggerates evidence. The best
remedy is the right unit (``unit: session``); where outcomes are counted per task, dispersion is
estimated on stable's history and evidence is tempered by it: ``S^(1/phi)``. That is exact for clusters of
fixed size phi and approximate for mixed sizes.
"""

from __future__ import annotations

from math import sqrt
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agentrelease.core.evidence import Count

CERTAIN = 2.0
"""Standard errors above 1 from which dispersion is believed."""


def dispersions(history: Mapping[str, Iterable[Sequence[Count]]]) -> dict[str, float]:
    """Return phi by metric from stable's history: metric → strata → counts in adjacent blocks.

    Rare metrics have too few events to show their clustering, so no metric gets less than the
    median of all: what clusters completions clusters violations, too.
    """
    own = {name: believed(*dispersion(strata)) for name, strata in history.items()}
    floor = median(own.values()) if own else 1.0
    return {name: max(floor, phi) for name, phi in own.items()}


def dispersion(strata: Iterable[Sequence[Count]]) -> tuple[float, int]:
    """Return the variance ratio of adjacent blocks, in which drift cancels, and the number of pairs.

    Sum of ``(x1/n1 - x2/n2)^2`` over its expectation for independent outcomes, each pair at its own
    pooled rate; 1 where nothing bad happened.
    """
    seen, expected, pairs = 0.0, 0.0, 0
    for counts in strata:
        for first, second in zip(counts[::2], counts[1::2], strict=False):
            n, x = first.n + second.n, first.x + second.x
            if first.n <= 0 or second.n <= 0 or n <= 1 or x <= 0:
                continue
            rate = min(1.0, x / n)
            seen += (first.x / first.n - second.x / second.n) ** 2
            expected += rate * (1.0 - rate) * (1.0 / first.n + 1.0 / second.n) * n / (n - 1.0)
            pairs += 1
    return (seen / expected if expected > 0.0 else 1.0), pairs


def believed(phi: float, pairs: int) -> float:
    """Return the phi to use: 1 unless it is clearly more, else one standard error to the safe side."""
    if pairs == 0:
        return 1.0
    error = sqrt(2.0 / pairs)
    return phi * (1.0 + error) if phi > 1.0 + CERTAIN * error else 1.0
