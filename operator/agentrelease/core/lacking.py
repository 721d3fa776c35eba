"""From a look to paths: how many tasks of each arm and stratum lack an outcome, along a block's grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.core.evidence import Paths, stratum_key
from agentrelease.core.overdue import (
    AGED,
    DURATIONS,
    FINISHED,
    STARTED,
    last_seen,
    path,
    processes,
)
from agentrelease.core.plan import lacking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agentrelease.api.guardrail import GuardrailPolicySpec
    from agentrelease.core.evidence import Path
    from agentrelease.core.overdue import Process
    from agentrelease.core.series import Snapshot
    from agentrelease.core.span import Span

METRICS = (STARTED, f"{DURATIONS}_bucket", FINISHED, AGED)
"""What is read when a policy has a deadline."""


def reach(deadline: float) -> float:
    """Seconds before a block, beyond the look-back, from which samples are needed: when what is due began."""
    return deadline


def settled(since: float, deadline: float) -> float:
    """Return when paths begin to be of tasks alone that began after ``since``, in unix seconds.

    That is a deadline later, and as much again: what is due is read at up to two scrapes before, and the
    next age that an agent counts may be nearly twice the deadline.
    """
    return since + 2.0 * deadline if deadline else 0.0


def passed_over(points: Sequence[float], since: float, deadline: float) -> int:
    """Return how many steps are of tasks that began before ``since``, under another exposure."""
    return sum(at < settled(since, deadline) for at in points[1:])


def untold(snapshot: Snapshot, spec: GuardrailPolicySpec, agent: tuple[str, str], revision: str) -> bool:
    """Whether a revision counts the tasks that end and not those that begin, though a deadline needs it."""

    def tells(name: str) -> bool:
        return any(one.labels.get("release") == revision for one in snapshot.of(name, *agent))

    return spec.outcomes is not None and tells(FINISHED) and not tells(STARTED)


def paths(snapshot: Snapshot, spec: GuardrailPolicySpec, span: Span) -> Mapping[str, Mapping[str, Paths]]:
    """Return the paths of a block, by which tasks are meant and stratum; none without a deadline."""
    if spec.outcomes is None or not span.candidate:
        return {}
    deadline, points = spec.outcomes.deadline.seconds, span.points
    some = processes(*(snapshot.of(name, span.namespace, span.agent) for name in METRICS))
    seen = last_seen(some, points)
    found: dict[str, dict[str, Paths]] = {}
    for kind, match in _kinds(spec, deadline).items():
        arms: list[dict[str, Path]] = []
        for revision, audience in ((span.candidate, span.audience), (span.stable, span.stable_audience)):
            mine = [p for p in some if revision and span.picks(p, match | {"release": revision}, audience)]
            arms.append(
                {
                    key: path(group, points, deadline, seen, snapshot.down)
                    for key, group in _by_stratum(mine, spec.strata.labels).items()
                }
            )
        candidate, stable = arms
        found[kind] = {
            key: Paths(candidate.get(key), stable.get(key)) for key in candidate.keys() | stable.keys()
        }
    return found


def _kinds(spec: GuardrailPolicySpec, deadline: float) -> dict[str, dict[str, str]]:
    """Return which tasks are meant by any metric, and the labels that they have."""
    kinds: dict[str, dict[str, str]] = {}
    for metric in spec.metrics:
        kind = lacking(metric, deadline)
        if kind:
            kinds[kind] = dict(metric.ratio.of.match) if metric.ratio is not None else {}
    return kinds


def _by_stratum(some: Sequence[Process], labels: Sequence[str]) -> dict[str, list[Process]]:
    found: dict[str, list[Process]] = {}
    for process in some:
        key = stratum_key({label: process.labels.get(label, "") for label in labels})
        found.setdefault(key, []).append(process)
    return found
