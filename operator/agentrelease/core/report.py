"""One metric in one stratum, said to people: counts, estimate, evidence both ways, verdict and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, log
from typing import TYPE_CHECKING

from agentrelease.core import words
from agentrelease.core.evidence import ALL, Count, matches
from agentrelease.core.grounds import margin_of
from agentrelease.core.guardrails import MetricVerdict
from agentrelease.core.spread import joined
from agentrelease.core.standing import log_safety
from agentrelease.core.wealth import UNIT, Onset

if TYPE_CHECKING:
    from agentrelease.api.vocabulary import MetricClass
    from agentrelease.core.grounds import Grounds
    from agentrelease.core.guardrails import Guardrail

INTERVAL_RISK = 0.05
_TEN = log(10.0)
_UNDECIDED = {MetricVerdict.PASS, MetricVerdict.COLLECTING}


@dataclass(frozen=True, slots=True)
class MetricReport:
    """One line of the judgement; ``stratum`` is empty for all strata together.

    Counts are this phase's. ``estimate`` is the difference of the bad rates (without stable: the rate
    itself) and ``interval`` contains its true mean at all times with probability 0.95. ``harm_evidence`` and
    ``safe_evidence`` are decimal logarithms of e-values and reach a decision at ``harm_bound`` and
    ``safe_bound``. ``needed`` is the expected number of further candidate tasks until this line passes.
    ``compared`` says by what, where that is not the arms' counts: pairs, or an evaluation; ``arms`` where
    pairs are asked for and nobody exports them.
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
    compared: str = ""


@dataclass(frozen=True, slots=True)
class _Logs:
    """Natural logarithms of a line's e-values, and the tasks that it needs."""

    harm: float = 0.0
    safe: float = 0.0
    needed: float = 0.0


def lines(grounds: Grounds) -> tuple[MetricReport, ...]:
    """Return all lines of a judgement: the metrics first, then their strata."""
    metrics, strata = [], []
    for guardrail in grounds.plan.tested:
        said, needed = grounds.said(guardrail), grounds.needed(guardrail)
        state = grounds.ledger.metrics[guardrail.name]
        harm = grounds.standing.harm[guardrail.name].log_evidence
        metrics.append(_line(grounds, guardrail, ALL, said, _Logs(harm, log_safety(state), needed.pop(ALL))))
        strata += _groups(grounds, guardrail, said, needed)
        strata += _strata(grounds, guardrail, said)
    metrics += [_event(grounds, guardrail) for guardrail in grounds.plan.events]
    metrics += [_offline(grounds, guardrail) for guardrail in grounds.plan.offline]
    return (*metrics, *strata)


def _groups(
    grounds: Grounds, guardrail: Guardrail, said: MetricVerdict, needed: dict[str, float]
) -> list[MetricReport]:
    """Report the groups that must pass by themselves."""
    state, onset = grounds.ledger.metrics[guardrail.name], Onset(grounds.ledger.waiting)
    rows = []
    for key, tasks in needed.items():
        worst = [onset.log_evidence(s.harm, s.stake) for k, s in state.strata.items() if matches(key, k)]
        logs = _Logs(max(worst, default=0.0), state.required.get(key, 0) / UNIT, tasks)
        verdict = said
        if said in _UNDECIDED:
            verdict = MetricVerdict.COLLECTING if tasks > 0 else MetricVerdict.PASS
        rows.append(_line(grounds, guardrail, key, verdict, logs))
    return rows


def _strata(grounds: Grounds, guardrail: Guardrail, said: MetricVerdict) -> list[MetricReport]:
    """Report the other strata, where there are several; they are watched for harm, not for safety."""
    state, onset = grounds.ledger.metrics[guardrail.name], Onset(grounds.ledger.waiting)
    rows = []
    for key in sorted(state.strata) if len(state.strata) > 1 else ():
        if key not in grounds.plan.required:
            harm = onset.log_evidence(state.strata[key].harm, state.strata[key].stake)
            line = _line(grounds, guardrail, key, said, _Logs(harm))
            if said in _UNDECIDED:
                line = replace(line, why=words.watched(grounds.seen_of(guardrail, key)))
            rows.append(line)
    return rows


def _event(grounds: Grounds, guardrail: Guardrail) -> MetricReport:
    verdict, seen = grounds.seen(guardrail), Count(0, grounds.ledger.events[guardrail.name])
    return MetricReport(
        guardrail.name, guardrail.metric_class, ALL, verdict, seen, Count(0, 0), None, None,
        0.0, 0.0, 0.0, 0.0, 0.0, words.event(guardrail, seen.x, verdict),
    )  # fmt: skip


def _offline(grounds: Grounds, guardrail: Guardrail) -> MetricReport:
    found = grounds.evaluated[guardrail.name]
    mine, theirs = found.candidate, found.stable
    apart = mine.x / mine.n - theirs.x / theirs.n if mine.n and theirs.n else None
    return MetricReport(
        guardrail.name, guardrail.metric_class, ALL, found.verdict, mine, theirs, apart, None,
        0.0, 0.0, 0.0, 0.0, 0.0, found.why, "evaluation",
    )  # fmt: skip


def _line(
    grounds: Grounds, guardrail: Guardrail, key: str, verdict: MetricVerdict, logs: _Logs
) -> MetricReport:
    plan, state = grounds.plan, grounds.ledger.metrics[guardrail.name]
    seen = grounds.seen_of(guardrail, key)
    spread = joined(s.spread for k, s in state.strata.items() if matches(key, k))
    middle, radius = spread.estimate, spread.radius(INTERVAL_RISK, grounds.ledger.phi(plan)[guardrail.name])
    known = middle is not None and radius < inf
    return MetricReport(
        name=guardrail.name,
        metric_class=guardrail.metric_class,
        stratum=key,
        verdict=verdict,
        candidate=seen.candidate,
        stable=seen.stable,
        estimate=middle,
        interval=(max(-1.0, middle - radius), min(1.0, middle + radius))
        if middle is not None and known
        else None,
        harm_evidence=logs.harm / _TEN,
        harm_bound=-log(plan.false_rollback * guardrail.weight) / _TEN,
        safe_evidence=logs.safe / _TEN,
        safe_bound=-log(guardrail.alpha) / _TEN,
        needed=logs.needed,
        why=words.metric(guardrail, margin_of(guardrail, key), seen, verdict, logs.needed),
        compared="pairs" if seen.pairs is not None else "arms" if seen.note else "",
    )
