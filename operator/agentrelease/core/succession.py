"""The status that follows a step: what each move writes down, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import (
    MAX_HISTORY,
    MAX_MESSAGE,
    Candidate,
    Outcome,
    ReleaseStatus,
    Serving,
    Stage,
    Transition,
    Watching,
)
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import draining, edits, intent, permitted, reporting
from agentrelease.core.assess import FRESH_BLOCKS
from agentrelease.core.drift import DRIFT_UNDONE, fights
from agentrelease.core.instants import exact_stamp
from agentrelease.core.interventions import given_back, next_cut, settles
from agentrelease.core.refusals import refusal_of, refusing
from agentrelease.core.steps import APPROVAL_REQUIRED, Move, Step
from agentrelease.core.watch import SLOT_TAKEN, over

if TYPE_CHECKING:
    from agentrelease.api.delivery import Slot
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.situation import Situation


def apply(release: AgentRelease, s: Situation, step: Step, now: float) -> ReleaseStatus:
    status = release.status
    match step.move:
        case Move.START:
            # the slot is overwritten, so the previous revision is in no slot any more
            fresh = status.model_copy(
                update={"previous": None, "evidence": "", "course": "", "metrics": [], "watch": None}
            )
            changed = fresh.model_copy(update={"candidate": _new_candidate(release, s, step, now)})
        case Move.ENTER | Move.STEP_BACK:
            changed = _moved(release, step, now)
        case Move.CAP | Move.CUT_TOOLS | Move.FALL_BACK | Move.GIVE_BACK:
            changed = _intervened(release, step)
        case Move.LOWER_STABLE | Move.RAISE_STABLE:
            changed = _shifted(release, step, now)
        case Move.DRAIN | Move.WITHDRAW | Move.CUT_SESSIONS:
            changed = _taken_out(release, s, step, now)
        case Move.FINISH:
            changed = _finished(status, now)
        case Move.PROMOTE:
            changed = _promoted(release, now)
        case Move.RETURN | Move.RECOVER:
            recovers = step.move is Move.RECOVER
            changed = _recovered(status, s) if recovers else _returned(status, step, now)
        case _:
            changed = _ticked(_watch_kept(release, now), s, step, now)
    if changed.candidate is not None and status.candidate is not None:
        changed = _with(changed, changed.candidate, settling_until=settles(s, step, now))
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
    exposure = intent.exposure(release.model_copy(update={"status": status}))
    level, until, strata = exposure.autonomy, candidate.permitted_until, permitted.listed(exposure)
    if not permitted.falls(exposure, candidate):
        return _with(status, candidate, permitted=level, permitted_strata=strata, permitted_until=0.0)
    if not until:
        return _with(status, candidate, permitted_until=now + release.spec.delivery.flags.lease_seconds)
    lower = level < candidate.permitted  # what agents report is the highest of all strata
    reported = lower and s.measured.autonomy is not None and s.measured.autonomy <= level
    if reported or now >= until:
        return _with(status, candidate, permitted=level, permitted_strata=strata, permitted_until=0.0)
    return status


def _new_candidate(release: AgentRelease, s: Situation, step: Step, now: float) -> Candidate:
    history = release.status.history
    lost = bool(history) and history[-1].to.startswith(Move.RECOVER)
    return Candidate(
        revision=s.desired.revision,
        digest=s.desired.digest,
        slot=_idle_slot(release, s),
        entered_at=now,
        ticked_at=now,
        started_at=now,
        recalled=s.recalled,
        reason=step.reason[:MAX_MESSAGE] if s.recalled and step.cause == "GuardrailBreached" else "",
        # what a lost status had allowed the same agents is not known any more, and was taken back just now
        permitted=max(Autonomy) if lost else Autonomy.OBSERVE,
    )


def _idle_slot(release: AgentRelease, s: Situation) -> str:
    """Return the slot to load: not stable's, and for a first release by phases one that nobody reaches."""
    delivery, stable = release.spec.delivery, release.status.stable
    names = [name for name in delivery.places if stable is None or name != stable.slot]
    if stable is None and release.spec.first_release == "phases":
        names.sort(key=lambda name: _served(delivery.slot(name), s))
    return names[0]


