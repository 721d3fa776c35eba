"""How much evidence a decision needs: said before a rollout starts and while it runs.

Information per candidate task is the expectation of the test's own logarithm, so the plan and the test
cannot disagree. Numbers are expectations at the rates given; single runs vary around them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil, inf, log
from typing import TYPE_CHECKING

from agentrelease.core import bounded, statistics
from agentrelease.core.contrast import Pairs, disagreement
from agentrelease.core.ledger import LATER
from agentrelease.core.standing import POOLED_SHARE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agentrelease.core.evidence import Count
    from agentrelease.core.guardrails import Guardrail, Margin, Plan

SEARCH_COST = log(len(statistics.HORIZONS) / (POOLED_SHARE * (1.0 - LATER)))
"""Nats spent on not knowing how large harm is, whether it is everywhere, and when it starts."""

_PSEUDO = 50.0
_RATIO = 19.0
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Traffic:
    """Tasks a second of both arms, and the share of required groups in the candidate's traffic."""

    candidate: float
    stable: float
    groups: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Stable tasks for each candidate task."""
        return self.stable / self.candidate


@dataclass(frozen=True, slots=True)
class Need:
    """What one guardrail needs, in candidate tasks.

    ``tasks`` exclude its harm when the candidate is as good as stable, in ``group`` by itself if
    named; ``smallest`` is the lowest bad rate that can be proven within the horizon asked for, by ``bad``
    more bad outcomes than stable would have had (``None`` when no rate can).
    """

    metric: str
    group: str
    tasks: float
    seconds: float
    smallest: float | None
    bad: float | None


def information(
    guardrail: Guardrail, margin: Margin, candidate_rate: float, stable_rate: float, ratio: float
) -> float:
    """Expected nats per candidate task against a margin; ``ratio`` is stable tasks per candidate task."""
    rates = (candidate_rate, stable_rate)
    arms = (1.0, candidate_rate), (ratio, ratio * stable_rate)
    if guardrail.bounded and bounded.fits(margin.pair(), rates):
        return max(0.0, bounded.log_e_value(margin.pair(), rates, *arms))
    return max(0.0, statistics.log_e_value(margin.pair(), rates, *arms))


def to_promote(guardrail: Guardrail, rate: float, ratio: float, *, alone: bool = False) -> float:
    """Expected candidate tasks until harm is excluded, when both arms are bad at ``rate``."""
    margin = guardrail.max_harm_stratum if alone else guardrail.max_harm
    gain = information(guardrail, margin, rate, rate, ratio)
    return ceil(log(1.0 / guardrail.alpha) / gain) if gain > 0.0 else inf


def to_promote_pairs(guardrail: Guardrail, rate: float, *, alone: bool = False) -> float:
    """Expected pairs until harm is excluded, when both arms are bad at ``rate`` and differ as expected."""
    return remaining_pairs(replace(guardrail, expected=rate), 0.0, Pairs(), alone=alone)


def to_detect(guardrail: Guardrail, risk: float, candidate_rate: float, rate: float, ratio: float) -> float:
    """Expected candidate tasks until harm of this size is proven; ``risk`` is the false-rollback risk."""
    if candidate_rate <= guardrail.tolerance.of(rate):
        return inf
    needed = log(1.0 / (risk * guardrail.weight)) + SEARCH_COST
    gain = information(guardrail, guardrail.tolerance, candidate_rate, rate, ratio)
    return ceil(needed / gain) if gain > 0.0 else inf


def smallest_detectable(
    guardrail: Guardrail, risk: float, rate: float, ratio: float, horizon: float
) -> float | None:
    """Return the lowest candidate rate that ``horizon`` tasks are expected to prove; ``None`` if none is."""
    low, high = guardrail.tolerance.of(rate), 0.999
    if low >= high or to_detect(guardrail, risk, high, rate, ratio) > horizon:
        return None
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if to_detect(guardrail, risk, middle, rate, ratio) <= horizon:
            high = middle
        else:
            low = middle
    return high


def needs(
    plan: Plan,
    traffic: Traffic,
    rates: Mapping[str, float],
    horizon: float,
    paired: Collection[str] = (),
) -> tuple[Need, ...]:
    """Return what each guardrail needs, the one that takes longest first.

    ``rates`` are stable's bad rates by metric, where known; ``horizon`` is candidate tasks, for the
    smallest regression. A required group without a known share counts as a tenth of the traffic. Guardrails
    that are ``paired`` are shown safe by pairs; what they catch is said as for arms, which is no less.
    """
    found = []
    for guardrail in plan.tested:
        rate = min(0.95, max(1e-6, rates.get(guardrail.name, guardrail.expected)))
        smallest = smallest_detectable(guardrail, plan.false_rollback, rate, traffic.ratio, horizon)
        bad = None
        if smallest is not None:
            tasks = to_detect(guardrail, plan.false_rollback, smallest, rate, traffic.ratio)
            bad = tasks * (smallest - rate)
        for group in ("", *plan.groups(guardrail)):
            tasks = (
                to_promote_pairs(guardrail, rate, alone=bool(group))
                if guardrail.name in paired
                else to_promote(guardrail, rate, traffic.ratio, alone=bool(group))
            )
            tasks /= traffic.groups.get(group, 0.1) if group else 1.0
            found.append(Need(guardrail.name, group, tasks, tasks / traffic.candidate, smallest, bad))
    return tuple(sorted(found, key=lambda need: -need.tasks))


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
    rate = min(0.95, (stable.x + guardrail.expected * _PSEUDO) / (stable.n + _PSEUDO))
    ratio = stable.n / candidate.n if candidate.n > 0 and stable.n > 0 else _RATIO
    margin = guardrail.max_harm_stratum if alone else guardrail.max_harm
    gain = information(guardrail, margin, rate, rate, ratio)
    return ceil(missing / gain) if gain > 0.0 else inf


def remaining_pairs(guardrail: Guardrail, log_safety: float, seen: Pairs, *, alone: bool = False) -> float:
    """Expected further pairs until harm is excluded, if as many are bad in the candidate alone as in stable.

    ``seen`` are the pairs so far; before any, answers are expected to differ as the test expects it.
    """
    missing = log(1.0 / guardrail.alpha) - log_safety
    if missing <= 0.0:
        return 0.0
    margin = guardrail.max_harm_stratum if alone else guardrail.max_harm
    known = seen.expecting(seen.stable / seen.n if seen.n > 0 else guardrail.expected)
    even = replace(known, candidate=known.stable)
    test = disagreement(margin.pair(), even, even)
    gain = test.log_e_value(test.candidate[1] / test.candidate[0]) / test.candidate[0]
    return ceil(missing / gain) if gain > 0.0 else inf
