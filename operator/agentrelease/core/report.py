"""One metric in one stratum, said to people: counts, estimate, evidence both ways, verdict and why."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log
from typing import TYPE_CHECKING

from agentrelease.core import planner, words
from agentrelease.core.evidence import ALL, Count, matches, total
from agentrelease.core.guardrails import MetricVerdict
from agentrelease.core.spread import joined
from agentrelease.core.standing import log_safety
from agentrelease.core.wealth import UNIT, Onset

if TYPE_CHECKING:
    from agentrelease.api.vocabulary import MetricClass
    from agentrelease.core.guardrails import Guardrail, Plan
    from agentrelease.core.ledger import Ledger
    from agentrelease.core.standing import Harm
    from agentrelease.core.wealth import MetricState, StratumState

INTERVAL_RISK = 0.05
_TEN = log(10.0)


@dataclass(frozen=True, slots=True)
class MetricReport:
    """One line of the judgement; ``stratum`` is empty for all strata together.

    Counts are this phase's. ``estimate`` is the difference of the bad rates (without stable: the rate
    itself) and ``interval`` contains its true mean at all times with probability 0.95. ``harm_evidence`` and
    ``safe_evidence`` are decimal logarithms of e-values and reach a decision at ``harm_bound`` and
    ``safe_bound``. ``needed`` is the expected number of further candidate tasks until this line passes.
    """

    name: str
    metric_class: MetricClass
    stratum: str
    verdict: MetricVerdict
    candidate: Count
    stable: Count
    estimate: float | None
    interval: tuple[float, float] | None
    harm_evidence: float
    harm_bound: float
    safe_evidence: float
    safe_bound: float
    needed: float
    why: str


def metric_line(
    plan: Plan, guardrail: Guardrail, ledger: Ledger, verdict: MetricVerdict, harm: Harm
) -> MetricReport:
    """Report a tested metric over all strata."""
    state = ledger.metrics[guardrail.name]
    safety = log_safety(state)
    strata = tuple(state.strata.values())
    needed = planner.remaining(guardrail, safety, *_counts(strata))
    return _line(plan, guardrail, ALL, strata, verdict, (harm.log_evidence, safety), needed)


def stratum_lines(
    plan: Plan, guardrail: Guardrail, ledger: Ledger, verdict: MetricVerdict
) -> list[MetricReport]:
    """Report the required groups, which must pass by themselves, and the other strata if there are several."""
    state, onset = ledger.metrics[guardrail.name], Onset(ledger.waiting)
    keys = list(plan.required)
    keys += [key for key in sorted(state.strata) if len(state.strata) > 1 and key not in keys]
    rows = []
    for key in keys:
        strata = tuple(s for k, s in state.strata.items() if matches(key, k))
        worst = max((onset.log_evidence(s.harm, s.stake) for s in strata), default=0.0)
        safety, needed, said = 0.0, 0.0, verdict
        if key in plan.required and verdict in {MetricVerdict.PASS, MetricVerdict.COLLECTING}:
            safety = state.required.get(key, 0) / UNIT
            needed = planner.remaining(guardrail, safety, *_counts(strata), alone=True)
            said = MetricVerdict.PASS if safety >= -log(guardrail.alpha) else MetricVerdict.COLLECTING
        rows.append(_line(plan, guardrail, key, strata, said, (worst, safety), needed))
    return rows


def event_line(guardrail: Guardrail, ledger: Ledger, verdict: MetricVerdict) -> MetricReport:
    """Report an event guardrail: forbidden occurrences over the whole release."""
    seen = Count(0, ledger.events.get(guardrail.name, 0))
    return MetricReport(
        guardrail.name, guardrail.metric_class, ALL, verdict, seen, Count(0, 0), None, None,
        0.0, 0.0, 0.0, 0.0, 0.0, words.event(guardrail, seen.x, verdict),
    )  # fmt: skip


def counts(state: MetricState, key: str) -> tuple[Count, Count]:
    """Both arms' counts of this phase in the strata that a key names."""
    return _counts(tuple(s for k, s in state.strata.items() if matches(key, k)))


def _counts(strata: tuple[StratumState, ...]) -> tuple[Count, Count]:
    nothing = Count(0, 0)
    return total(s.candidate for s in strata) or nothing, total(s.stable for s in strata) or nothing


def _line(
    plan: Plan,
    guardrail: Guardrail,
    key: str,
    strata: tuple[StratumState, ...],
    verdict: MetricVerdict,
    logs: tuple[float, float],
    needed: float,
) -> MetricReport:
    candidate, stable = _counts(strata)
    spread = joined(s.spread for s in strata)
    radius = spread.radius(INTERVAL_RISK, plan.phi.get(guardrail.name, 1.0))
    middle = spread.estimate
    return MetricReport(
        name=guardrail.name,
        metric_class=guardrail.metric_class,
        stratum=key,
        verdict=verdict,
        candidate=candidate,
        stable=stable,
        estimate=middle,
        interval=None
        if middle is None or radius == inf
        else (max(-1.0, middle - radius), min(1.0, middle + radius)),
        harm_evidence=logs[0] / _TEN,
        harm_bound=-log(plan.false_rollback * guardrail.weight) / _TEN,
        safe_evidence=logs[1] / _TEN,
        safe_bound=-log(guardrail.alpha) / _TEN,
        needed=needed,
        why=words.metric(guardrail, key, candidate, stable, verdict, needed),
    )
