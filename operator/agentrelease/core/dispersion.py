"""How much more outcomes vary than independent ones would: what evidence has to be divided by.

Tasks of one conversation fail together, so counting them as independent exaggerates evidence. The best
remedy is the right unit (``unit: session``). Where outcomes are counted per task, dispersion is estimated
from stable's adjacent blocks, in which drift cancels, and evidence is tempered by it: ``S^(1/phi)``. A
phi that was known before the block keeps every guarantee; it makes the test right for clusters of fixed
size phi and nearly so for mixed sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import TYPE_CHECKING

from agentrelease.core.evidence import Count
from agentrelease.core.rounding import short

if TYPE_CHECKING:
    from collections.abc import Mapping

CERTAIN = 2.0
"""Standard errors above 1 from which dispersion is believed."""

_NOBODY = Count(0, 0)


@dataclass(frozen=True, slots=True)
class Scatter:
    """Sums over pairs of adjacent blocks; ``waiting`` is the first of the next pair.

    ``seen`` sums ``(x1/n1 - x2/n2)^2``, each divided by what independent outcomes at the pair's own
    pooled rate would have on average.
    """

    seen: float = 0
    pairs: int = 0
    waiting: Count = _NOBODY

    def after(self, count: Count) -> Scatter:
        """Return the sums after one more block of stable; blocks without traffic are passed over."""
        if count.n <= 0:
            return self
        first = self.waiting
        if first.n <= 0:
            return Scatter(self.seen, self.pairs, count)
        n, x = first.n + count.n, first.x + count.x
        rate = x / n
        if not 0.0 < rate < 1.0 or n <= 1.0:
            return Scatter(self.seen, self.pairs)
        independent = rate * (1.0 - rate) * (1.0 / first.n + 1.0 / count.n) * n / (n - 1.0)
        gap = first.x / first.n - count.x / count.n
        return Scatter(short(self.seen + gap * gap / independent), self.pairs + 1)

    @property
    def phi(self) -> float:
        """The phi to use: 1 unless dispersion is clear, else one standard error to the safe side."""
        if self.pairs == 0:
            return 1.0
        error = sqrt(2.0 / self.pairs)
        found = self.seen / self.pairs
        return found * (1.0 + error) if found > 1.0 + CERTAIN * error else 1.0


def floored(own: Mapping[str, float]) -> dict[str, float]:
    """Return phi by metric, at least the median of all.

    Rare metrics have too few events to show their clustering; what clusters completions clusters
    violations, too.
    """
    floor = median(own.values()) if own else 1.0
    return {name: max(floor, phi) for name, phi in own.items()}
