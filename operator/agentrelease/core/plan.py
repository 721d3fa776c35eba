"""From a GuardrailPolicy to a plan: defaults filled in, weights shared out, refused where it cannot hold.

Defaults are chosen by what being wrong costs. Safety metrics get the larger share of the
false-rollback risk (they are found first), relative margins (they are rare) and a promotion risk of 1 %; the
others get margins in points and 5 %. A metric that only has a ceiling or floor is judged by that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import MetricClass
from agentrelease.core.evidence import stratum_key
from agentrelease.core.guardrails import Guardrail, Kind, Margin, Offline, Plan, PlanError
from agentrelease.core.overdue import ALL_TASKS, DURATIONS, FINISHED
from agentrelease.core.routing import ROUTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agentrelease.api import guardrail as api


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a class of metrics gets where the policy says nothing. ``share`` is relative to other metrics'."""

    tolerance: Margin
    max_harm: Margin
    stratum: float
    alpha: float
    share: float
    expected: float


_POINTS = Defaults(Margin(1.0, 0.01), Margin(1.0, 0.03), 0.10, 0.05, 1.0, 0.05)

DEFAULTS: Mapping[MetricClass, Defaults] = {
    MetricClass.SAFETY: Defaults(Margin(1.1, 0.0002), Margin(1.5, 0.002), 0.02, 0.01, 5.0, 0.002),
    MetricClass.QUALITY: _POINTS,
    MetricClass.EFFICIENCY: _POINTS,
    MetricClass.BUSINESS: _POINTS,
}
"""``stratum`` is the absolute part of the wider margin for a required stratum by itself."""


def compile_plan(
    specs: Sequence[api.GuardrailPolicySpec], grid: float, phi: Mapping[str, float] | None = None
) -> tuple[api.GuardrailPolicySpec, Plan]:
    """Return the policies of a release joined to one, and its plan; ``grid`` is the block length in seconds.

    ``phi`` is metric → dispersion. Raises :class:`PlanError` with the field's path and a sentence.
    """
    spec = join(specs)
    weights = _weights(spec.metrics)
    deadline = spec.outcomes.deadline.seconds if spec.outcomes else 0.0
    guardrails = tuple(
        _due(_guardrail(metric, weight, f"metrics[{place}]"), lacking(metric, deadline), deadline)
        for place, (metric, weight) in enumerate(zip(spec.metrics, weights, strict=True))
    )
    plan = Plan(
        guardrails=guardrails,
        false_rollback=spec.false_rollback,
        required=tuple(
            _required(labels, spec.strata.labels, place) for place, labels in enumerate(spec.strata.required)
        ),
        grid=grid,
        stale_after=spec.stale_after.seconds,
        blind_after=spec.blind_after.seconds,
        phi=phi or {},
        independent=spec.unit == "session",
        deadline=deadline,
    )
    return spec, plan


def lacking(metric: api.Metric, deadline: float) -> str:
    """Return which tasks are bad in this metric when they have no outcome at the deadline; empty for none.

    A ratio of finished tasks has them as exposures. That they did not go well is a fact, so they count in
    every share of good ones; that nothing bad happened in them is what nobody saw, so in quality and safety
    they count as bad. They were slower than a bucket edge that is no longer than the deadline. What they
    cost nobody knows, and an event is what was seen.
    """
    ratio, latency = metric.ratio, metric.latency
    if metric.missing is not None:
        return ROUTED
    if not deadline:
        return ""
    if latency is not None:
        slower = latency.histogram == DURATIONS and latency.slower_than.seconds <= deadline
        return ALL_TASKS if slower else ""
    if ratio is None or ratio.of.metric != FINISHED or "outcome" in ratio.of.match:
        return ""
    if ratio.good is None and metric.class_ not in (MetricClass.QUALITY, MetricClass.SAFETY):
        return ""
    return stratum_key(ratio.of.match) or ALL_TASKS


def join(specs: Sequence[api.GuardrailPolicySpec]) -> api.GuardrailPolicySpec:
    """Return one policy that asks for everything that each of them asks for, the stricter number winning."""
    if not specs:
        raise PlanError(
            "guardrails", "a release without guardrails cannot be judged; name at least one policy"
        )
    first, *others = specs
    for other in others:
        strata = first.strata.model_copy(
            update={
                "labels": list(dict.fromkeys([*first.strata.labels, *other.strata.labels])),
                "required": [
                    *first.strata.required,
                    *(r for r in other.strata.required if r not in first.strata.required),
                ],
            }
        )
        first = first.model_copy(
            update={
                "strata": strata,
                "metrics": [*first.metrics, *other.metrics],
                "unit": "session" if {first.unit, other.unit} == {"session"} else "task",
                "false_rollback": min(first.false_rollback, other.false_rollback),
                "stale_after": min(first.stale_after, other.stale_after, key=lambda span: span.seconds),
                "blind_after": min(first.blind_after, other.blind_after, key=lambda span: span.seconds),
                "router": _one_router(first, other),
                "outcomes": min(
                    filter(None, (first.outcomes, other.outcomes)),
                    key=lambda outcomes: outcomes.deadline.seconds,
                    default=None,
                ),
            }
        )
    return first


