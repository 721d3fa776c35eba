"""The guardrails of the benchmark: the defaults of the classes for six metrics."""

from __future__ import annotations

from agentrelease.api.vocabulary import Action, MetricClass
from agentrelease.core.guardrails import Guardrail, Kind, Margin, Plan
from agentrelease.core.plan import DEFAULTS
from bench.decisions.world import BOUNDED, HIGH, METRICS, STRATA

_CLASSES = {"violations": MetricClass.SAFETY, "slow": MetricClass.EFFICIENCY}


def plan() -> Plan:
    shares = {m: DEFAULTS[_class(m)].share for m in METRICS}
    guardrails = []
    for metric, bounded in zip(METRICS, BOUNDED, strict=True):
        d = DEFAULTS[_class(metric)]
        relative, absolute = max(d.tolerance.relative, d.max_harm.relative), 2 * d.max_harm.absolute
        guardrails.append(
            Guardrail(
                metric, _class(metric), Kind.RATIO, Action.ROLLBACK, d.tolerance, d.max_harm,
                Margin(relative, max(d.stratum, absolute)), shares[metric] / sum(shares.values()),
                d.alpha, expected=d.expected, bounded=bool(bounded),
            )
        )  # fmt: skip
    return Plan(tuple(guardrails), required=(STRATA[HIGH],))


def _class(metric: str) -> MetricClass:
    return _CLASSES.get(metric, MetricClass.QUALITY)
