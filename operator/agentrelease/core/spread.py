"""How far apart the arms are: an estimate and an interval that may be looked at at any time.

The estimate weights strata and blocks as Mantel and Haenszel do, so that neither a change of mix nor
of traffic moves it. The interval is an empirical-Bernstein confidence sequence (Howard, Ramdas,
McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", 2021): for Y in [0, 1]
and a predicted m, ``exp(l (Y - E Y) - psi(l) (Y - m)^2)`` with ``psi(l) = -ln(1 - l) - l`` has expectation at
most 1. It holds for the weighted mean of the true differences, for outcomes in [0, 1]. A pair of answers
is one outcome in [0, 1]: ``(1 + candidate - stable) / 2``, predicted to be a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log1p
from typing import TYPE_CHECKING

from agentrelease.core.evidence import Absolute, Frozen
from agentrelease.core.rounding import short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentrelease.core.evidence import Cell, Comparison, Count

_BETS = tuple(0.75 * 0.5**k for k in range(14))


@dataclass(frozen=True, slots=True)
class Spread:
    """Sums over blocks: weighted difference, weight, and quadratic variation around the prediction."""

    shift: float = 0
    weight: float = 0
    variation: float = 0

    def after(self, cell: Cell, rate: float, comparison: Comparison) -> Spread:
        """Return the sums after one more block; ``rate`` was predicted before it."""
        candidate, stable = cell.candidate, cell.stable
        if candidate is None:
            return self
        if isinstance(comparison, (Absolute, Frozen)):
            return self._plus(candidate.x, candidate.n, _variation(candidate, rate))
        if stable is None or candidate.n <= 0 or stable.n <= 0:
            return self
        if cell.both is not None:
            differ = candidate.x + stable.x - 2.0 * cell.both
            return self._plus((candidate.x - stable.x) / 2.0, candidate.n / 2.0, differ / 4.0)
        whole = candidate.n + stable.n
        to_candidate, to_stable = stable.n / whole, candidate.n / whole
        return self._plus(
            to_candidate * candidate.x - to_stable * stable.x,
            candidate.n * stable.n / whole,
            to_candidate**2 * _variation(candidate, rate) + to_stable**2 * _variation(stable, rate),
        )

    @property
    def estimate(self) -> float | None:
        """The weighted mean difference of the bad rates; ``None`` before any exposure."""
        return self.shift / self.weight if self.weight > 0 else None

    def radius(self, alpha: float, phi: float) -> float:
        """Half the width of the interval that misses with probability at most ``alpha``, ever."""
        if self.weight <= 0:
            return float("inf")
        level = log(2.0 * len(_BETS) / alpha)
        reach = min((phi * level + (-log1p(-bet) - bet) * self.variation) / bet for bet in _BETS)
        return reach / self.weight

    def _plus(self, shift: float, weight: float, variation: float) -> Spread:
        return Spread(
            short(self.shift + shift), short(self.weight + weight), short(self.variation + variation)
        )


def joined(spreads: Iterable[Spread]) -> Spread:
    """Return the sums over strata."""
    parts = list(spreads)
    return Spread(sum(s.shift for s in parts), sum(s.weight for s in parts), sum(s.variation for s in parts))


def _variation(count: Count, rate: float) -> float:
    return count.x * (1.0 - rate) ** 2 + max(0.0, count.n - count.x) * rate**2
