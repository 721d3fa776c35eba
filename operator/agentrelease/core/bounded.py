"""The block e-value for outcomes that are bad at most once: the Bernoulli likelihood ratio.

Its projection on the boundary is the root of a cubic. It is approached by a fixed number of Newton
steps, and what they leave undone is paid for: with ``kC = (tC - c)/(c(1 - c))``, ``kB`` alike, and
``D = nC r kC + nB kB`` (zero at the exact root),

    ln E[S] = nC ln(1 + kC (pC - c)) + nB ln(1 + kB (pB - b)) <= nC kC (pC - c) + nB kB (pB - b) <= D (pB - b)

on either null hypothesis, because ``kC`` is positive on the harm side, negative on the safe side. Subtracting
the largest value of ``D (pB - b)`` makes ``E[S] <= 1`` at *any* point of the boundary; near the root it costs
nothing. The same holds for outcomes in [0, 1], since ``k^Y`` is at most linear in between.
"""

from __future__ import annotations

from math import log

from agentrelease.core.statistics import projection

STEPS = 3
_EDGE = 1e-9


def fits(margin: tuple[float, float], rates: tuple[float, float]) -> bool:
    """Whether alternative and boundary are probabilities; known before the block."""
    (r, d), (t_c, t_b) = margin, rates
    return 0.0 < t_b < 1.0 and 0.0 < t_c < 1.0 and r * t_b + d < 1.0


def log_e_value(
    margin: tuple[float, float],
    rates: tuple[float, float],
    candidate: tuple[float, float],
    stable: tuple[float, float],
) -> float:
    """Return ``ln S`` of one block; arguments as in :func:`agentrelease.core.statistics.log_e_value`.

    Needs :func:`fits`. More bad outcomes than exposures (two counters scraped a moment apart) count as all.
    """
    (r, d), (t_c, t_b), (n_c, x_c), (n_b, x_b) = margin, rates, candidate, stable
    if n_c <= 0.0 or (r > 0.0 and n_b <= 0.0):
        return 0.0
    x_c = min(x_c, n_c)
    if r <= 0.0:
        return x_c * log(t_c / d) + (n_c - x_c) * log((1.0 - t_c) / (1.0 - d))
    x_b = min(x_b, n_b)
    b = _near(margin, rates, (n_c, n_b))
    c = r * b + d
    slope = n_c * r * _pull(t_c, c) + n_b * _pull(t_b, b)
    paid = max(slope * (min(1.0, (1.0 - d) / r) - b), -slope * b)
    return (
        x_c * log(t_c / c)
        + (n_c - x_c) * log((1.0 - t_c) / (1.0 - c))
        + x_b * log(t_b / b)
        + (n_b - x_b) * log((1.0 - t_b) / (1.0 - b))
        - paid
    )


def _near(margin: tuple[float, float], rates: tuple[float, float], exposures: tuple[float, float]) -> float:
    """Newton's method from the Poisson projection, kept between stable's rate and the candidate's."""
    (r, d), (t_c, t_b), (n_c, n_b) = margin, rates, exposures
    ends = (t_b, (t_c - d) / r)
    low, high = max(min(ends), _EDGE), min(max(ends), 1.0 - _EDGE)
    b = min(high, max(low, projection(r, d, exposures, rates)))
    for _ in range(STEPS):
        c = r * b + d
        slope = n_c * r * _pull(t_c, c) + n_b * _pull(t_b, b)
        bend = n_c * r * r * _bend(t_c, c) + n_b * _bend(t_b, b)
        b = min(high, max(low, b + slope / bend))
    return b


def _pull(rate: float, at: float) -> float:
    return (rate - at) / (at * (1.0 - at))


def _bend(rate: float, at: float) -> float:
    inside = at * (1.0 - at)
    return (at * at - 2.0 * rate * at + rate) / (inside * inside)
