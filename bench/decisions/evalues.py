"""The core's block e-values on arrays: the same formulas, many runs at once.

``statistics.log_e_value``, ``bounded.log_e_value`` and the choice between them in ``contrast.Test``. Rates
are arrays ``(R, M, S)``; which metrics are bounded is the second axis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentrelease.core import bounded, statistics
from bench.decisions.world import BOUNDED

Floats = NDArray[np.float64]
Margin = tuple[Floats, Floats]
Arms = tuple[Floats, Floats, Floats, Floats]
ONCE, FREE = np.nonzero(BOUNDED)[0], np.nonzero(~BOUNDED)[0]


def harmful(edge: Floats, horizon: float) -> Floats:
    """``statistics.harmful`` on arrays."""
    rate = edge + np.sqrt(2 * statistics.EFFORT * edge / horizon) + statistics.EFFORT / (3 * horizon)
    return np.where(edge < 1.0, np.minimum(rate, 0.5 * (1.0 + edge)), rate)


def against_stable(margin: Margin, t_c: Floats, t_b: Floats, arms: Arms) -> Floats:
    """``ln S`` of a block of both arms ``(n_c, x_c, n_b, x_b)``; 0 where an arm has no exposure."""
    margin = np.broadcast_to(margin[0], t_c.shape), np.broadcast_to(margin[1], t_c.shape)
    n_c, x_c, n_b, x_b = (np.broadcast_to(a, t_c.shape) for a in arms)
    both = (n_c > 0) & (n_b > 0)
    n_c, n_b = np.where(both, n_c, 1.0), np.where(both, n_b, 1.0)
    out = np.zeros(t_c.shape)
    for places, form in ((FREE, _free), (ONCE, _once)):
        parts = (a[:, places] for a in (*margin, t_c, t_b, n_c, x_c, n_b, x_b))
        out[:, places] = form(*parts)
    return np.where(both, out, 0.0)


def against_bound(edge: Floats, t_c: Floats, n: Floats, x: Floats) -> Floats:
    """``ln S`` of one arm against a plain bound on its rate."""
    n = np.broadcast_to(n, t_c.shape)
    out = x * np.log(t_c / edge) - n * (t_c - edge)
    t, d, n_o = t_c[:, ONCE], edge[:, ONCE], n[:, ONCE]
    x_o = np.minimum(x[:, ONCE], n_o)
    fits = (d < 1.0) & (t < 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        once = x_o * np.log(t / d) + (n_o - x_o) * np.log((1.0 - t) / (1.0 - d))
    out[:, ONCE] = np.where(fits, once, out[:, ONCE])
    return np.where(n > 0, out, 0.0)


def _projection(r, d, t_c, t_b, n_c, n_b):
    a = r * n_c + n_b
    q = d * a - r * (n_c * t_c + n_b * t_b)
    root = np.sqrt(q * q + 4.0 * r * a * n_b * t_b * d)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(q <= 0.0, (root - q) / (2.0 * r * a), 2.0 * n_b * t_b * d / (root + q))


def _free(r, d, t_c, t_b, n_c, x_c, n_b, x_b):
    b = _projection(r, d, t_c, t_b, n_c, n_b)
    c = r * b + d
    return x_c * np.log(t_c / c) - n_c * (t_c - c) + x_b * np.log(t_b / b) - n_b * (t_b - b)


def _once(r, d, t_c, t_b, n_c, x_c, n_b, x_b):
    fits = (r * t_b + d < 1.0) & (t_c < 1.0)
    if fits.all():
        return _bounded(r, d, t_c, t_b, n_c, np.minimum(x_c, n_c), n_b, np.minimum(x_b, n_b))
    with np.errstate(divide="ignore", invalid="ignore"):
        once = _bounded(r, d, t_c, t_b, n_c, np.minimum(x_c, n_c), n_b, np.minimum(x_b, n_b))
    return np.where(fits, once, _free(r, d, t_c, t_b, n_c, x_c, n_b, x_b))


def _bounded(r, d, t_c, t_b, n_c, x_c, n_b, x_b):
    inside = np.minimum(1.0, (1 - d) / r)
    low, high = bounded.EDGE * inside, (1 - bounded.EDGE) * inside
    b = np.clip(_projection(r, d, t_c, t_b, n_c, n_b), low, high)
    for _ in range(bounded.STEPS):
        c = r * b + d
        sc, sb = c * (1 - c), b * (1 - b)
        slope = n_c * r * (t_c - c) / sc + n_b * (t_b - b) / sb
        bend = n_c * r * r * (c * c - 2 * t_c * c + t_c) / (sc * sc)
        bend += n_b * (b * b - 2 * t_b * b + t_b) / (sb * sb)
        b = np.clip(b + slope / bend, low, high)
    c = r * b + d
    slope = n_c * r * (t_c - c) / (c * (1 - c)) + n_b * (t_b - b) / (b * (1 - b))
    paid = np.where(slope > 0, slope * (inside - b), -slope * b)
    stay_c, stay_b = (1 - t_c) / (1 - c), (1 - t_b) / (1 - b)
    bad_c, bad_b = np.log(t_c / (c * stay_c)), np.log(t_b / (b * stay_b))
    sure = n_c * np.log(stay_c) + n_b * np.log(stay_b) - paid
    expected = n_c * t_c * bad_c + n_b * t_b * bad_b + sure
    once = x_c * bad_c + x_b * bad_b + sure
    hopeless = expected <= 0
    return np.where(hopeless, _free(r, d, t_c, t_b, n_c, x_c, n_b, x_b), once) if hopeless.any() else once
