"""From raw series to a block of evidence: who did how much, in which stratum, in which time.

Integer differences per series come first and sums afterwards, so a restart or a new pod counts once.
A stratum or an arm without any series is unknown. Zero is only what a series says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agentrelease.core import lacking, offline, pairs, routing
from agentrelease.core.evidence import Block, Cell, Count, stratum_key
from agentrelease.core.overdue import STARTED
from agentrelease.core.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agentrelease.api.guardrail import GuardrailPolicySpec, Metric, Selector
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.series import Series, Snapshot

TASKS = "agentrelease_tasks_total"
LEVELS = "agentrelease_autonomy_in_effect"
INFO = "agentrelease_info"


def metrics_read(spec: GuardrailPolicySpec) -> frozenset[str]:
    """Return the names of all counters that a policy needs."""
    names = {TASKS}
    if spec.outcomes is not None:
        names |= set(lacking.METRICS)
    for metric in spec.metrics:
        names.update(selector.metric for selector in _selectors(metric))
        if metric.event is not None:
            names.add(metric.event.metric)
        if metric.latency is not None:
            names |= {f"{metric.latency.histogram}_bucket", f"{metric.latency.histogram}_count"}
        if metric.cost is not None:
            names |= {metric.cost.metric, metric.cost.of.metric}
        if metric.pairs is not None:
            names.add(pairs.PAIRS)
        if metric.offline is not None:
            names |= offline.READ
    return frozenset(names)


def block(snapshot: Snapshot, spec: GuardrailPolicySpec, span: Span, problems: tuple[str, ...] = ()) -> Block:
    """Return the evidence of one release in ``(span.start, span.end]``."""
    cells = {m.name: _cells(snapshot, spec, m, span) for m in _tested(spec)}
    deadline = spec.outcomes.deadline.seconds if spec.outcomes else 0.0
    unread = tuple(f"{name}: {why}" for name, why in snapshot.unread.items() if name in metrics_read(spec))
    return Block(
        start=span.start,
        end=span.end,
        cells=cells,
        events=occurrences(snapshot, spec, span),
        held=span.levels.lower if span.levels else frozenset(),
        arms=_arms(snapshot, spec, span),
        problems=(*problems, *unread),
        lacking={**lacking.paths(snapshot, spec, span), **routing.paths(snapshot, spec, span)},
        passed_over=lacking.passed_over(span.points, span.since, deadline),
        early=span.early,
    )


def occurrences(snapshot: Snapshot, spec: GuardrailPolicySpec, span: Span) -> dict[str, float]:
    """Return what of the candidate's has not been counted yet, by event metric; unknown ones lack."""
    found = {m.name: _event(snapshot, m, span) for m in spec.metrics if m.event is not None}
    return {name: count for name, count in found.items() if count is not None}


def recent(
    snapshot: Snapshot, spec: GuardrailPolicySpec, release: AgentRelease, revision: str, seconds: float
) -> dict[str, Count]:
    """Return one revision's counts over the last seconds, all strata together, by metric."""
    span = Span(release.namespace, release.name, revision, None, snapshot.end - seconds, snapshot.end)
    found = {m.name: _counts(snapshot, m, span, revision, "", ()) for m in _tested(spec)}
    return {name: counts[""] for name, counts in found.items() if "" in counts}


def _tested(spec: GuardrailPolicySpec) -> list[Metric]:
    """The metrics that are counted in blocks and tested."""
    return [m for m in spec.metrics if m.event is None and m.offline is None]


def _selectors(metric: Metric) -> Iterable[Selector]:
    ratio = metric.ratio
    if ratio is not None:
        yield from (s for s in (ratio.good, ratio.bad, ratio.of) if s is not None)


def _cells(snapshot: Snapshot, spec: GuardrailPolicySpec, metric: Metric, span: Span) -> Mapping[str, Cell]:
    strata = tuple(spec.strata.labels)
    if metric.missing is not None:
        return routing.cells(snapshot, spec, span)
    paired = _paired(snapshot, metric, span, strata)
    if paired is not None:
        return paired
    candidate = _counts(snapshot, metric, span, span.candidate, span.audience, strata)
    stable = (
        {}
        if span.stable is None
        else _counts(snapshot, metric, span, span.stable, span.stable_audience, strata)
    )
    return {key: Cell(candidate.get(key), stable.get(key)) for key in candidate.keys() | stable.keys()}


