"""What the router says: how many requests it sent to each arm's Service, and how many no agent began.

A request that never reached a task is in no counter of an agent: the pod was not there, refused the
connection, or the process was so busy that it took nothing up. The router's counters have no strata, so such
requests are a guardrail of their own, pooled: exposures are requests sent, bad ones those without a task.
Requests that are no tasks (a page, a probe through the gateway) are missing in both arms alike.

Sent requests are read ``GRACE`` before the agents' own counters, so that one on its way is not missing; what
was on its way when evidence began is no debt. Copies of a mirror are sent and begun like others; repeated
tries are taken off where the policy names their counter. An absent series is unknown, never zero.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from agentrelease.core.audience import EVERYBODY, INTERNAL, belongs
from agentrelease.core.evidence import Cell, Count, Paths
from agentrelease.core.overdue import STARTED, Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentrelease.api.guardrail import GuardrailPolicySpec, Router
    from agentrelease.core.evidence import Path
    from agentrelease.core.series import Series, Snapshot
    from agentrelease.core.span import Span

ROUTED = "router"
"""The kind of path that these are."""

GRACE = 5.0
"""Seconds that a request may take from the router to the task, besides the time until both are scraped."""

RECENT = 60.0
"""Seconds after which a process that is silent holds nothing up any more."""


def labels_of(router: Router, namespace: str, service: str) -> dict[str, str]:
    """Return the labels that the router's series of a Service have."""
    return {
        label: text.replace("{namespace}", namespace).replace("{service}", service)
        for label, text in router.service.items()
    }


def counters(router: Router) -> tuple[str, ...]:
    """Return the names of the router's counters that are read."""
    return tuple(one.metric for one in (router.requests, router.retries) if one is not None)


def sent(
    snapshot: Snapshot, spec: GuardrailPolicySpec, whose: tuple[str, str], start: float, end: float
) -> float | None:
    """Return the requests sent to a Service (namespace, name) in ``(start, end]``; ``None`` is unknown."""
    router = spec.router
    if router is None or not whose[1]:
        return None
    first = _grown(_series(snapshot, router, whose), start, end)
    if first is None:
        return None
    return max(0.0, first - (_grown(_series(snapshot, router, whose, retries=True), start, end) or 0.0))


def silent(snapshot: Snapshot, spec: GuardrailPolicySpec, whose: tuple[str, str]) -> bool:
    """Whether a policy names a router of which nothing is known for this Service."""
    return spec.router is not None and bool(whose[1]) and not _series(snapshot, spec.router, whose)


def external(
    snapshot: Snapshot, whose: tuple[str, str, str], both: float | None, start: float, end: float
) -> float | None:
    """Return what is left of requests sent when the cohort's are taken off, which agents count as such.

    ``whose`` is namespace, agent and revision.
    """
    namespace, agent, revision = whose
    if both is None:
        return None
    mine = (s for s in snapshot.of(STARTED, namespace, agent) if s.labels.get("release") == revision)
    return max(0.0, both - (_grown([s for s in mine if belongs(s, INTERNAL)], start, end) or 0.0))


def arms(snapshot: Snapshot, spec: GuardrailPolicySpec, span: Span) -> tuple[float, float] | None:
    """Return both arms' requests of the audience that counts; ``None`` where one is unknown."""
    found = []
    for service, revision in _both(span):
        whole = sent(snapshot, spec, (span.namespace, service), span.start, span.end)
        if span.audience != EVERYBODY:
            whose = (span.namespace, span.agent, revision)
            whole = external(snapshot, whose, whole, span.start, span.end)
        if whole is None:
            return None
        found.append(whole)
    return found[0], found[1]


def cells(snapshot: Snapshot, spec: GuardrailPolicySpec, span: Span) -> dict[str, Cell]:
    """Return the exposures of requests that may go missing: those that were sent, all strata in one."""
    counts: list[Count | None] = []
    for service, _ in _both(span):
        whole = sent(snapshot, spec, (span.namespace, service), span.start, span.end)
        counts.append(None if whole is None else Count(whole, 0.0))
    candidate, stable = counts
    return {"": Cell(candidate, stable)} if candidate or stable else {}


def paths(snapshot: Snapshot, spec: GuardrailPolicySpec, span: Span) -> dict[str, dict[str, Paths]]:
    """Return how many requests lacked a task along the block, at least; none without a router."""
    if spec.router is None or not span.services.candidate:
        return {}
    found = [_path(snapshot, spec.router, span, *one) for one in _both(span)]
    return {ROUTED: {"": Paths(*found)}}


def _path(snapshot: Snapshot, router: Router, span: Span, service: str, revision: str) -> Path | None:
    whose = (span.namespace, service)
    requests = [Line.of(s.samples) for s in _series(snapshot, router, whose)]
    retries = [Line.of(s.samples) for s in _series(snapshot, router, whose, retries=True)]
    series = snapshot.of(STARTED, span.namespace, span.agent)
    began = [Line.of(s.samples) for s in series if s.labels.get("release") == revision]
    if not service or not requests or not began:
        return None

    def by(at: float) -> float:
        return sum(line.by(at) for line in requests) - sum(line.by(at) for line in retries)

    seen = [_told_until(began, at) - GRACE for at in span.points]
    counted = [sum(line.by(at) for line in began) for at in span.points]
    ahead = sum(line.from_then(span.start + GRACE, span.end) for line in requests)
    ahead -= sum(line.by(seen[0]) for line in requests)  # on their way when the block began, at most
    return tuple(
        by(at) - by(seen[0]) - (tasks - counted[0]) - ahead for at, tasks in zip(seen, counted, strict=True)
    )


def _told_until(began: Sequence[Line], at: float) -> float:
    """Until when every process that still speaks has told what it began."""
    newest = [line.times[bisect_right(line.times, at) - 1] for line in began if line.times[0] <= at]
    recent = [one for one in newest if at - one <= RECENT]
    return min(recent, default=at - RECENT)


def _both(span: Span) -> tuple[tuple[str, str], tuple[str, str]]:
    return (span.services.candidate, span.candidate), (span.services.stable, span.stable or "")


def _series(
    snapshot: Snapshot, router: Router, whose: tuple[str, str], *, retries: bool = False
) -> list[Series]:
    one = router.retries if retries else router.requests
    if one is None:
        return []
    wanted = {**one.match, **labels_of(router, *whose)}
    return [
        series
        for series in snapshot.routed.get(one.metric, ())
        if all(series.labels.get(label) == value for label, value in wanted.items())
    ]


def _grown(series: Iterable[Series], start: float, end: float) -> float | None:
    grown = [one for one in (s.grown(start, end) for s in series) if one is not None]
    return sum(grown) if grown else None
