"""How a release stands: the evidence of all its guardrails, weighed together.

The weighted mean of e-values is an e-value whatever the dependence between the metrics, so
``P(family ever >= 1/alpha) <= alpha`` while every metric is within tolerance in every stratum. A metric whose
weighted evidence alone reaches the bound is a breach of its own, and so is the leading one when only
the sum does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

from agentrelease.core import srm, statistics
from agentrelease.core.evidence import ALL
from agentrelease.core.wealth import UNIT, MetricState, Onset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.guardrails import Guardrail, Plan
    from agentrelease.core.ledger import Ledger

POOLED_SHARE = 0.8
"""Share of a metric's harm wealth that bets on harm in all strata; the rest bets on one stratum."""

BOUND_SHARE = 0.25
"""Share of a metric's harm wealth that bets against its ceiling or floor, where it has one."""


@dataclass(frozen=True, slots=True)
class Harm:
    """Log evidence for harm of one metric, and where most of it comes from."""

    log_evidence: float
    stratum: str = ALL
    absolute: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Evidence for harm by metric and weighed together; ``breaches`` come strongest evidence first.

    All evidence is logarithmic. ``leading`` has the most weighted evidence; ``mismatch`` is about the split.
    """

    harm: Mapping[str, Harm]
    family: float
    breaches: tuple[str, ...]
    leading: str | None
    mismatch: float


def stand(plan: Plan, ledger: Ledger) -> Standing:
    """Weigh the ledger's evidence for harm."""
    found = {g.name: harm_of(g, ledger.metrics[g.name], ledger.waiting) for g in plan.tested}
    weighted = {g.name: log(g.weight) + found[g.name].log_evidence for g in plan.tested}
    ranked = sorted(weighted, key=lambda name: -weighted[name])
    family = statistics.total(weighted.values())
    bound = -log(plan.false_rollback)
    breaches = [name for name in ranked if weighted[name] >= bound]
    if family >= bound and not breaches:
        breaches = ranked[:1]
    arms = ledger.mismatch
    mismatch = srm.log_e_value(arms.share, arms.candidate, arms.stable)
    return Standing(found, family, tuple(breaches), ranked[0] if ranked else None, mismatch)


def harm_of(guardrail: Guardrail, state: MetricState, waiting: float) -> Harm:
    """Return a metric's evidence for harm: a fixed mixture over where it may be."""
    onset = Onset(waiting)
    strata = state.strata if len(state.strata) > 1 else {}
    relative = 1.0 - BOUND_SHARE if guardrail.bound is not None else 1.0
    parts = [log(relative * POOLED_SHARE if strata else relative) + onset.log_evidence(state.pooled)]
    if strata:
        share = log(relative * (1.0 - POOLED_SHARE) / len(strata))
        parts += [share + onset.log_evidence(s.harm, s.stake) for s in strata.values()]
    if guardrail.bound is not None:
        parts.append(log(BOUND_SHARE) + onset.log_evidence(state.bound))
    worst = parts.index(max(parts))
    in_stratum = 0 < worst <= len(strata)
    key = list(strata)[worst - 1] if in_stratum else ALL
    return Harm(statistics.total(parts), key, absolute=worst > len(strata))


def log_safety(state: MetricState) -> float:
    """Log evidence against harm of the size of max harm in every stratum."""
    return statistics.mean([s / UNIT for s in state.safe])


def safe(plan: Plan, guardrail: Guardrail, state: MetricState) -> bool:
    """Whether max harm is excluded, over all strata and in each required group by itself."""
    bound = -log(guardrail.alpha)
    groups = all(state.required.get(group, 0) / UNIT >= bound for group in plan.groups(guardrail))
    return log_safety(state) >= bound and groups
