"""The block e-value: one closed form for every guardrail metric, valid under continuous looking.

For one block of one stratum, ``S`` measures the evidence against a null hypothesis with an affine
margin ``(r, d)``: *harm* tests "candidate rate <= r * stable rate + d", *safety* tests ">=". Under the null
``E[S | past, exposures] <= 1`` at every sample size, for counts, yes/no outcomes and outcomes in
[0, 1], whatever the stable rate does between blocks; so products over blocks are test supermartingales
and ``P(ever >= 1/alpha) <= alpha`` (Ville's inequality).

``S`` is the Poisson likelihood ratio of an alternative ``(tC, tB)`` to its reverse information
projection ``(c, b)`` on the boundary ``c = r b + d`` (Grünwald, de Heide, Koolen, "Safe testing", 2024;
for two proportions Turner, Ly, Grünwald, "Generic E-variables for exact sequential k-sample tests",
2024). Why it is valid: ``E[k^Y] <= 1 + p(k-1) <= exp(p(k-1))`` for Y in [0, 1] with mean p, so
``ln E[S]`` is at most ``nC (pC - c)(tC/c - 1) + nB (pB - b)(tB/b - 1)``; ``(b, c)`` minimises a convex
function over a convex set, and that expression is minus its directional derivative towards ``(pB, pC)``.

The projection is a quadratic root: nothing iterates, so nothing can stop too early. Where an exposure
can be bad at most once, :mod:`agentrelease.core.bounded` gains a factor of 1 - rate.
"""

from __future__ import annotations

from math import exp, log, log1p, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HORIZONS = (150.0, 600.0, 2400.0)
"""Alternatives of the harm side: the rates that about so many candidate tasks would prove."""

EFFORT = 6.0
"""Nats that a proof of harm takes, for choosing those rates; affects power only."""

SAFE_STEPS = (1.0, 0.6)
"""Alternatives of the safe side, as multiples of the stable rate."""

NOTHING = float("-inf")
"""The logarithm of no wealth at all."""


def projection(r: float, d: float, exposures: tuple[float, float], rates: tuple[float, float]) -> float:
    """Return ``b``, the stable rate on the boundary nearest to an alternative.

    ``b`` minimises ``nC [(r b + d) - tC ln(r b + d)] + nB [b - tB ln b]`` over b > 0; ``exposures`` is
    ``(nC, nB)`` and ``rates`` is ``(tC, tB)``. Needs ``r > 0``.
    """
    (n_c, n_b), (t_c, t_b) = exposures, rates
    a = r * n_c + n_b
    if d <= 0.0:
        return (n_c * t_c + n_b * t_b) / a
    q = d * a - r * (n_c * t_c + n_b * t_b)
    root = sqrt(q * q + 4.0 * r * a * n_b * t_b * d)
    # The same root twice; the form without cancellation keeps rare events exact.
    return (root - q) / (2.0 * r * a) if q <= 0.0 else 2.0 * n_b * t_b * d / (root + q)


def log_e_value(
    margin: tuple[float, float],
    rates: tuple[float, float],
    candidate: tuple[float, float],
    stable: tuple[float, float],
) -> float:
    """Return ``ln S`` of one block.

    ``margin`` is ``(r, d)``; ``rates`` the alternative ``(tC, tB)`` with ``tB > 0``, chosen before the
    block; ``candidate`` and ``stable`` are ``(n, x)``. With ``r = 0`` stable does not matter and ``d`` is
    an absolute bound. Zero, which is no evidence, where an arm that is needed has no exposure.
    """
    (r, d), (t_c, t_b), (n_c, x_c), (n_b, x_b) = margin, rates, candidate, stable
    if n_c <= 0.0 or (r > 0.0 and n_b <= 0.0):
        return 0.0
    if r <= 0.0:
        return x_c * log(t_c / d) - n_c * (t_c - d)
    b = projection(r, d, (n_c, n_b), rates)
    c = r * b + d
    return x_c * log(t_c / c) - n_c * (t_c - c) + x_b * log(t_b / b) - n_b * (t_b - b)


def harmful(boundary: float, horizon: float) -> float:
    """Return the rate above a boundary that about ``horizon`` tasks prove, at most half-way to 1.

    From ``horizon * KL = EFFORT`` with the two leading terms of its inverse, so that the same three
    horizons suit rare violations and frequent failures.
    """
    rate = boundary + sqrt(2.0 * EFFORT * boundary / horizon) + EFFORT / (3.0 * horizon)
    return min(rate, 0.5 * (1.0 + boundary)) if boundary < 1.0 else rate


def add(left: float, right: float) -> float:
    """Return ``ln(e^left + e^right)``."""
    high, low = (left, right) if left >= right else (right, left)
    return high if low == NOTHING else high + log1p(exp(low - high))


def total(logs: Iterable[float]) -> float:
    """Return the logarithm of the sum of ``e^log``."""
    values = list(logs)
    high = max(values, default=NOTHING)
    return high if high == NOTHING else high + log(sum(exp(value - high) for value in values))


def mean(logs: Sequence[float]) -> float:
    """Return the logarithm of the mean of ``e^log``."""
    return total(logs) - log(len(logs))