def _paired(
    snapshot: Snapshot, metric: Metric, span: Span, strata: tuple[str, ...]
) -> Mapping[str, Cell] | None:
    """Return pairs of answers to the same requests; ``None`` where nobody counts any."""
    if not span.mirrored or metric.pairs is None or span.stable is None:
        return None
    series = snapshot.of(pairs.PAIRS, span.namespace, span.agent)
    labels = pairs.labels_of(span.candidate, span.stable, metric.pairs)
    if metric.name not in span.paired and not pairs.exported(series, labels):
        return None
    return pairs.cells(lambda outcome: _sums(series, {**labels, "outcome": outcome}, "", span, strata))


def _counts(
    snapshot: Snapshot, metric: Metric, span: Span, revision: str, audience: str, strata: tuple[str, ...]
) -> dict[str, Count]:
    """Return bad outcomes out of exposures for one arm, by stratum."""

    def sums(name: str, match: Mapping[str, str]) -> dict[str, float]:
        return _sums(
            snapshot.of(name, span.namespace, span.agent),
            {**match, "release": revision},
            audience,
            span,
            strata,
        )

    if metric.ratio is not None:
        of = sums(metric.ratio.of.metric, metric.ratio.of.match)
        picked = metric.ratio.good or metric.ratio.bad
        assert picked is not None
        part = sums(picked.metric, picked.match)
        bad = (
            part
            if metric.ratio.bad is not None
            else {key: of[key] - part[key] for key in of.keys() & part.keys()}
        )
    elif metric.latency is not None:
        of = sums(f"{metric.latency.histogram}_count", {})
        edge = _edge(metric.latency.slower_than.seconds)
        fast = sums(f"{metric.latency.histogram}_bucket", {"le": edge})
        bad = {key: of[key] - fast[key] for key in of.keys() & fast.keys()}
    elif metric.cost is not None:
        of = sums(metric.cost.of.metric, metric.cost.of.match)
        spent = sums(metric.cost.metric, {})
        bad = {key: min(value / metric.cost.cap, of[key]) for key, value in spent.items() if key in of}
    else:
        return {}
    return {key: Count(of[key], max(bad[key], 0.0)) for key in of.keys() & bad.keys()}


def _edge(seconds: float) -> str:
    """Write a bucket edge as Prometheus clients do: always with a decimal point."""
    return repr(float(seconds))


def _sums(
    series: Iterable[Series], match: Mapping[str, str], audience: str, span: Span, strata: tuple[str, ...]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in series:
        if not span.picks(one, match, audience):
            continue
        grown = one.grown(span.start, span.end)
        if grown is not None:
            key = stratum_key({label: one.labels.get(label, "") for label in strata})
            found[key] = found.get(key, 0.0) + grown
    return found


def _event(snapshot: Snapshot, metric: Metric, span: Span) -> float | None:
    assert metric.event is not None
    series = snapshot.of(metric.event.metric, span.namespace, span.agent)
    span = replace(span, start=max(span.start, span.counted.get(metric.name, span.start)))
    match = {**metric.event.match, "release": span.candidate}
    every, levels = _sums(series, match, "", span, ()).get(""), span.levels
    if every is None or levels is None or not levels.held or not metric.when_autonomy:
        return every
    forbidden = [one for one in series if levels.at(one.labels) in metric.when_autonomy]
    return _sums(forbidden, match, "", span, ()).get("", 0.0)


def _arms(snapshot: Snapshot, spec: GuardrailPolicySpec, span: Span) -> dict[str, tuple[float, float]]:
    """Return both arms' tasks in ordinary traffic; nothing when either arm is unknown.

    Tasks are counted as they begin, where both arms do: one that hangs was sent all the same.
    """
    if spec.router is not None and span.services.candidate:
        both = routing.arms(snapshot, spec, span)
        return {"": both} if both is not None else {}
    for name in (STARTED, TASKS):
        series = snapshot.of(name, span.namespace, span.agent)
        candidate = _sums(series, {"release": span.candidate}, span.audience, span, ())
        stable = _sums(series, {"release": span.stable or ""}, span.stable_audience, span, ())
        if "" in candidate and "" in stable:
            return {"": (candidate[""], stable[""])}
    return {}
