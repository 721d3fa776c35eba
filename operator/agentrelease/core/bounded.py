"""The block e-value for outcomes that are bad at most once: the Bernoulli likelihood ratio.

Its projection on the boundary is the root of a cubic. A few Newton steps from the Poisson projection come
close, and what they leave undone is paid for: with ``kC = (tC - c)/(c(1 - c))``, ``kB`` alike, and
``D = nC r kC + nB kB`` (zero at the exact root),

    ln E[S] = nC ln(1 + kC (pC - c)) + nB ln(1 + kB (pB - b)) <= nC kC (pC - c) + nB kB (pB - b) <= D (pB - b)

on either null hypothesis, because ``kC`` is positive on the harm side, negative on the safe side. Subtracting
the largest value of ``D (pB - b)`` makes ``E[S] <= 1`` at *any* point of the boundary; near the root it costs
nothing. Where even so a loss is to be expected under the alternative, the Poisson form is taken, which is
valid too and expects none. The same holds for outcomes in [0, 1], since ``k^Y`` is at most linear in between.
"""

from __future__ import annotations

from math import log

from agentrelease.core import statistics

EDGE = 1e-9
"""How near to 0 and 1 a projected rate may come."""

STEPS = 3
"""Newton steps; affects power only. With one, arms that fail in three of four tasks could prove nothing."""


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
    slope = n_c * r * (t_c - c) / (c * (1.0 - c)) + n_b * (t_b - b) / (b * (1.0 - b))
    paid = slope * (min(1.0, (1.0 - d) / r) - b) if slope > 0.0 else -slope * b
    stay_c, stay_b = (1.0 - t_c) / (1.0 - c), (1.0 - t_b) / (1.0 - b)
    bad_c, bad_b = log(t_c / (c * stay_c)), log(t_b / (b * stay_b))
    sure = n_c * log(stay_c) + n_b * log(stay_b) - paid
    if n_c * t_c * bad_c + n_b * t_b * bad_b + sure <= 0.0:
        return statistics.log_e_value(margin, rates, (n_c, x_c), (n_b, x_b))
    return x_c * bad_c + x_b * bad_b + sure


def _near(margin: tuple[float, float], rates: tuple[float, float], exposures: tuple[float, float]) -> float:
    """Return the stable rate on the boundary after Newton steps from the Poisson projection."""
    (r, d), (t_c, t_b), (n_c, n_b) = margin, rates, exposures
    inside = min(1.0, (1.0 - d) / r)
    low, high = EDGE * inside, (1.0 - EDGE) * inside
    b = min(max(statistics.projection(r, d, exposures, rates), low), high)
    for _ in range(STEPS):
        c = r * b + d
        spread_c, spread_b = c * (1.0 - c), b * (1.0 - b)
        slope = n_c * r * (t_c - c) / spread_c + n_b * (t_b - b) / spread_b
        bend = n_c * r * r * (c * c - 2.0 * t_c * c + t_c) / (spread_c * spread_c)
        bend += n_b * (b * b - 2.0 * t_b * b + t_b) / (spread_b * spread_b)
        b = min(max(b + slope / bend, low), high)
    return b
