"""One block of one metric, set against what it is compared with.

Concurrent stable, answers to the same requests, a frozen record and a plain bound all end in the
same statistic; this module says what the two arms and the margins are in each case.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING

from agentrelease.core import bounded, statistics
from agentrelease.core.evidence import Absolute, Frozen, Paired, Recorded, total

if TYPE_CHECKING:
    from collections.abc import Collection

    from agentrelease.core.evidence import Cell, Comparison, Count
    from agentrelease.core.guardrails import Guardrail

Pair = tuple[float, float]

RECORD_RISK = 0.01
"""Probability that one metric's record misleads: that a true rate lies outside the limits taken for it."""

DISAGREEMENT = 0.5
"""Expected share of stable's bad pairs in which only stable is bad, before any; affects power only."""

PSEUDO_PAIRS = 10.0
"""Weight of that expectation, in pairs."""

INSIDE = 0.9
"""How near to the margin an alternative of the safe side may lie; affects power only."""


@dataclass(frozen=True, slots=True)
class Test:
    """One null hypothesis: margin ``(r, d)``, both arms' ``(n, x)``, and whether ``x`` is at most ``n``.

    ``rate`` is the rate of stable's ``x`` that was expected before the block.
    """

    margin: Pair
    candidate: Pair
    stable: Pair = (0.0, 0.0)
    bounded: bool = False
    rate: float = 0.0

    @property
    def boundary(self) -> float:
        """The candidate's rate on the margin when stable's is as expected."""
        return self.margin[0] * self.rate + self.margin[1]

    def log_e_value(self, alternative: float) -> float:
        """``ln S`` against the alternative that the candidate has this rate and stable the expected one."""
        rates = (alternative, self.rate)
        if self.bounded and bounded.fits(self.margin, rates):
            return bounded.log_e_value(self.margin, rates, self.candidate, self.stable)
        return statistics.log_e_value(self.margin, rates, self.candidate, self.stable)


@dataclass(frozen=True, slots=True)
class Contrast:
    """The three tests of a block."""

    tolerance: Test
    max_harm: Test
    max_harm_alone: Test

    def harm(self) -> list[float]:
        """Log e-values against "within tolerance", one for each alternative."""
        test = self.tolerance
        return [test.log_e_value(statistics.harmful(test.boundary, h)) for h in statistics.HORIZONS]

    def safe(self) -> list[float]:
        """Log e-values against "at least max harm", one for each alternative."""
        return [self._safe(self.max_harm, step) for step in statistics.SAFE_STEPS]

    def safe_alone(self) -> float:
        """The log e-value against "at least the max harm of a stratum that is judged by itself"."""
        return self._safe(self.max_harm_alone, statistics.SAFE_STEPS[0])

    def _safe(self, test: Test, step: float) -> float:
        return test.log_e_value(min(test.rate * step, INSIDE * test.boundary))


def against_bound(bound: float, count: Count, *, bounded: bool) -> Contrast:
    """Set a count against a plain bound on its bad rate."""
    test = Test((0.0, bound), (count.n, count.x), bounded=bounded, rate=0.5 * bound)
    return Contrast(test, test, test)


def against_reference(
    guardrail: Guardrail,
    key: str,
    cell: Cell,
    comparison: Comparison,
    rate: float,
    before: Pairs | None = None,
) -> Contrast | None:
    """Set one cell against its reference; ``None`` where a needed arm is unknown or there is none.

    ``rate`` is the stable rate to expect and ``before`` the pairs of earlier blocks.
    """
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
        now = Pairs(cell.candidate.n, cell.candidate.x, cell.stable.x, cell.both)
        return Contrast(*(disagreement(m.pair(), now, (before or Pairs()).expecting(rate)) for m in margins))
    return Contrast(*(Test(m.pair(), candidate, stable, guardrail.bounded, rate) for m in margins))


def recorded(comparison: Frozen, metric: str, key: str) -> Recorded | None:
    """Return the record for a stratum, or for all strata together where it has none of its own."""
    strata = comparison.record.get(metric, {})
    found = strata.get(key) or _together(strata.values())
    return found if found is not None and found.count.n > 0 else None


