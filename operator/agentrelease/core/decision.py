"""``decide``: from a situation to the next status, its direction, and the words that explain it.

The operator, simulations, replays and the tests all run this one function. It does no I/O and reads
no clock; the same situation and time give the same decision, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from agentrelease.api.status import (
    MAX_HISTORY,
    MAX_MESSAGE,
    MAX_REFUSED,
    Candidate,
    Outcome,
    Refused,
    ReleaseStatus,
    Serving,
    Stage,
    Transition,
)
from agentrelease.core import intent, reporting
from agentrelease.core.drift import DRIFT_UNDONE, fights
from agentrelease.core.rollout import next_step
from agentrelease.core.steps import Move, Step

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.exposure import Exposure
    from agentrelease.core.situation import Situation


class Direction(StrEnum):
    """Which order of writes a decision needs."""

    KEEP = "keep"
    RAISE = "raise"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Decision:
    """The step taken, the status that follows, and how exposure moves.

    ``status`` is complete but for the evidence text and the epoch, which the engine adds in the
    same write. ``announce`` is false while the same cause goes on, whatever its numbers.
    """

    step: Step
    direction: Direction
    status: ReleaseStatus
    intended: Exposure
    announce: bool
    drift: str = ""  # what somebody raised from outside and this decision takes back


def decide(situation: Situation, now: float) -> Decision:
    """Decide what a release shall be next.

    ``now`` is in unix seconds. Never raises for anything a user can write; what is missing or
    contradictory holds.
    """
    step = next_step(situation, now)
    release = situation.release
    status = _apply(release, situation, step, now)
    after = release.model_copy(update={"status": status})
    before, intended = intent.exposure(release), intent.exposure(after)
    status = reporting.describe(situation, after, step, intended, now)
    announce = step.cause != release.status.verdict
    direction = _direction(situation, step, before, intended)
    return Decision(step, direction, status, intended, announce, _drift(situation, step, intended))


def _direction(s: Situation, step: Step, before: Exposure, intended: Exposure) -> Direction:
    live = s.live.exposure
    if step.move in (Move.WITHDRAW, Move.STEP_BACK, Move.CAP, Move.DRAIN, Move.RETURN):
        return Direction.LOWER
    if step.move in (Move.START, Move.PROMOTE):
        return Direction.RAISE
    if _exceeds(s, intended):
        # Drift upwards, or a withdrawal that has not reached every lever: take it back first.
        return Direction.LOWER
    candidate = s.release.status.candidate
    if candidate and candidate.stage is Stage.WITHDRAWING and live is None:
        return Direction.LOWER
    if step.move is Move.ENTER or not intended.within(before):
        return Direction.RAISE
    if candidate and candidate.stage is Stage.RUNNING and not candidate.confirmed_at and s.leading:
        # The phase was intended but perhaps not written: its author may have died in between.
        return Direction.RAISE
    return Direction.KEEP


def _exceeds(s: Situation, intended: Exposure) -> bool:
    """Whether live is more than intended.

    Before anything of ours is stable, the route still serves what was there before us; that is not
    the candidate's exposure and is not taken away.
    """
    live = s.live.exposure
    return live is not None and s.release.status.stable is not None and not live.within(intended)


def _drift(s: Situation, step: Step, intended: Exposure) -> str:
    candidate = s.release.status.candidate
    if step.move is not Move.KEEP or candidate is None or candidate.stage is not Stage.RUNNING:
        return ""
    if not _exceeds(s, intended):
        return ""
    return f"live {reporting.point(s.live.exposure or intended)} exceeds intended {reporting.point(intended)}"


# ---- the status that follows ----------------------------------------------------------------------


def _apply(release: AgentRelease, s: Situation, step: Step, now: float) -> ReleaseStatus:
    status, candidate = release.status, release.status.candidate
    match step.move:
        case Move.START:
            # the slot is overwritten, so the previous revision is in no slot any more
            fresh = status.model_copy(update={"previous": None, "evidence": "", "metrics": []})
            changed = fresh.model_copy(update={"candidate": _new_candidate(release, s, now)})
        case Move.ENTER | Move.STEP_BACK:
            changed = _moved(release, step.phase, now)
        case Move.DRAIN:
            changed = _with(
                status, candidate, stage=Stage.LOADING, phase_index=-1, phase_name="", blind_since=0.0
            )
        case Move.CAP:
            changed = _with(status, candidate, autonomy_cap=step.cap)
        case Move.WITHDRAW:
            changed = _with(
                status,
                candidate,
                stage=Stage.WITHDRAWING,
                outcome=step.outcome,
                reason=step.reason[:MAX_MESSAGE],
                entered_at=now,
            )
        case Move.FINISH:
            changed = _finished(status, now)
        case Move.PROMOTE:
            changed = _promoted(release, now)
        case Move.RETURN:
            changed = _returned(status, step, now)
        case _:
            changed = _ticked(status, s, step, now)
    return _recorded(release, _permitted(release, changed, s, now), step, now)


def _permitted(release: AgentRelease, status: ReleaseStatus, s: Situation, now: float) -> ReleaseStatus:
    """Follow which level the candidate's agents may rightly have.

    A lowering reaches agents a moment later, and what they do until then was allowed when they began it: it
    must not count as forbidden. The old level is over when they report the new one, and at the latest
    when the old grant's lease has run out.
    """
    candidate = status.candidate
    if candidate is None:
        return status
    level = intent.exposure(release.model_copy(update={"status": status})).autonomy
    until = candidate.permitted_until
    if level >= candidate.permitted:
        return _with(status, candidate, permitted=level, permitted_until=0.0)
    if not until:
        return _with(status, candidate, permitted_until=now + release.spec.delivery.flags.lease_seconds)
    reported = s.measured.autonomy is not None and s.measured.autonomy <= level
    if reported or now >= until:
        return _with(status, candidate, permitted=level, permitted_until=0.0)
    return status


def _new_candidate(release: AgentRelease, s: Situation, now: float) -> Candidate:
    slots = sorted(release.spec.delivery.slots)
    taken = release.status.stable.slot if release.status.stable else None
    slot = next(name for name in slots if name != taken)
    return Candidate(
        revision=s.desired.revision,
        digest=s.desired.digest,
        slot=slot,
        entered_at=now,
        ticked_at=now,
        started_at=now,
    )


def _with(status: ReleaseStatus, candidate: Candidate | None, **changes: object) -> ReleaseStatus:
    assert candidate is not None
    return status.model_copy(update={"candidate": candidate.model_copy(update=changes)})


def _moved(release: AgentRelease, index: int, now: float) -> ReleaseStatus:
    return _with(
        release.status,
        release.status.candidate,
        stage=Stage.RUNNING,
        phase_index=index,
        phase_name=release.spec.phases[index].name,
        entered_at=now,
        confirmed_at=0.0,
        active_seconds=0.0,
        ticked_at=now,
        blind_since=0.0,
    )


def _ticked(status: ReleaseStatus, s: Situation, step: Step, now: float) -> ReleaseStatus:
    """Advance the phase's clock if this tick counts, and remember since when evidence is missing."""
    candidate = status.candidate
    if candidate is None or candidate.stage is not Stage.RUNNING:
        return status
    blind_since = (candidate.blind_since or now) if s.blind else 0.0
    confirmed = candidate.confirmed_at or (now if _in_sync(s) else 0.0)
    counted = now - candidate.ticked_at if step.running and candidate.confirmed_at else 0.0
    return _with(
        status,
        candidate,
        ticked_at=now,
        blind_since=blind_since,
        confirmed_at=confirmed,
        active_seconds=candidate.active_seconds + max(counted, 0.0),
        fights=fights(status, now) if step.cause == DRIFT_UNDONE else candidate.fights,
    )


