"""Runs of offline evaluations as they are reported, and what is kept of them afterwards.

A Job's Pod is gone soon after its run, and stable's run was made in its own rollout: what was seen once is
kept in status, for the revisions that a release still knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentrelease.api.status import MAX_EVALUATIONS, Evaluation
from agentrelease.core.offline import CASES, ERROR, EVALUATIONS, SCORE, Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agentrelease.core.series import Series, Snapshot

OTHER = "other"
"""Where labels beyond the first few go; it is never a passing one."""

MAX_LABELS = 6


@dataclass(slots=True)
class _Target:
    """One run as one target reports it."""

    results: dict[str, float] = field(default_factory=dict)
    cases: float = 0.0
    score: float | None = None
    newest: float = 0.0


def seen(snapshot: Snapshot, namespace: str, agent: str, evaluators: Iterable[str]) -> tuple[Run, ...]:
    """Return the runs that are reported now.

    Where several targets report the same run (a Job's Pod that was tried again), the newest one counts.
    """
    wanted = frozenset(evaluators)
    targets: dict[tuple[str, str, str], dict[tuple[str, str], _Target]] = {}
    for name in (EVALUATIONS, CASES, SCORE):
        for one in snapshot.of(name, namespace, agent):
            key = tuple(one.labels.get(label, "") for label in ("release", "evaluator", "dataset"))
            if key[1] in wanted and len(key) == 3:
                _take(targets.setdefault(key, {}).setdefault(one.target, _Target()), name, one)
    return tuple(_run(key, found, snapshot.end) for key, found in sorted(targets.items()))


def merged(stored: Iterable[Run], new: Iterable[Run], revisions: Sequence[str]) -> tuple[Run, ...]:
    """Return what is known now: the latest of each run, since when it is so, for these revisions alone."""
    known = {(run.revision, run.evaluator, run.dataset): run for run in stored}
    for run in new:
        key = run.revision, run.evaluator, run.dataset
        if key not in known or known[key].same != run.same:
            known[key] = run
    kept = [run for run in known.values() if run.revision in revisions]
    newest = sorted(kept, key=lambda run: (-run.at, run.revision, run.evaluator, run.dataset))[
        :MAX_EVALUATIONS
    ]
    return tuple(sorted(newest, key=lambda run: (revisions.index(run.revision), run.evaluator, run.dataset)))


def stored(evaluations: Iterable[Evaluation]) -> tuple[Run, ...]:
    """Return the runs in a status."""
    return tuple(
        Run(one.revision, one.evaluator, one.dataset, one.cases, dict(one.results), one.score, one.at)
        for one in evaluations
    )


def to_store(runs: Iterable[Run]) -> list[Evaluation]:
    """Return runs as a status has them."""
    return [
        Evaluation(
            revision=run.revision,
            evaluator=run.evaluator,
            dataset=run.dataset,
            cases=run.cases,
            results=dict(run.results),
            score=run.score,
            at=run.at,
        )
        for run in runs
    ]


def _take(target: _Target, name: str, one: Series) -> None:
    value = one.samples[-1].value
    target.newest = max(target.newest, one.newest)
    if name == CASES:
        target.cases = max(target.cases, value)
    elif name == SCORE:
        target.score = (target.score or 0.0) + value
    else:
        label = one.labels.get("label", "")[:32]
        known = label in target.results or label == ERROR or len(target.results) < MAX_LABELS
        place = label if known else OTHER
        target.results[place] = target.results.get(place, 0.0) + value


def _run(key: tuple[str, ...], found: Mapping[tuple[str, str], _Target], at: float) -> Run:
    revision, evaluator, dataset = key
    newest = max(found.values(), key=lambda target: (target.newest, sum(target.results.values())))
    results = {label: newest.results[label] for label in sorted(newest.results)}
    return Run(revision, evaluator, dataset[:63], newest.cases, results, newest.score, at)