def _together(strata: Collection[Recorded]) -> Recorded | None:
    count = total(one.count for one in strata)
    if count is None:
        return None
    return Recorded(count, min(one.usual for one in strata), max(one.highest for one in strata))


def limits(record: Count, strata: int) -> Pair:
    """Return limits on the true rate behind a record, for yes/no outcomes and for counts.

    Chernoff's and Bernstein's bounds in closed form: a count with mean m is below ``x`` or above it by
    more than ``sqrt(2 m L)`` (plus ``L/3`` above) with probability at most ``e^-L`` each.
    """
    risk = log(2.0 * strata / RECORD_RISK)
    low = max(0.0, sqrt(record.x + risk / 6.0) - sqrt(risk / 2.0))
    high = sqrt(risk / 2.0) + sqrt(record.x + risk / 2.0)
    return low * low / record.n, high * high / record.n


def _against_record(guardrail: Guardrail, count: Count, record: Recorded, strata: int) -> Contrast:
    """Set a count against a record.

    What was counted may be of a quiet hour. Harm is what is worse than the worst hour of stable's days, and
    safe what is better than their mean, or than what was counted, whichever is more.
    """
    known = record.count
    low, high = limits(known, strata)
    low, high = max(low, record.usual), max(high, record.highest)
    margins = (
        guardrail.tolerance.of(high),
        guardrail.max_harm.of(low),
        guardrail.max_harm_stratum.of(low),
    )
    rate = max((known.x + 0.5) / (known.n + 1.0), record.usual)
    tests = [
        Test((0.0, bound), (count.n, count.x), bounded=guardrail.bounded, rate=rate) for bound in margins
    ]
    return Contrast(*tests)


@dataclass(frozen=True, slots=True)
class Pairs:
    """``n`` requests that both arms answered: bad for the candidate, for stable, and for both."""

    n: float = 0.0
    candidate: float = 0.0
    stable: float = 0.0
    both: float = 0.0

    def expecting(self, rate: float) -> Pairs:
        """Return these pairs and a few more as they are expected where stable is bad at ``rate``."""
        bad = PSEUDO_PAIRS * rate
        shared = (1.0 - DISAGREEMENT) * bad
        return Pairs(self.n + PSEUDO_PAIRS, self.candidate + bad, self.stable + bad, self.both + shared)

    def apart(self, r: float) -> Pair:
        """What counts for the candidate and for stable at a relative margin ``r``; see ``disagreement``."""
        alone_c, alone_b = self.candidate - self.both, self.stable - self.both
        if r >= 1.0:
            return alone_c, alone_b + (1.0 - 1.0 / r) * self.both
        return alone_c + (1.0 - r) * self.both, alone_b


def disagreement(margin: Pair, now: Pairs, before: Pairs) -> Test:
    """Test pairs that disagree.

    With ``p10`` (only the candidate is bad), ``p01`` (only stable) and ``p11`` (both), ``pC <= r pB + d``
    says ``p10 <= r (p01 + w p11) + d`` with ``w = 1 - 1/r``, and for ``r < 1`` it says
    ``p10 + (1 - r) p11 <= r p01 + d``. So a pair brings the candidate ``u`` and stable ``v``, both in [0, 1]
    and never both at once. ``S`` multiplies ``kC^u kB^v`` over the pairs; as ``k^w <= 1 + w (k - 1)``,

        E[kC^u kB^v] <= 1 + E[u] (kC - 1) + E[v] (kB - 1) <= exp(E[u] (kC - 1) + E[v] (kB - 1))

    which is the very bound that :mod:`agentrelease.core.statistics` rests on: ``E[S] <= 1`` for all ``p10``,
    ``p01`` and ``p11`` within the null, however strongly the two answers depend on each other. With
    ``r = 1`` pairs that agree count for nothing; with ``d = 0`` too, the boundary is the classic one of
    discordant pairs, one half. The sharper form of :mod:`agentrelease.core.bounded` multiplies arms that are
    independent, and these are not.
    """
    r, _ = margin
    u, v = now.apart(r)
    return Test(margin, (now.n, u), (now.n, v), rate=max(before.apart(r)[1] / before.n, 1e-6))