def _served(slot: Slot | None, s: Situation) -> bool:
    return slot is not None and slot.service in s.live.served


def _with(status: ReleaseStatus, candidate: Candidate | None, **changes: object) -> ReleaseStatus:
    assert candidate is not None
    return status.model_copy(update={"candidate": candidate.model_copy(update=changes)})


def _taken_out(release: AgentRelease, s: Situation, step: Step, now: float) -> ReleaseStatus:
    status, candidate = release.status, release.status.candidate
    if step.move is Move.CUT_SESSIONS:
        return _with(status, candidate, drain_until=0.0)
    if step.move is Move.DRAIN:
        out: dict[str, object] = {"phase_index": -1, "phase_name": "", "granted": None}
        return _with(status, candidate, stage=Stage.LOADING, blind_since=0.0, **out)
    return _with(
        status,
        candidate,
        stage=Stage.WITHDRAWING,
        outcome=step.outcome,
        reason=step.reason[:MAX_MESSAGE],
        entered_at=now,
        drain_until=draining.until(s, step, intent.exposure(release), now),
    )


def _intervened(release: AgentRelease, step: Step) -> ReleaseStatus:
    """Take one thing from the candidate or give it back; either way what follows is a fresh window."""
    status, candidate = release.status, release.status.candidate
    assert candidate is not None
    if step.move is Move.GIVE_BACK:
        back = given_back(release, candidate)
        return _with(status, candidate, confirmed_at=0.0, active_seconds=0.0, **back)
    change: dict[str, object] = {"interventions": candidate.interventions + 1, "active_seconds": 0.0}
    if step.move is Move.CUT_TOOLS:
        change["tools_cut"] = next_cut(release, candidate)
    elif step.move is Move.FALL_BACK:
        change["fallback"] = True
    else:
        change["autonomy_cap"] = step.cap
    return _with(status, candidate, **change)


def _shifted(release: AgentRelease, step: Step, now: float) -> ReleaseStatus:
    """Return the status with what serves at another level, watched anew."""
    status, level = release.status, step.cap
    stable, watch = status.stable, status.watch
    assert stable is not None
    assert watch is not None
    assert level is not None
    lowered = step.move is Move.LOWER_STABLE
    watch = watch.model_copy(
        update={
            "evidence": "",
            "lowered": watch.lowered + lowered,
            "permitted": max(stable.autonomy, level),
            "permitted_until": now + release.spec.delivery.flags.lease_seconds if lowered else 0.0,
            "returning": step.reason[:MAX_MESSAGE] if step.cause == SLOT_TAKEN else watch.returning,
        }
    )
    strata = [one for one in stable.strata if one.autonomy < level]
    if not lowered:
        strata = intent.final_strata(release, level)
    serving = stable.model_copy(update={"autonomy": level, "strata": strata})
    return status.model_copy(update={"stable": serving, "watch": watch})


def _watch_kept(release: AgentRelease, now: float) -> ReleaseStatus:
    status = release.status
    ended = over(status, release.spec.watch.duration.seconds, now)
    return status.model_copy(update={"watch": None}) if ended else status


def _moved(release: AgentRelease, step: Step, now: float) -> ReleaseStatus:
    index, candidate = step.phase, release.status.candidate
    assert candidate is not None
    breached = step.move is Move.STEP_BACK and step.cause == "GuardrailBreached"
    return _with(
        release.status,
        release.status.candidate,
        stage=Stage.RUNNING,
        phase_index=index,
        phase_name=release.spec.phases[index].name,
        granted=edits.granted(release, index, rises=step.move is Move.ENTER),
        entered_at=now,
        confirmed_at=0.0,
        active_seconds=0.0,
        ticked_at=now,
        blind_since=0.0,
        interventions=candidate.interventions + breached,
        approval_asked=step.move is Move.STEP_BACK and candidate.approval_asked,
    )


