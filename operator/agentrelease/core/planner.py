"""How much evidence a decision needs: said before a rollout starts and while it runs.

Information per candidate task is the expectation of the test's own logarithm, so the plan and the test
cannot disagree. Numbers are expectations at the rates given; single runs vary around them.
"""

from __future__ import annotations

from math import ceil, inf, log
from typing import TYPE_CHECKING

from agentrelease.core import statistics

if TYPE_CHECKING:
    from agentrelease.core.evidence import Count
    from agentrelease.core.guardrails import Guardrail, Margin

_PSEUDO = 50.0
_RATIO = 19.0

DETECTION_COST = log(3.0) + log(1.0 / 0.8) + log(1.0 / 0.85)
"""Nats spent on not knowing the size of harm, nor whether it is everywhere, nor when it starts."""


def information(margin: Margin, candidate_rate: float, stable_rate: float, ratio: float) -> float:
    """Expected nats per candidate task against a margin; ``ratio`` is stable tasks per candidate task."""
    r, d = margin.pair()
    if ratio == inf:
        boundary = margin.of(stable_rate)
        return candidate_rate * log(candidate_rate / boundary) - (candidate_rate - boundary)
    rates = (candidate_rate, stable_rate)
    return statistics.log_e_value((r, d), rates, (1.0, candidate_rate), (ratio, ratio * stable_rate))


def to_promote(guardrail: Guardrail, rate: float, ratio: float, *, alone: bool = False) -> float:
    """Expected candidate tasks until harm is excluded, when both arms are bad at ``rate``."""
    margin = guardrail.max_harm_stratum if alone else guardrail.max_harm
    gain = information(margin, rate, rate, ratio) if rate > 0.0 else margin.absolute
    return ceil(log(1.0 / guardrail.alpha) / gain) if gain > 0.0 else inf


def to_detect(guardrail: Guardrail, risk: float, candidate_rate: float, rate: float, ratio: float) -> float:
    """Expected candidate tasks until harm of this size is proven."""
    if candidate_rate <= guardrail.tolerance.of(rate):
        return inf
    needed = log(1.0 / risk) + log(1.0 / guardrail.weight) + DETECTION_COST
    return ceil(needed / information(guardrail.tolerance, candidate_rate, rate, ratio))


def remaining(
    guardrail: Guardrail, log_safety: float, candidate: Count, stable: Count, *, alone: bool = False
) -> float:
    """Expected further candidate tasks until harm is excluded, if the candidate is as good as stable.

    ``candidate`` and ``stable`` are what was seen so far; before anything was, the expected rate and a
    twentieth of the traffic for the candidate are assumed.
    """
    missing = log(1.0 / guardrail.alpha) - log_safety
    if missing <= 0.0:
        return 0.0
    rate = (stable.x + guardrail.expected * _PSEUDO) / (stable.n + _PSEUDO)
    ratio = stable.n / candidate.n if candidate.n > 0 and stable.n > 0 else _RATIO
    margin = guardrail.max_harm_stratum if alone else guardrail.max_harm
    gain = information(margin, rate, rate, ratio)
    return ceil(missing / gain) if gain > 0.0 else inf
