"""From a look at Prometheus to what a decision may know: evidence, measured exposure, blindness.

Pure but for nothing: everything comes in as values, so a recorded look gives the same answer again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.core import audience, blocks, intent, lacking, offline, routing, runs
from agentrelease.core.assess import Assessment, Requirements, assess
from agentrelease.core.course import Course, Terms
from agentrelease.core.evidence import (
    Absolute,
    Comparison,
    Concurrent,
    Count,
    Frozen,
    Paired,
    stratum_key,
)
from agentrelease.core.exposure import ALL, Exposure
from agentrelease.core.forecast import Flow, Outlook, outlook
from agentrelease.core.in_effect import difference, reported
from agentrelease.core.interventions import taken
from agentrelease.core.ledger import Ledger
from agentrelease.core.overdue import STARTED
from agentrelease.core.reference import read_reference
from agentrelease.core.series import Stretch
from agentrelease.core.situation import Measured
from agentrelease.core.skew import CLOCK, skew, unreliable
from agentrelease.core.span import Services, Span
from agentrelease.engine.alarms import alarmed, alarms_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.api.guardrail import GuardrailPolicySpec
    from agentrelease.api.phase import Phase
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate
    from agentrelease.api.vocabulary import Autonomy
    from agentrelease.core.guardrails import Plan
    from agentrelease.core.in_effect import Kind
    from agentrelease.core.series import Series, Snapshot
    from agentrelease.engine.alarms import Alarm

WINDOW = 15.0
"""Seconds over which the traffic share is measured."""

PRIOR = 50.0
"""Tasks' worth of a metric's expected rate in a forecast, while little of stable has been seen."""

SURE = 4.0
"""Standard deviations by which a measured share may miss the intended one."""

MARGIN = 0.005
"""And this much more, for what is in flight while a weight changes."""

TURNS = 10.0
"""Tasks of one session. Flags split sessions, and of tasks that come together fewer are independent."""


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


HISTORY_BLOCKS = 240
"""Blocks of stable's history: four half-lives of a rate, and dispersion to about a tenth."""

HISTORY = 7200.0
"""Seconds of it at most."""


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
    candidate = release.status.candidate
    if candidate is None:
        return _watched(release, guarding, snapshot, why, alarm)
    if snapshot is None or snapshot.problem:
        problem = snapshot.problem if snapshot else "no evidence has been read yet"
        return Observed(None, None, Measured(), why or problem)
    measured = _measured(release, candidate, guarding.spec if guarding else None, snapshot)
    if guarding is None:
        return Observed(None, None, measured, why)
    blind = why or _boundless(release, guarding.plan) or _stale(release, candidate, guarding, snapshot)
    evaluations = _evaluations(release, guarding.plan, snapshot)
    if candidate.stage is not Stage.RUNNING:
        forecast = _outlook(release, guarding, snapshot)
        wants = _history(release, guarding.plan.grid, snapshot.end)
        return Observed(None, None, measured, blind, forecast, wants, evaluations)
    problems = (blind,) if blind else _unscraped(release, candidate, snapshot)
    problems += _untold(release, candidate, guarding.spec, snapshot)
    problems += _unrouted(release, candidate, guarding.spec, snapshot)
    begun = regained or ledger_of(release, guarding.plan, snapshot.end)
    course = course_of(release, guarding.policy, begun, regained=regained is not None)
    ledger, course = _absorbed(release, candidate, guarding, snapshot, problems, begun, course)
    level = max(intent.exposure(release).autonomy, candidate.permitted)
    ledger, heard = alarmed(release, candidate.revision, guarding, ledger, level, alarm)
    if heard is not None:
        course = course and course.then(*heard)
    phase = release.spec.phases[min(candidate.phase_index, len(release.spec.phases) - 1)]
    requirements = _requirements(phase, candidate, _exposed_at(ledger, candidate), guarding.plan.deadline)
    stable = release.status.stable
    known = offline.Runs(candidate.revision, stable.revision if stable else "", evaluations)
    assessment = assess(guarding.plan, ledger, snapshot.end, requirements, known)
    if not blind and assessment.blinded:  # a single guardrail's evidence is missing
        blind = assessment.reason
    wants = None if ledger.origin else _history(release, guarding.plan.grid, ledger.phase_at)
    return Observed(
        ledger,
        assessment,
        measured,
        blind,
        wants=wants,
        evaluations=evaluations,
        alarms=alarms_of(release, candidate.revision, guarding, level),
        course=course,
    )


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
        problem = snapshot.problem if snapshot else "no evidence has been read yet"
        return Observed(None, None, Measured(), why or problem)
    ledger = _read_ledger(watch.evidence) or Ledger.new(guarding.plan, snapshot.end)
    ledger = ledger.covering(guarding.plan)
    level = stable.autonomy
    if snapshot.end <= watch.permitted_until + guarding.plan.grid:
        level = max(level, watch.permitted)
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
        )
        block = blocks.block(snapshot, guarding.spec, span, (why,) if why else ())
        record = read_reference(release.status.reference)
        ledger = ledger.absorb(guarding.plan, block, level, Frozen(record) if record else Absolute())
    ledger, _ = alarmed(release, stable.revision, guarding, ledger, level, alarm)
    evaluations, previous = _evaluations(release, guarding.plan, snapshot), release.status.previous
    known = offline.Runs(stable.revision, previous.revision if previous else "", evaluations)
    assessment = assess(guarding.plan, ledger, snapshot.end, Requirements(), known)
    alarms = alarms_of(release, stable.revision, guarding, level)
    return Observed(ledger, assessment, Measured(), why, evaluations=evaluations, alarms=alarms)