def _in_sync(s: Situation) -> bool:
    live = s.live.exposure
    wanted = intent.exposure(s.release)
    return live is not None and not s.live.unconfirmed and wanted.within(live) and live.within(wanted)


def _finished(status: ReleaseStatus, now: float) -> ReleaseStatus:
    candidate = status.candidate
    assert candidate is not None
    refused = list(status.refused)
    if candidate.outcome is Outcome.ROLLED_BACK:
        refused = [r for r in refused if r.digest != candidate.digest][-(MAX_REFUSED - 1) :]
        refused.append(_refusal(candidate.digest, candidate.revision, candidate.reason, now))
    return status.model_copy(
        update={"candidate": None, "refused": refused, "evidence": "", "metrics": status.metrics}
    )


def _refusal(digest: str, revision: str, reason: str, now: float) -> Refused:
    return Refused(digest=digest, revision=revision, reason=reason[:MAX_MESSAGE], at=stamp(now))


def _promoted(release: AgentRelease, now: float) -> ReleaseStatus:
    status, candidate = release.status, release.status.candidate
    assert candidate is not None
    level = intent.final_autonomy(release)
    if candidate.autonomy_cap is not None:
        level = min(level, candidate.autonomy_cap)
    stable = Serving(
        revision=candidate.revision,
        digest=candidate.digest,
        slot=candidate.slot,
        autonomy=level,
        strata=intent.final_strata(release, level),
        since=stamp(now),
    )
    refused = [r for r in status.refused if r.digest != candidate.digest]
    return status.model_copy(
        update={
            "stable": stable,
            "previous": status.stable,
            "candidate": None,
            "refused": refused,
            "evidence": "",
        }
    )


def _returned(status: ReleaseStatus, step: Step, now: float) -> ReleaseStatus:
    stable, previous = status.stable, status.previous
    assert stable is not None
    assert previous is not None
    refused = [
        *status.refused[-(MAX_REFUSED - 1) :],
        _refusal(stable.digest, stable.revision, step.reason, now),
    ]
    back = previous.model_copy(update={"since": stamp(now)})
    return status.model_copy(update={"stable": back, "previous": None, "refused": refused, "metrics": []})


def _recorded(release: AgentRelease, status: ReleaseStatus, step: Step, now: float) -> ReleaseStatus:
    """Add a line to the bounded history for every move."""
    if step.move is Move.KEEP:
        return status
    before, after = release.status, status
    moved = after.candidate or before.candidate or after.stable
    ended = before.candidate.outcome if before.candidate and step.move is Move.FINISH else step.outcome
    out = step.move in (Move.FINISH, Move.RETURN) and ended is Outcome.ROLLED_BACK
    entry = Transition(
        at=stamp(now),
        phase="RolledBack" if out else reporting.phase_word(after),
        revision=moved.revision if moved else "",
        from_=reporting.phase_word(before),
        to=f"{step.move}: {step.cause}",
        reason=step.reason[:MAX_MESSAGE],
        epoch=before.epoch,
    )
    return status.model_copy(update={"history": [*status.history[-(MAX_HISTORY - 1) :], entry]})


def stamp(now: float) -> str:
    """Return unix seconds as an RFC 3339 time with milliseconds, UTC."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
