"""A candidate's evidence as it grows: stable's history first, then block by block under the phase's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.core import audience, blocks, intent, permitted
from agentrelease.core.course import Course, Terms
from agentrelease.core.evidence import Absolute, Comparison, Concurrent, Frozen, Paired
from agentrelease.core.exposure import ALL, Exposure
from agentrelease.core.ledger import Ledger
from agentrelease.core.reference import read_reference
from agentrelease.core.scrapes import awaited, interval
from agentrelease.core.series import Stretch
from agentrelease.core.span import Span
from agentrelease.engine.arms import judged_arms, services_of

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate
    from agentrelease.core.guardrails import Plan
    from agentrelease.core.series import Snapshot
    from agentrelease.engine.observe import Guarding

HISTORY_BLOCKS = 240
"""Blocks of stable's history: four half-lives of a rate, and dispersion to about a tenth."""

HISTORY = 7200.0
"""Seconds of it at most."""


def read_ledger(text: str) -> Ledger | None:
    """Return the ledger in a status; an unreadable one is none: evidence is earned anew."""
    try:
        return Ledger.from_json(text) if text else None
    except ValueError:
        return None


def ledger_of(release: AgentRelease, plan: Plan, at: float) -> Ledger:
    """Return the ledger in the status, or a new one from ``at`` on if there is none or it can't be read."""
    return read_ledger(release.status.evidence) or Ledger.new(plan, at)


def course_of(release: AgentRelease, policy: str, ledger: Ledger, *, regained: bool = False) -> Course | None:
    """Return how a ledger came about, to go on from there; ``None`` where that is not known, or changed."""
    if not regained and not read_ledger(release.status.evidence):
        return Course.begun(policy, ledger.through)
    known = Course.from_json(release.status.course)
    return known.open if known is not None and known.policy == policy else None


def history_of(release: AgentRelease, grid: float, end: float) -> Stretch | None:
    """Return the stretch of stable's past that a ledger begins with; none without a stable revision."""
    stable = release.status.stable
    if stable is None:
        return None
    span = min(HISTORY, HISTORY_BLOCKS * grid) // grid * grid
    return Stretch(release.namespace, release.name, (stable.revision,), end - span, end)


def _warmed(
    release: AgentRelease, ledger: Ledger, course: Course | None, plan: Plan, snapshot: Snapshot
) -> tuple[Ledger, Course | None]:
    """Put stable's history before a ledger that has none yet, as soon as it is known; its past days, too."""
    past, candidate, stable = snapshot.pasts.get(release.key), release.status.candidate, release.status.stable
    if past is None or candidate is None or past.candidate != candidate.revision:
        return ledger, course
    whose, days = stable.revision if stable else "", past.days
    if not ledger.origin:
        course = course and course.then("past", *past.read, whose, past.said)
        ledger = ledger.warmed(plan, past.blocks, past.said)
    if not ledger.recalled and days is not None:
        course = course and course.then("days", *days.read, whose, days.said)
        ledger = ledger.remembering(plan, days.hours, days.said)
    return ledger, course


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


def absorbed(
    release: AgentRelease,
    candidate: Candidate,
    guarding: Guarding,
    snapshot: Snapshot,
    problems: tuple[str, ...],
    ledger: Ledger,
    course: Course | None,
) -> tuple[Ledger, Course | None]:
    """Return a candidate's ledger with everything up to the snapshot's end, and how it came about."""
    ledger = ledger.covering(guarding.plan)
    ledger, course = _warmed(release, ledger, course, guarding.plan, snapshot)
    if snapshot.end <= ledger.through:
        return ledger, course
    scraped = judged_arms(release, candidate, snapshot)
    every = interval(scraped)
    if awaited(scraped, ledger.through, snapshot.end, every, guarding.plan.stale_after):
        return ledger, course
    exposure = intent.exposure(release)
    stable, levels = release.status.stable, permitted.of_candidate(exposure, candidate)
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
        since=exposed_at(ledger, candidate),
        counted=ledger.events_at,
        services=services_of(release, candidate),
        early=every > guarding.plan.grid and ledger.through - every < ledger.phase_at,
        levels=levels,
    )
    block = blocks.block(snapshot, guarding.spec, span, problems)
    compared = comparison(release, exposure, span.start, guarding.plan.grid)
    terms = Terms.of(span, compared, levels.rest, usable=not block.problems)
    course = course and course.absorbed(terms, span.start, span.end)
    return ledger.absorb(guarding.plan, block, levels.rest, compared), course


def exposed_at(ledger: Ledger, candidate: Candidate) -> float:
    """Return since when the split between the arms has been what it is, in unix seconds."""
    return max(ledger.phase_at, candidate.confirmed_at)