def _evaluations(release: AgentRelease, plan: Plan, snapshot: Snapshot) -> tuple[offline.Run, ...]:
    """Return the offline evaluations of this release's revisions: those stored, and those reported now."""
    status = release.status
    revisions = [one.revision for one in (status.candidate, status.stable, status.previous) if one]
    evaluators = {g.offline.evaluator for g in plan.offline if g.offline is not None}
    now = runs.seen(snapshot, release.namespace, release.name, evaluators)
    return runs.merged(runs.stored(status.evaluations), now, list(dict.fromkeys(revisions)))


def _read_ledger(text: str) -> Ledger | None:
    """Return the ledger in a status; an unreadable one is none: evidence is earned anew."""
    try:
        return Ledger.from_json(text) if text else None
    except ValueError:
        return None


def _history(release: AgentRelease, grid: float, end: float) -> Stretch | None:
    """Return the stretch of stable's past that a ledger begins with; none without a stable revision."""
    stable = release.status.stable
    if stable is None:
        return None
    span = min(HISTORY, HISTORY_BLOCKS * grid) // grid * grid
    return Stretch(release.namespace, release.name, (stable.revision,), end - span, end)


def _warmed(
    release: AgentRelease, ledger: Ledger, course: Course | None, plan: Plan, snapshot: Snapshot
) -> tuple[Ledger, Course | None]:
    """Put stable's history before a ledger that has none yet, as soon as it is known."""
    past, candidate, stable = snapshot.pasts.get(release.key), release.status.candidate, release.status.stable
    if ledger.origin or past is None or candidate is None or past.candidate != candidate.revision:
        return ledger, course
    whose = stable.revision if stable else ""
    course = course and course.then("past", *past.read, whose, past.said)
    return ledger.warmed(plan, past.blocks, past.said), course


def _outlook(release: AgentRelease, guarding: Guarding, snapshot: Snapshot) -> tuple[Outlook, ...]:
    """Say what the phases will take at the traffic and the rates that stable shows now."""
    stable = release.status.stable
    if stable is None:
        return ()
    counts = blocks.recent(snapshot, guarding.spec, release, stable.revision, WINDOW)
    rates = {
        name: (count.x + expected * PRIOR) / (count.n + PRIOR)
        for name, (count, expected) in _with_expected(guarding.plan, counts).items()
    }
    external, internal = (_pace(release, snapshot, whose) for whose in (audience.EXTERNAL, audience.INTERNAL))
    return outlook(release.spec.phases, guarding.plan, Flow(external, internal, rates))