def _due(guardrail: Guardrail, kind: str, deadline: float) -> Guardrail:
    """Add which tasks are bad without an outcome; another deadline is another wording of what is counted."""
    terms = f"{guardrail.terms}/{deadline:g}" if kind and deadline else guardrail.terms
    return replace(guardrail, lacking=kind, terms=terms)


def _one_router(first: api.GuardrailPolicySpec, other: api.GuardrailPolicySpec) -> api.Router | None:
    named = [one.router for one in (first, other) if one.router is not None]
    if len(named) == 2 and named[0] != named[1]:
        raise PlanError("router", "two policies name different routers; one release has one")
    return named[0] if named else None


def _guardrail(metric: api.Metric, weight: float, path: str) -> Guardrail:
    kind = _kind(metric, path)
    defaults = DEFAULTS[metric.class_]
    tolerance = _margin(metric.tolerance) or defaults.tolerance
    max_harm = _margin(metric.max_harm) or defaults.max_harm
    alone = _margin(metric.max_harm_stratum) or Margin(
        max(tolerance.relative, max_harm.relative), max(defaults.stratum, 2.0 * max_harm.absolute)
    )
    return Guardrail(
        name=metric.name,
        metric_class=metric.class_,
        kind=kind,
        on_breach=metric.on_breach,
        tolerance=tolerance,
        max_harm=max_harm,
        max_harm_stratum=alone,
        weight=weight,
        alpha=defaults.alpha if metric.alpha is None else metric.alpha,
        ceiling=metric.ceiling,
        floor=metric.floor,
        when_autonomy=frozenset(metric.when_autonomy),
        expected=defaults.expected,
        bounded=kind in {Kind.LATENCY, Kind.COST}
        or (metric.ratio is not None and metric.ratio.good is not None),
        window=metric.label_window.seconds if metric.label_window else 0.0,
        pairs=metric.pairs or "",
        offline=_offline(metric),
        terms=_terms(metric),
    )


def _offline(metric: api.Metric) -> Offline | None:
    found = metric.offline
    if found is None:
        return None
    return Offline(
        evaluator=found.evaluator,
        cases=found.cases,
        dataset=found.dataset or "",
        passing=tuple(found.passing),
        by_score=found.measure == "score",
        compared=metric.tolerance is not None,
    )


_NO_TERMS = {"name", "class_", "on_breach", "worse_when", "when_autonomy", "weight", "alpha"}
"""Fields that change what follows from evidence, and not what it is evidence of."""


def _terms(metric: api.Metric) -> str:
    said = metric.model_dump_json(exclude=_NO_TERMS, exclude_none=True)
    return sha256(said.encode()).hexdigest()[:8]


def _kind(metric: api.Metric, path: str) -> Kind:
    given = [kind for kind in Kind if getattr(metric, kind.value) is not None]
    if len(given) != 1:
        raise PlanError(
            path,
            f"{metric.name} needs exactly one of ratio, event, latency, cost, offline and missing, "
            f"not {len(given)}",
        )
    if metric.ratio is not None and (metric.ratio.good is None) == (metric.ratio.bad is None):
        raise PlanError(f"{path}.ratio", f"{metric.name} needs exactly one of good and bad")
    return given[0]


def _margin(margin: api.Margin | None) -> Margin | None:
    return None if margin is None else Margin(margin.relative, margin.absolute)


def _weights(metrics: Sequence[api.Metric]) -> list[float]:
    """Share out what the given weights leave, by class; events and offline results need none."""
    tested = [metric for metric in metrics if metric.event is None and metric.offline is None]
    rest = 1.0 - sum(metric.weight or 0.0 for metric in tested)
    shares = sum(DEFAULTS[metric.class_].share for metric in tested if metric.weight is None)
    if shares and rest <= 0.0:  # what is given in full is added up by the plan itself
        raise PlanError(
            "metrics", f"the weights share out one risk; they sum to {1.0 - rest:g} and leave nothing"
        )
    return [
        0.0
        if metric.event is not None or metric.offline is not None
        else metric.weight
        if metric.weight is not None
        else rest * DEFAULTS[metric.class_].share / shares
        for metric in metrics
    ]


def _required(labels: Mapping[str, str], known: Sequence[str], place: int) -> str:
    unknown = sorted(set(labels) - set(known))
    if unknown:
        said = f"{', '.join(unknown)} is not among the labels {', '.join(known) or 'none'}"
        raise PlanError(f"strata.required[{place}]", said)
    return stratum_key(labels)
