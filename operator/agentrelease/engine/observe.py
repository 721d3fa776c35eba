"""From a look at Prometheus to what a decision may know: evidence, measured exposure, blindness.

Pure but for nothing: everything comes in as values, so a recorded look gives the same answer again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.core import audience, blocks, intent, lacking, offline, permitted, runs
from agentrelease.core.assess import Assessment, Requirements, assess
from agentrelease.core.evidence import (
    Absolute,
    Frozen,
    stratum_key,
)
from agentrelease.core.exposure import ALL, Exposure
from agentrelease.core.guardrails import MetricVerdict
from agentrelease.core.interventions import taken
from agentrelease.core.ledger import Ledger
from agentrelease.core.permitted import Levels
from agentrelease.core.reference import read_reference
from agentrelease.core.situation import Measured
from agentrelease.core.span import Span
from agentrelease.engine.absorbing import absorbed, course_of, exposed_at, history_of, ledger_of, read_ledger
from agentrelease.engine.alarms import alarmed, alarms_of
from agentrelease.engine.forecasting import forecast
from agentrelease.engine.freshness import stale, unrouted, unscraped, untold
from agentrelease.engine.measuring import measure

if TYPE_CHECKING:
    from agentrelease.api.guardrail import GuardrailPolicySpec
    from agentrelease.api.phase import Phase
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate
    from agentrelease.core.course import Course
    from agentrelease.core.forecast import Outlook
    from agentrelease.core.guardrails import Plan
    from agentrelease.core.series import Snapshot, Stretch
    from agentrelease.engine.alarms import Alarm


@dataclass(frozen=True, slots=True)
class Guarding:
    """The policies of a release, compiled."""

    spec: GuardrailPolicySpec
    plan: Plan
    policy: str = ""  # digest of the spec


@dataclass(frozen=True, slots=True)
class Observed:
    """What one look says about one release."""

    ledger: Ledger | None
    assessment: Assessment | None
    measured: Measured
    blind: str
    outlook: tuple[Outlook, ...] = ()
    wants: Stretch | None = None
    evaluations: tuple[offline.Run, ...] | None = None  # ``None``: as they are stored
    alarms: frozenset[Alarm] = frozenset()  # counters of which any growth is a breach now
    course: Course | None = None  # how the ledger came about; ``None``: it is not known from its beginning


def observe(
    release: AgentRelease,
    guarding: Guarding | None,
    snapshot: Snapshot | None,
    why: str,
    regained: Ledger | None = None,
    alarm: Snapshot | None = None,
) -> Observed:
    """Judge a release on a snapshot; ``why`` is a reason to be blind that is known already.

    ``regained`` is evidence that the status has lost, and ``alarm`` what was heard since then of things that
    may not happen even once.
    """
    candidate, stable = release.status.candidate, release.status.stable
    if candidate is None:
        return _watched(release, guarding, snapshot, why, alarm)
    if snapshot is None or snapshot.problem:
        return _unseen(snapshot, why)
    running = candidate.stage is Stage.RUNNING
    begun = (regained or ledger_of(release, guarding.plan, snapshot.end)) if guarding and running else None
    measured = measure(release, candidate, guarding.spec if guarding else None, snapshot, begun)
    if guarding is None:
        return Observed(None, None, measured, why)
    evaluations = _evaluations(release, guarding.plan, snapshot)
    known = offline.Runs(candidate.revision, stable.revision if stable else "", evaluations)
    blind = why or _boundless(release, guarding.plan, known) or stale(release, candidate, guarding, snapshot)
    if begun is None:
        outlook = forecast(release, guarding, snapshot)
        wants = history_of(release, guarding.plan.grid, snapshot.end)
        return Observed(None, None, measured, blind, outlook, wants, evaluations)
    problems = (blind,) if blind else unscraped(release, candidate, snapshot)
    problems += untold(release, candidate, guarding.spec, snapshot)
    problems += unrouted(release, candidate, guarding.spec, snapshot)
    course = course_of(release, guarding.policy, begun, regained=regained is not None)
    ledger, course = absorbed(release, candidate, guarding, snapshot, problems, begun, course)
    levels = permitted.of_candidate(intent.exposure(release), candidate)
    for listened in (snapshot, alarm):  # the look's own, too: its block may be open
        ledger, heard = alarmed(release, candidate.revision, guarding, ledger, levels, listened)
        course = course and (course.then(*heard) if heard else course)
    phase = release.spec.phases[min(candidate.phase_index, len(release.spec.phases) - 1)]
    requirements = _requirements(phase, candidate, exposed_at(ledger, candidate), guarding.plan.deadline)
    assessment = assess(guarding.plan, ledger, snapshot.end, requirements, known)
    if not blind and assessment.blinded:  # a single guardrail's evidence is missing
        blind = assessment.reason
    told = ledger.origin and ledger.recalled
    wants = None if told else history_of(release, guarding.plan.grid, ledger.phase_at)
    return Observed(
        ledger,
        assessment,
        measured,
        blind,
        wants=wants,
        evaluations=evaluations,
        alarms=alarms_of(release, candidate.revision, guarding, levels),
        course=course,
    )


def _unseen(snapshot: Snapshot | None, why: str) -> Observed:
    problem = snapshot.problem if snapshot else "no evidence has been read yet"
    return Observed(None, None, Measured(), why or problem)


def _requirements(phase: Phase, candidate: Candidate, since: float, deadline: float) -> Requirements:
    """Return what a phase asks for; nothing that was taken from a candidate comes back without proof.

    ``since`` is when its exposure began, in unix seconds, and ``deadline`` how many seconds a task may take.
    """
    optional = phase.cohort is not None and phase.cohort.evidence == "optional"
    proof = not optional or taken(candidate)
    return Requirements(
        min_samples=phase.min_samples if phase.cohort is None else max(1, phase.min_samples),
        min_samples_by_stratum={stratum_key(one.match): one.samples for one in phase.strata_samples},
        due_at=lacking.settled(since, deadline) if proof else 0.0,
        proof=proof,
    )


def _watched(
    release: AgentRelease,
    guarding: Guarding | None,
    snapshot: Snapshot | None,
    why: str,
    alarm: Snapshot | None,
) -> Observed:
    """Judge what serves, after its promotion, against the frozen record of what served before."""
    watch, stable = release.status.watch, release.status.stable
    if watch is None or stable is None or guarding is None:
        return Observed(None, None, Measured(), why)
    if snapshot is None or snapshot.problem:
        return _unseen(snapshot, why)
    ledger = read_ledger(watch.evidence) or Ledger.new(guarding.plan, snapshot.end)
    ledger = ledger.covering(guarding.plan)
    level = stable.autonomy
    if snapshot.end <= watch.permitted_until + guarding.plan.grid:
        level = max(level, watch.permitted)
    levels = Levels.of(level, stable.strata)
    if snapshot.end > ledger.through:
        whose = audience.of_candidate(Exposure(weight=ALL), release.spec.phases)
        span = Span(
            release.namespace,
            release.name,
            stable.revision,
            None,
            ledger.through,
            snapshot.end,
            whose,
            step=guarding.plan.grid,
            since=ledger.phase_at,
            counted=ledger.events_at,
            levels=levels,
        )
        block = blocks.block(snapshot, guarding.spec, span, (why,) if why else ())
        record = read_reference(release.status.reference)
        ledger = ledger.absorb(guarding.plan, block, level, Frozen(record) if record else Absolute())
    ledger, _ = alarmed(release, stable.revision, guarding, ledger, levels, alarm)
    evaluations, previous = _evaluations(release, guarding.plan, snapshot), release.status.previous
    known = offline.Runs(stable.revision, previous.revision if previous else "", evaluations)
    assessment = assess(guarding.plan, ledger, snapshot.end, Requirements(), known)
    alarms = alarms_of(release, stable.revision, guarding, levels)
    return Observed(ledger, assessment, Measured(), why, evaluations=evaluations, alarms=alarms)


def _evaluations(release: AgentRelease, plan: Plan, snapshot: Snapshot) -> tuple[offline.Run, ...]:
    """Return the offline evaluations of this release's revisions: those stored, and those reported now."""
    status = release.status
    revisions = [one.revision for one in (status.candidate, status.stable, status.previous) if one]
    evaluators = {g.offline.evaluator for g in plan.offline if g.offline is not None}
    now = runs.seen(snapshot, release.namespace, release.name, evaluators)
    return runs.merged(runs.stored(status.evaluations), now, list(dict.fromkeys(revisions)))


def _boundless(release: AgentRelease, plan: Plan, known: offline.Runs) -> str:
    """Say why a first release can't be judged; empty when it can, or has something to be compared with.

    Before anybody meets it, its evaluations have to be good enough: there is no shadow to wait in.
    """
    candidate = release.status.candidate
    if release.status.stable is not None:
        return ""
    if not plan.absolute:
        return (
            "a first release has nothing to be compared with, and no guardrail has a ceiling or a floor: "
            "give one of them a bound, or set firstRelease: promote"
        )
    if candidate is None or candidate.stage is Stage.RUNNING:
        return ""
    judged = {g.name: offline.judge(g, known) for g in plan.offline if g.bound is not None}
    waiting = (f"{name}: {one.why}" for name, one in judged.items() if one.verdict is not MetricVerdict.PASS)
    said = next(waiting, "")
    return f"nobody meets a first release before its evaluation is good enough: {said}" if said else ""