def _pace(release: AgentRelease, snapshot: Snapshot, whose: str) -> float:
    """Return the agent's tasks a second in one audience."""
    series = snapshot.of(blocks.TASKS, release.namespace, release.name)
    mine = tuple(one for one in series if audience.belongs(one, whose))
    return (_grown(mine, snapshot.end - WINDOW, snapshot.end) or 0.0) / WINDOW


def _with_expected(plan: Plan, counts: Mapping[str, Count]) -> dict[str, tuple[Count, float]]:
    return {g.name: (counts[g.name], g.expected) for g in plan.tested if g.name in counts}


def ledger_of(release: AgentRelease, plan: Plan, at: float) -> Ledger:
    """Return the ledger in the status, or a new one from ``at`` on if there is none or it can't be read."""
    return _read_ledger(release.status.evidence) or Ledger.new(plan, at)


def course_of(release: AgentRelease, policy: str, ledger: Ledger, *, regained: bool = False) -> Course | None:
    """Return how a ledger came about, to go on from there; ``None`` where that is not known, or changed."""
    if not regained and not _read_ledger(release.status.evidence):
        return Course.begun(policy, ledger.through)
    known = Course.from_json(release.status.course)
    return known.open if known is not None and known.policy == policy else None


def comparison(release: AgentRelease, exposure: Exposure, start: float, grid: float) -> Comparison:
    """Return what the candidate is compared with at this exposure, for a block from ``start`` on.

    The split is judged only in blocks that lie wholly after it came into effect, and only a route's:
    flags split sessions, whose tasks are no independent units.
    """
    if release.status.stable is None:
        return Absolute()
    if exposure.weight >= ALL:
        record = read_reference(release.status.reference)
        return Frozen(record) if record else Absolute()
    if _mirrored(exposure):
        return Paired()
    candidate = release.status.candidate
    routed = release.spec.delivery.route is not None and exposure.weight > 0
    split = candidate is not None and 0 < candidate.confirmed_at <= start - grid
    return Concurrent(exposure.weight / 100 if routed and split else None)


def _mirrored(exposure: Exposure) -> bool:
    """Whether the candidate answers copies of stable's requests and nothing else."""
    return exposure.mirror > 0 and not exposure.answers


def _absorbed(
    release: AgentRelease,
    candidate: Candidate,
    guarding: Guarding,
    snapshot: Snapshot,
    problems: tuple[str, ...],
    ledger: Ledger,
    course: Course | None,
) -> tuple[Ledger, Course | None]:
    ledger = ledger.covering(guarding.plan)
    ledger, course = _warmed(release, ledger, course, guarding.plan, snapshot)
    if snapshot.end <= ledger.through:
        return ledger, course
    exposure = intent.exposure(release)
    stable = release.status.stable
    span = Span(
        namespace=release.namespace,
        agent=release.name,
        candidate=candidate.revision,
        stable=stable.revision if stable else None,
        start=ledger.through,
        end=snapshot.end,
        audience=audience.of_candidate(exposure, release.spec.phases),
        stable_audience=audience.of_stable(exposure, release.spec.phases),
        mirrored=_mirrored(exposure),
        paired=frozenset(name for name, state in ledger.metrics.items() if state.paired),
        step=guarding.plan.grid,
        since=_exposed_at(ledger, candidate),
        counted=ledger.events_at,
        services=_services(release, candidate),
    )
    block = blocks.block(snapshot, guarding.spec, span, problems)
    compared = comparison(release, exposure, span.start, guarding.plan.grid)
    level = max(exposure.autonomy, candidate.permitted)
    terms = Terms.of(span, compared, level, usable=not block.problems)
    course = course and course.absorbed(terms, span.start, span.end)
    return ledger.absorb(guarding.plan, block, level, compared), course


def _boundless(release: AgentRelease, plan: Plan) -> str:
    """Say why a first release can't be judged; empty when it can, or has something to be compared with."""
    if release.status.stable is not None or plan.absolute:
        return ""
    return (
        "a first release has nothing to be compared with, and no guardrail has a ceiling or a floor: "
        "give one of them a bound, or set firstRelease: promote"
    )


def _exposed_at(ledger: Ledger, candidate: Candidate) -> float:
    """Return since when the split between the arms has been what it is, in unix seconds."""
    return max(ledger.phase_at, candidate.confirmed_at)


