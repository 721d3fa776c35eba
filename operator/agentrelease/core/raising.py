"""Rules that hold, then the one that raises: only what passed all of them may be exposed further."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.api.vocabulary import Action, OnDeadline
from agentrelease.core import intent, lowering
from agentrelease.core.assess import Verdict
from agentrelease.core.exposure import ALL
from agentrelease.core.gates import next_phase
from agentrelease.core.steps import APPROVAL_REQUIRED, Move, Step, candidate_of

if TYPE_CHECKING:
    from agentrelease.core.situation import Situation


def held(s: Situation, _now: float) -> Step | None:
    for cause, why in (
        ("NotLeading", "" if s.leading else "this replica does not lead"),
        ("Paused", "spec.paused is true" if s.release.spec.paused else ""),
        ("Halted", s.halt or ("a person set the halt flag" if s.live.halted else "")),
        ("Blocked", s.claim),
    ):
        if why:
            return Step(Move.KEEP, cause, why)
    return None


def breached(s: Situation, _now: float) -> Step | None:
    """A guardrail that takes nothing but lets nothing more be given."""
    if s.assessment is None or candidate_of(s).stage is not Stage.RUNNING or s.assessment.blinded:
        return None
    match s.assessment.action:
        case Action.REQUIRE_APPROVAL:
            return Step(Move.KEEP, APPROVAL_REQUIRED, s.assessment.reason)
        case Action.PAUSE:
            return Step(Move.KEEP, "HeldByGuardrail", s.assessment.reason)
        case _:
            return None


def overdue(s: Situation, now: float) -> Step | None:
    """A phase whose deadline has passed waits for a person, or for evidence as well as one."""
    why = lowering.overdue(s, now)
    if not why:
        return None
    candidate = candidate_of(s)
    if s.release.spec.phases[candidate.phase_index].on_deadline is not OnDeadline.REQUIRE_APPROVAL:
        return Step(Move.KEEP, "DeadlinePassed", why)
    if candidate.approval_asked and not s.approval:
        return None
    return Step(Move.KEEP, APPROVAL_REQUIRED, f"{why}; {s.approval}" if s.approval else why)


def loading(s: Situation, _now: float) -> Step | None:
    candidate, slot = candidate_of(s), s.slot
    if candidate.stage is not Stage.LOADING:
        return None
    if slot is None or slot.revision != candidate.revision or not slot.available:
        return Step(
            Move.KEEP, "SlotLoading", slot.problem if slot and slot.problem else "the slot is loading"
        )
    unseen = Step(Move.KEEP, "TelemetryMissing", f"no telemetry names {candidate.revision} yet")
    if slot.silent and not s.measured.reporting:
        return unseen
    if candidate.recalled:
        return Step(Move.PROMOTE, "RollbackOrdered", f"{candidate.revision} served before and is back")
    if s.release.status.stable is None and s.release.spec.first_release == "promote":
        return Step(Move.PROMOTE, "FirstRelease", "the first release of this agent is promoted as asked")
    if not s.measured.reporting:
        return unseen
    if s.blind:
        return Step(Move.KEEP, "EvidenceMissing", s.blind)
    gate = _gated(s, running=False)
    if gate is not None:
        return gate
    first = next_phase(s.release)
    assert first is not None, "the last phase has a weight, so there is always one to enter"
    return Step(Move.ENTER, "PhaseEntered", _entering(s, first), phase=first)


def unconfirmed(s: Situation, _now: float) -> Step | None:
    live = s.live.exposure
    if (
        live is not None
        and not s.live.missing
        and candidate_of(s).confirmed_at
        and not intent.exposure(s.release).within(live)
    ):
        return Step(Move.KEEP, "LoweredFromOutside", "somebody lowered the exposure; it is left as it is")
    if live is None or s.live.unconfirmed:
        return Step(Move.KEEP, "NotInSync", s.live.unconfirmed or "a lever could not be read")
    if s.measured.disagreement:
        return Step(Move.KEEP, "NotMeasured", s.measured.disagreement)
    return None


def blind(s: Situation, _now: float) -> Step | None:
    if s.blind:
        return Step(Move.KEEP, "EvidenceMissing", s.blind)
    if s.assessment is None:
        return Step(Move.KEEP, "EvidenceMissing", "no evidence has been read yet")
    return None


def collecting(s: Situation, _now: float) -> Step | None:
    candidate, assessment = candidate_of(s), s.assessment
    phase = s.release.spec.phases[candidate.phase_index]
    assert assessment is not None
    if assessment.verdict is not Verdict.PROMOTE:
        if assessment.action is not None:  # notify: somebody is told; that alone changes nothing
            return Step(Move.KEEP, "GuardrailBreached", assessment.reason, running=True)
        whose = "" if phase.cohort is None else " (of the cohort's own tasks; no others count here)"
        return Step(Move.KEEP, "Collecting", f"{assessment.reason}{whose}", running=True)
    if candidate.active_seconds < phase.min_duration.seconds:
        why = f"{candidate.active_seconds:.0f} s of {phase.min_duration} are over"
        return Step(Move.KEEP, "Soaking", why, running=True)
    return None


def gated(s: Situation, _now: float) -> Step | None:
    return _gated(s, running=True)


def _gated(s: Situation, *, running: bool) -> Step | None:
    """Wait in front of a gate; the phase's clock goes on, because evidence does."""
    if s.closed:
        return Step(Move.KEEP, "WindowClosed", s.closed, running=running)
    if s.approval:
        return Step(Move.KEEP, "AwaitingApproval", s.approval, running=running)
    return None


def advance(s: Situation, _now: float) -> Step:
    assert s.assessment is not None
    index = next_phase(s.release)
    if index is None:
        return Step(Move.PROMOTE, "Promoted", f"every phase passed; {s.assessment.reason}")
    said = f"{_entering(s, index)}; {s.assessment.reason}{_recorded(s, index)}"
    return Step(Move.ENTER, "PhaseEntered", said, phase=index)


def _recorded(s: Situation, index: int) -> str:
    """Say what of stable's days is known, where its traffic ends."""
    weight = s.release.spec.phases[index].weight or 0.0
    if weight < ALL or intent.exposure(s.release).weight >= ALL or s.assessment is None:
        return ""
    known = s.assessment.grounds.ledger.recalled or "its past days were not read"
    return f"; from now on it is compared with stable's record ({known})"


def _entering(s: Situation, index: int) -> str:
    return f"entering {s.release.spec.phases[index].name}"