def _ticked(status: ReleaseStatus, s: Situation, step: Step, now: float) -> ReleaseStatus:
    """Advance the phase's clock if this tick counts, and remember since when evidence is missing."""
    candidate = status.candidate
    if candidate is None or candidate.stage is not Stage.RUNNING:
        return status
    blind_since = (candidate.blind_since or now) if s.blind else 0.0
    confirmed = candidate.confirmed_at or (now if _in_sync(s) else 0.0)
    counted = _watched_for(s, now - candidate.ticked_at) if step.running and candidate.confirmed_at else 0.0
    kept = candidate.granted or edits.granted(s.release, candidate.phase_index, rises=True)
    return _with(
        status,
        candidate,
        granted=kept,
        ticked_at=now,
        blind_since=blind_since,
        confirmed_at=confirmed,
        active_seconds=candidate.active_seconds + max(counted, 0.0),
        fights=fights(status, now) if step.cause == DRIFT_UNDONE else candidate.fights,
        approval_asked=candidate.approval_asked or step.cause == APPROVAL_REQUIRED,
    )


def _watched_for(s: Situation, seconds: float) -> float:
    """Return how much of the time since the last look counts: not what an absent operator didn't see."""
    if s.assessment is None:
        return 0.0
    return min(seconds, FRESH_BLOCKS * s.assessment.grounds.plan.grid)


def _in_sync(s: Situation) -> bool:
    live = s.live.exposure
    wanted = intent.exposure(s.release)
    return live is not None and not s.live.unconfirmed and wanted.within(live) and live.within(wanted)


def _finished(status: ReleaseStatus, now: float) -> ReleaseStatus:
    candidate = status.candidate
    assert candidate is not None
    refused = list(status.refused)
    if candidate.outcome is Outcome.ROLLED_BACK:
        refused = list(refusing(refused, candidate, candidate.reason, now))
    return status.model_copy(
        update={
            "candidate": None,
            "refused": refused,
            "evidence": "",
            "course": "",
            "metrics": status.metrics,
        }
    )


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
        since=exact_stamp(now),
        refusals=known.times if (known := refusal_of(status.refused, candidate.digest)) else 0,
    )
    refused = [r for r in status.refused if r.digest != candidate.digest]
    left = status.stable
    if candidate.recalled and left is not None:
        why = candidate.reason or f"spec.rollback ordered a return to {candidate.revision}"
        refused = list(refusing(refused, left, why, now))
    return status.model_copy(
        update={
            "stable": stable,
            "previous": None if candidate.recalled else left,
            "reference": "" if candidate.recalled else status.reference,
            "candidate": None,
            "refused": refused,
            "evidence": "",
            "course": "",
            "watch": Watching(since=now, permitted=level) if release.spec.watch.duration.seconds else None,
        }
    )


def _returned(status: ReleaseStatus, step: Step, now: float) -> ReleaseStatus:
    stable, previous = status.stable, status.previous
    assert stable is not None
    assert previous is not None
    refused = list(refusing(status.refused, stable, step.reason, now))
    back = previous.model_copy(update={"since": exact_stamp(now)})
    gone: dict[str, object] = {"previous": None, "metrics": [], "watch": None}
    return status.model_copy(update={"stable": back, "refused": refused, **gone})


def _recovered(status: ReleaseStatus, s: Situation) -> ReleaseStatus:
    """Return a status that knows again what served and what is refused; whatever rolled out is forgotten."""
    if s.former is None:
        return status
    back = {
        "stable": s.former.stable,
        "refused": list(s.former.refused),
        "candidate": None,
        "evidence": "",
        "course": "",
    }
    return status.model_copy(update=back)


def _recorded(release: AgentRelease, status: ReleaseStatus, step: Step, now: float) -> ReleaseStatus:
    """Add a line to the bounded history for every move."""
    if step.move is Move.KEEP:
        return status
    before, after = release.status, status
    moved = after.candidate or before.candidate or after.stable
    ended = before.candidate.outcome if before.candidate and step.move is Move.FINISH else step.outcome
    out = step.move in (Move.FINISH, Move.RETURN) and ended is Outcome.ROLLED_BACK
    entry = Transition(
        at=exact_stamp(now),
        phase="RolledBack" if out else reporting.phase_word(after),
        revision=moved.revision if moved else "",
        from_=reporting.phase_word(before),
        to=f"{step.move}: {step.cause}",
        reason=step.reason[:MAX_MESSAGE],
        epoch=before.epoch,
    )
    return status.model_copy(update={"history": [*status.history[-(MAX_HISTORY - 1) :], entry]})