def _untold(
    release: AgentRelease, candidate: Candidate, spec: GuardrailPolicySpec, snapshot: Snapshot
) -> tuple[str, ...]:
    """Say who does not count the tasks that begin, so that one which hangs can't be seen."""
    stable = release.status.stable
    arms = [("the candidate", candidate.revision)] + ([("stable", stable.revision)] if stable else [])
    return tuple(
        f"{who} ({revision}) has no {STARTED}, which outcomes.deadline needs"
        for who, revision in arms
        if lacking.untold(snapshot, spec, (release.namespace, release.name), revision)
    )


def _stale(release: AgentRelease, candidate: Candidate, guarding: Guarding, snapshot: Snapshot) -> str:
    """Say whose newest sample is too old; empty when evidence is fresh."""
    limit = guarding.plan.stale_after
    expected = [("the candidate", candidate.revision)]
    stable = release.status.stable
    if stable is not None and intent.exposure(release).weight < ALL:
        expected.append(("stable", stable.revision))
    series = snapshot.of(blocks.TASKS, release.namespace, release.name)
    for who, revision in expected:
        newest = max((one.newest for one in _of(series, revision)), default=None)
        if newest is None:
            return f"no samples of {who} ({revision})"
        if snapshot.at - newest > limit:
            return f"the newest sample of {who} ({revision}) is {snapshot.at - newest:.0f} s old"
    return ""


def _unscraped(release: AgentRelease, candidate: Candidate, snapshot: Snapshot) -> tuple[str, ...]:
    """Say whose targets can't be scraped: what they would have told is missing, perhaps because it is bad."""
    stable = release.status.stable
    arms = [("the candidate", candidate.revision)] + ([("stable", stable.revision)] if stable else [])
    series = snapshot.of(blocks.TASKS, release.namespace, release.name)
    found = []
    for who, revision in arms:
        targets = {one.target for one in _of(series, revision)}
        if down := targets & snapshot.down:
            said = f"{len(down)} of {len(targets)} targets of {who} ({revision}) can't be scraped: up is 0"
            found.append(said)
    return tuple(found)


def _of(series: tuple[Series, ...], revision: str) -> tuple[Series, ...]:
    return tuple(one for one in series if one.labels.get("release") == revision)


# ---- measured exposure -----------------------------------------------------------------------------


def _services(release: AgentRelease, candidate: Candidate) -> Services:
    """Return the Services that the router sends the arms' requests to; none where there are no slots."""
    slots, stable = release.spec.delivery.slots or {}, release.status.stable
    mine, theirs = slots.get(candidate.slot), slots.get(stable.slot) if stable else None
    return Services(mine.service if mine else "", theirs.service if theirs else "")


def _unrouted(
    release: AgentRelease, candidate: Candidate, spec: GuardrailPolicySpec, snapshot: Snapshot
) -> tuple[str, ...]:
    """Say of which arm the router that the policy names tells nothing."""
    both = _services(release, candidate)
    return tuple(
        f"the router has no series of {who}'s Service {service}: see spec.router of the policy"
        for who, service in (("the candidate", both.candidate), ("stable", both.stable))
        if routing.silent(snapshot, spec, (release.namespace, service))
    )


def _sent(
    release: AgentRelease, candidate: Candidate, spec: GuardrailPolicySpec, window: Span, snapshot: Snapshot
) -> tuple[float | None, float | None] | None:
    """Return both arms' requests by the router's own counters; ``None`` where the policy names none."""
    services = _services(release, candidate)
    if spec.router is None or not services.candidate:
        return None
    return routing.arms(snapshot, spec, replace(window, services=services)) or (None, None)


