"""One block of one metric, set against what it is compared with.

Concurrent stable, answers to the same requests, a frozen record and a plain bound all end in the
same statistic; this module says what the two arms and the margins are in each case.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING

from agentrelease.core import bounded, statistics
from agentrelease.core.evidence import Absolute, Frozen, Paired, total

if TYPE_CHECKING:
    from agentrelease.core.evidence import Cell, Comparison, Count
    from agentrelease.core.guardrails import Guardrail

Pair = tuple[float, float]

RECORD_RISK = 0.01
"""Probability that one metric's record misleads: that a true rate lies outside the limits taken for it."""

DISAGREEMENT = 0.5
"""Expected share of stable's bad pairs in which only stable is bad; affects power only."""

_INSIDE = 0.9


@dataclass(frozen=True, slots=True)
class Test:
    """One null hypothesis: margin ``(r, d)``, both arms' ``(n, x)``, and whether ``x`` is at most ``n``."""

    margin: Pair
    candidate: Pair
    stable: Pair = (0.0, 0.0)
    bounded: bool = False

    def boundary(self, rate: float) -> float:
        """The candidate's rate on the margin when stable's is ``rate``."""
        return self.margin[0] * rate + self.margin[1]

    def log_e_value(self, alternative: float, rate: float) -> float:
        """``ln S`` against the alternative that candidate and stable have these rates."""
        rates = (alternative, rate)
        if self.bounded and bounded.fits(self.margin, rates):
            return bounded.log_e_value(self.margin, rates, self.candidate, self.stable)
        return statistics.log_e_value(self.margin, rates, self.candidate, self.stable)


@dataclass(frozen=True, slots=True)
class Contrast:
    """The three tests of a block, and the stable rate that was expected before it."""

    rate: float
    tolerance: Test
    max_harm: Test
    max_harm_alone: Test

    def harm(self) -> list[float]:
        """Log e-values against "within tolerance", one for each alternative."""
        test, rate = self.tolerance, self.rate
        boundary = test.boundary(rate)
        return [test.log_e_value(statistics.harmful(boundary, h), rate) for h in statistics.HORIZONS]

    def safe(self) -> list[float]:
        """Log e-values against "at least max harm", one for each alternative."""
        return [self._safe(self.max_harm, step) for step in statistics.SAFE_STEPS]

    def safe_alone(self) -> float:
        """The log e-value against "at least the max harm of a stratum that is judged by itself"."""
        return self._safe(self.max_harm_alone, statistics.SAFE_STEPS[0])

    def _safe(self, test: Test, step: float) -> float:
        inside = _INSIDE * test.boundary(self.rate)
        return test.log_e_value(min(self.rate * step, inside), self.rate)


def against_bound(bound: float, count: Count, *, bounded: bool) -> Contrast:
    """Set a count against a plain bound on its bad rate."""
    test = Test((0.0, bound), (count.n, count.x), bounded=bounded)
    return Contrast(0.5 * bound, test, test, test)


def against_reference(
    guardrail: Guardrail, key: str, cell: Cell, comparison: Comparison, rate: float
) -> Contrast | None:
    """Set one cell against its reference; ``None`` where a needed arm is unknown or there is none."""
    if cell.candidate is None or isinstance(comparison, Absolute):
        return None
    if isinstance(comparison, Frozen):
        record = recorded(comparison, guardrail.name, key)
        strata = len(comparison.record.get(guardrail.name, {}))
        return None if record is None else _against_record(guardrail, cell.candidate, record, strata)
    if cell.stable is None:
        return None
    candidate, stable = (cell.candidate.n, cell.candidate.x), (cell.stable.n, cell.stable.x)
    margins = (guardrail.tolerance, guardrail.max_harm, guardrail.max_harm_stratum)
    if isinstance(comparison, Paired) and cell.both is not None:
        tests = [_disagreement(m.pair(), candidate, stable, cell.both) for m in margins]
        return Contrast(DISAGREEMENT * rate, *tests)
    return Contrast(rate, *(Test(m.pair(), candidate, stable, guardrail.bounded) for m in margins))


def recorded(comparison: Frozen, metric: str, key: str) -> Count | None:
    """Return the record for a stratum, or for all strata together where it has none of its own."""
    strata = comparison.record.get(metric, {})
    found = strata.get(key) or total(strata.values())
    return found if found is not None and found.n > 0 else None


def limits(record: Count, strata: int) -> Pair:
    """Return limits on the true rate behind a record, for yes/no outcomes and for counts.

    Chernoff's and Bernstein's bounds in closed form: a count with mean m is below ``x`` or above it by
    more than ``sqrt(2 m L)`` (plus ``L/3`` above) with probability at most ``e^-L`` each.
    """
    risk = log(2.0 * strata / RECORD_RISK)
    low = max(0.0, sqrt(record.x + risk / 6.0) - sqrt(risk / 2.0))
    high = sqrt(risk / 2.0) + sqrt(record.x + risk / 2.0)
    return low * low / record.n, high * high / record.n


def _against_record(guardrail: Guardrail, count: Count, record: Count, strata: int) -> Contrast:
    low, high = limits(record, strata)
    margins = (
        guardrail.tolerance.of(high),
        guardrail.max_harm.of(low),
        guardrail.max_harm_stratum.of(low),
    )
    tests = [Test((0.0, bound), (count.n, count.x), bounded=guardrail.bounded) for bound in margins]
    return Contrast((record.x + 0.5) / (record.n + 1.0), *tests)


def _disagreement(margin: Pair, candidate: Pair, stable: Pair, both: float) -> Test:
    """Test pairs that disagree.

    ``pC <= r pB + d`` says the same as ``p10 <= r (p01 + (1 - 1/r) p11) + d``; the share ``1 - 1/r`` of a
    pair that is bad in both arms is an outcome in [0, 1], for which the statistic is valid.
    """
    r, _ = margin
    (n, x_c), (_, x_b) = candidate, stable
    alone_c, alone_b = x_c - both, x_b - both
    if r >= 1.0:
        return Test(margin, (n, alone_c), (n, alone_b + (1.0 - 1.0 / r) * both))
    return Test(margin, (n, alone_c + (1.0 - r) * both), (n, alone_b))
