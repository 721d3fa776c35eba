"""What no procedure can beat: the information bound on the candidate tasks until rollback.

Any test with P(false rollback) <= alpha needs on average ln(1/alpha)/I tasks (Wald; with an unknown onset
the same leading term, Lorden), I = the least information per candidate task over tolerated worlds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.decisions.world import BASE, HARDNESS, MIX, WEIGHT, Effect, index

if TYPE_CHECKING:
    from agentrelease.core.guardrails import Margin


def tasks(effect: Effect, tolerance: Margin, alpha: float) -> float:
    """Expected candidate tasks, for an effect that one metric shows in the strata that it names."""
    base = BASE[index(effect.metric)] * HARDNESS
    gained = 0.0
    for stratum in effect.strata:
        p_b = base[stratum]
        p_c = p_b * effect.times + effect.plus
        b = np.linspace(0.7 * p_b, p_c, 40_001)
        c = tolerance.relative * b + tolerance.absolute
        inside = c < 1.0
        ratio = (1.0 - WEIGHT) / WEIGHT
        lost = _kl(p_c, c[inside]) + ratio * _kl(p_b, b[inside])
        gained += MIX[stratum] * float(lost.min())
    return float(np.log(1.0 / alpha) / gained)


def _kl(p: float, q: np.ndarray) -> np.ndarray:
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