def _measured(
    release: AgentRelease, candidate: Candidate, spec: GuardrailPolicySpec | None, snapshot: Snapshot
) -> Measured:
    exposure = intent.exposure(release)
    stable = release.status.stable
    series = _tasks(release, candidate, snapshot)
    start = max(candidate.confirmed_at, snapshot.end - WINDOW)
    whose = audience.of_candidate(exposure, release.spec.phases)
    counted = tuple(one for one in series if audience.belongs(one, whose))
    mine = _grown(_of(counted, candidate.revision), start, snapshot.end)
    theirs = _grown(_of(counted, stable.revision), start, snapshot.end) if stable else None
    if spec is not None and stable is not None and exposure.weight > 0:
        names = (release.namespace, release.name, candidate.revision, stable.revision)
        mine, theirs = _sent(
            release, candidate, spec, Span(*names, start, snapshot.end, whose), snapshot
        ) or (mine, theirs)
    all_of_it = _grown(_of(series, candidate.revision), start, snapshot.end)
    recent = _grown(_of(series, candidate.revision), snapshot.end - 2.0, snapshot.end)
    levels = reported(
        _of(snapshot.of(blocks.LEVELS, release.namespace, release.name), candidate.revision),
        snapshot.at,
        WINDOW,
    )
    info = _of(snapshot.of(blocks.INFO, release.namespace, release.name), candidate.revision)
    share = _share(mine, theirs) if exposure.weight > 0 else None
    together = TURNS if release.spec.delivery.route is None else 1.0
    return Measured(
        weight=None if share is None else 100 * share,
        tasks=mine,
        recent=recent,
        autonomy=max(levels.values(), default=None),
        reporting=any(snapshot.at - one.newest <= WINDOW for one in info),
        disagreement=_skewed(release, candidate, snapshot)
        or _disagreement(exposure, candidate, levels)
        or ("" if mine or not exposure.reached else _unreached(whose, all_of_it))
        or (_missed(exposure, (mine, theirs), together) if stable else ""),
        at=snapshot.at,
    )


def _tasks(release: AgentRelease, candidate: Candidate, snapshot: Snapshot) -> tuple[Series, ...]:
    """Return the tasks by which traffic is measured: as they begin, where every arm counts them so.

    A candidate that hangs on all of them is reached by traffic although it never finishes any.
    """
    stable = release.status.stable
    arms = {candidate.revision} | ({stable.revision} if stable else set())
    began = snapshot.of(STARTED, release.namespace, release.name)
    told = {one.labels.get("release") for one in began}
    return began if arms <= told else snapshot.of(blocks.TASKS, release.namespace, release.name)


def _skewed(release: AgentRelease, candidate: Candidate, snapshot: Snapshot) -> str:
    clocks = _of(snapshot.of(CLOCK, release.namespace, release.name), candidate.revision)
    return unreliable(skew(clocks, snapshot.at, WINDOW), release.spec.delivery.flags.lease_seconds)


def _grown(series: tuple[Series, ...], start: float, end: float) -> float | None:
    grown = [g for g in (one.grown(start, end) for one in series) if g is not None]
    return sum(grown) if grown else None


def _share(mine: float | None, theirs: float | None) -> float | None:
    if mine is None or theirs is None or mine + theirs <= 0:
        return None
    return mine / (mine + theirs)


def _disagreement(exposure: Exposure, candidate: Candidate, levels: dict[Kind, Autonomy]) -> str:
    if candidate.stage is not Stage.RUNNING:
        return ""
    if not candidate.confirmed_at:
        return "the levers have not been seen in effect yet"
    return difference(levels, exposure)


def _unreached(whose: str, tasks: float | None) -> str:
    """Say whose requests are missing; ``tasks`` are the candidate's of all audiences."""
    if not tasks or not whose:
        return "no traffic has reached the candidate in this phase yet"
    return f"{tasks:g} tasks have reached the candidate in this phase, none of them with audience={whose}"


def _missed(exposure: Exposure, tasks: tuple[float | None, float | None], together: float) -> str:
    """Say that the share of traffic is not the intended one; ``together`` are the tasks split as one."""
    mine, theirs = tasks
    share = exposure.weight / 100
    if not 0 < share < 1:
        return ""
    total = (mine or 0.0) + (theirs or 0.0)
    measured = _share(mine, theirs)
    spread = sqrt(share * (1 - share) * together / total) if total else 0.0
    if measured is None or abs(measured - share) > SURE * spread + MARGIN:
        shown = "unknown" if measured is None else f"{100 * measured:.1f} %"
        return f"the measured share is {shown} of {total:g} tasks, intended is {exposure.weight:g} %"
    return ""
