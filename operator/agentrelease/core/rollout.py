"""What happens next to a release: the first rule that applies, safest first.

The order of the rules *is* the safety argument, so it stands in one place. Rules that lower come
first and look at nothing that may be missing; rules that hold come next; only what passed all of
them may raise. No rule does I/O, and time comes in as a number of seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agentrelease.api.status import MAX_FIGHTS, Outcome, Stage
from agentrelease.api.vocabulary import Action, Autonomy, OnDeadline
from agentrelease.core import intent
from agentrelease.core.assess import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.api.status import Candidate, ReleaseStatus
    from agentrelease.core.situation import Situation


DRIFT_UNDONE, CONTENDED = "DriftUndone", "Contended"
FIGHT_WINDOW = 600.0
"""Seconds in which so many raises from outside are a fight."""
SAME_FIGHT = 30.0
"""Seconds for which a raise that look after look still finds counts as one."""


class Move(StrEnum):
    """What a step does."""

    KEEP = "Keep"
    START = "Start"
    ENTER = "Enter"
    PROMOTE = "Promote"
    CAP = "LowerAutonomy"
    STEP_BACK = "StepBack"
    DRAIN = "Drain"
    WITHDRAW = "Withdraw"
    FINISH = "Finish"
    RETURN = "Return"


RAISING = frozenset({Move.START, Move.ENTER, Move.PROMOTE})


@dataclass(frozen=True, slots=True)
class Step:
    """One move and the sentence that explains it.

    ``cause`` is a CamelCase word for Events and conditions; ``running`` says whether the phase's
    clock may count this tick.
    """

    move: Move
    cause: str
    reason: str
    phase: int = -1
    outcome: Outcome | None = None
    cap: Autonomy | None = None
    running: bool = False


def next_step(situation: Situation, now: float) -> Step:
    """Return the step for a release; the rules below in their order."""
    for rule in rules_for(situation):
        step = rule(situation, now)
        if step is not None:
            return step
    raise AssertionError("the last rule always applies")


def rules_for(situation: Situation) -> tuple[Callable[[Situation, float], Step | None], ...]:
    """Return the rules that are looked at, in their order."""
    return _WITH_CANDIDATE if situation.release.status.candidate else _WITHOUT_CANDIDATE


# ---- with a candidate: lowering rules -----------------------------------------------------------


def _candidate(situation: Situation) -> Candidate:
    candidate = situation.release.status.candidate
    assert candidate is not None
    return candidate


def _finish_withdrawal(s: Situation, _now: float) -> Step | None:
    candidate = _candidate(s)
    if candidate.stage is not Stage.WITHDRAWING:
        return None
    missing = _still_exposed(s)
    if missing:
        return Step(Move.KEEP, "RollbackIncomplete", missing)
    return Step(Move.FINISH, "Withdrawn", f"{candidate.revision} is out: {candidate.reason}")


def _still_exposed(s: Situation) -> str:
    """Say what is missing until nothing reaches the candidate; empty when nothing does."""
    if s.live.exposure is None:
        return "a lever could not be read"
    if s.live.exposure.reached or s.live.exposure.autonomy > Autonomy.OBSERVE:
        return "the route or the flags still expose the candidate"
    if not _candidate(s).confirmed_at:
        return ""  # it was never reached by anybody
    if s.measured.recent:
        return f"telemetry still shows {s.measured.recent:g} tasks of the candidate"
    if (s.measured.autonomy or Autonomy.OBSERVE) > Autonomy.OBSERVE:
        return f"the agents still report {s.measured.autonomy}"
    if not s.measured.at:
        return f"telemetry cannot show that the candidate's traffic ended: {s.blind}"
    return ""


def _deletion(s: Situation, _now: float) -> Step | None:
    if not s.release.deleting:
        return None
    return _withdraw(Outcome.SUPERSEDED, "Deleted", "the release is being deleted")


def _order(s: Situation, _now: float) -> Step | None:
    """A person's order in the spec."""
    order, revision = s.release.spec.rollback, _candidate(s).revision
    if order.to is None or order.to == revision or order.of not in (None, revision):
        return None
    return _withdraw(Outcome.ROLLED_BACK, "RollbackOrdered", f"spec.rollback orders a return to {order.to}")


def _superseded(s: Situation, _now: float) -> Step | None:
    if s.desired.digest == _candidate(s).digest:
        return None
    stable = s.release.status.stable
    if stable and s.desired.digest == stable.digest:
        return _withdraw(
            Outcome.SUPERSEDED,
            "ReturnedToStable",
            f"the spec went back to {stable.revision}, which is serving",
        )
    return _withdraw(Outcome.SUPERSEDED, "Superseded", f"a newer bundle replaces it: {s.desired.revision}")


def _interrupted(s: Situation, _now: float) -> Step | None:
    """A lowering began and its author died before the status knew."""
    candidate = _candidate(s)
    revision, _, why = s.live.lowered.partition(": ")
    if candidate.stage is not Stage.RUNNING or revision != candidate.revision or not candidate.confirmed_at:
        return None
    return _withdraw(Outcome.ROLLED_BACK, "RollbackResumed", why or "a rollback had begun")


def _breach(s: Situation, _now: float) -> Step | None:
    assessment, candidate = s.assessment, _candidate(s)
    if assessment is None or assessment.action is None or candidate.stage is not Stage.RUNNING:
        return None
    action, why = assessment.action, assessment.reason
    if assessment.blinded:  # the end of patience, not a verdict on the bundle: it may come again
        return Step(Move.DRAIN, "EvidenceMissing", why)
    match action:
        case Action.ROLLBACK:
            return _withdraw(Outcome.ROLLED_BACK, "GuardrailBreached", why)
        case Action.STEP_BACK:
            return _one_back(s, "GuardrailBreached", why)
        # Until the milder interventions exist, each takes the next stronger one that does.
        case Action.LOWER_AUTONOMY | Action.REDUCE_TOOLS | Action.FALLBACK_MODEL:
            current = intent.exposure(s.release).autonomy
            if current > Autonomy.OBSERVE:
                lower = list(Autonomy)[current.rank - 1]
                return Step(Move.CAP, "AutonomyLowered", why, cap=lower)
            return _one_back(s, "GuardrailBreached", why)
        case Action.PAUSE | Action.REQUIRE_APPROVAL:
            return Step(Move.KEEP, "HeldByGuardrail", why)
        case _:  # notify: somebody is told; that alone changes nothing
            if assessment.verdict is Verdict.PROMOTE:
                return None
            return Step(Move.KEEP, "GuardrailBreached", why, running=True)


def _budget_spent(s: Situation, now: float) -> Step | None:
    """Missing evidence is borne for a while, then exposure goes to zero; it is no verdict on the bundle."""
    candidate = _candidate(s)
    budget = s.release.spec.rollback.hold_budget.seconds
    if candidate.stage is not Stage.RUNNING or not s.blind or not candidate.blind_since:
        return None
    waited = now - candidate.blind_since
    if waited < budget:
        return None
    return Step(Move.DRAIN, "EvidenceMissing", f"no usable evidence for {waited:.0f} s: {s.blind}")


def _deadline(s: Situation, now: float) -> Step | None:
    candidate = _candidate(s)
    if candidate.stage is not Stage.RUNNING:
        return None
    phase = s.release.spec.phases[candidate.phase_index]
    if phase.deadline is None or now - candidate.entered_at < phase.deadline.seconds:
        return None
    why = f"phase {phase.name} was not decided within {phase.deadline}"
    match phase.on_deadline:
        case OnDeadline.ROLLBACK:
            return _withdraw(Outcome.ROLLED_BACK, "DeadlinePassed", why)
        case OnDeadline.STEP_BACK:
            return _one_back(s, "DeadlinePassed", why)
        case _:
            return Step(Move.KEEP, "DeadlinePassed", why)


def _shrunk(s: Situation, _now: float) -> Step | None:
    """The phase list became shorter than the place the candidate is at."""
    candidate = _candidate(s)
    last = len(s.release.spec.phases) - 1
    if candidate.stage is not Stage.RUNNING or candidate.phase_index <= last:
        return None
    return Step(Move.STEP_BACK, "PhasesEdited", "the phase list became shorter", phase=last)


def _withdraw(outcome: Outcome, cause: str, reason: str) -> Step:
    return Step(Move.WITHDRAW, cause, reason, outcome=outcome)


def _one_back(s: Situation, cause: str, reason: str) -> Step:
    index = _candidate(s).phase_index - 1
    if index < 0:
        return _withdraw(Outcome.ROLLED_BACK, cause, reason)
    return Step(Move.STEP_BACK, cause, reason, phase=index)


# ---- with a candidate: holding rules, then raising ones ------------------------------------------


def _drifted(s: Situation, now: float) -> Step | None:
    """Somebody raised what is live above what is intended: nothing else happens until it is taken back.

    Who raises it again and again will not stop for us, and users would swing with every round: the
    third time the candidate goes, and with it what the two could fight about.
    """
    live = s.live.exposure
    if _candidate(s).stage is not Stage.RUNNING or s.release.status.stable is None or live is None:
        return None
    if live.within(intent.exposure(s.release)):
        return None
    if len(fights(s.release.status, now)) >= MAX_FIGHTS:
        why = f"somebody raised the exposure {MAX_FIGHTS} times in {FIGHT_WINDOW / 60:.0f} minutes"
        return _withdraw(Outcome.ROLLED_BACK, CONTENDED, f"{why}; see who writes the route and the flags")
    return Step(Move.KEEP, DRIFT_UNDONE, "somebody raised the exposure; it is taken back")


def fights(status: ReleaseStatus, now: float) -> list[float]:
    """Return when exposure was taken back lately, this moment included.

    A raise that was there at the last look already is the same one, because taking it back may have
    failed; but not for ever, because somebody may be faster than our looks.
    """
    assert status.candidate is not None
    lately = [at for at in status.candidate.fights if now - at < FIGHT_WINDOW]
    if lately and status.verdict == DRIFT_UNDONE and now - lately[-1] < SAME_FIGHT:
        return lately
    return [*lately, now][-MAX_FIGHTS:]


def _held(s: Situation, _now: float) -> Step | None:
    for cause, why in (
        ("NotLeading", "" if s.leading else "this replica does not lead"),
        ("Paused", "spec.paused is true" if s.release.spec.paused else ""),
        ("Halted", "a person set the halt flag" if s.live.halted else ""),
        ("Blocked", s.claim),
    ):
        if why:
            return Step(Move.KEEP, cause, why)
    return None


def _loading(s: Situation, _now: float) -> Step | None:
    candidate, slot = _candidate(s), s.slot
    if candidate.stage is not Stage.LOADING:
        return None
    if slot is None or slot.revision != candidate.revision or not slot.available:
        return Step(
            Move.KEEP, "SlotLoading", slot.problem if slot and slot.problem else "the slot is loading"
        )
    if s.release.status.stable is None and s.release.spec.first_release == "promote":
        return Step(Move.PROMOTE, "FirstRelease", "the first release of this agent is promoted as asked")
    if not s.measured.reporting:
        return Step(Move.KEEP, "TelemetryMissing", f"no telemetry names {candidate.revision} yet")
    if s.blind:
        return Step(Move.KEEP, "EvidenceMissing", s.blind)
    gate = _gated(s, running=False)
    if gate is not None:
        return gate
    return Step(Move.ENTER, "PhaseEntered", _entering(s, 0), phase=0)


def _unconfirmed(s: Situation, _now: float) -> Step | None:
    live = s.live.exposure
    if live is not None and _candidate(s).confirmed_at and not intent.exposure(s.release).within(live):
        return Step(Move.KEEP, "LoweredFromOutside", "somebody lowered the exposure; it is left as it is")
    if live is None or s.live.unconfirmed:
        return Step(Move.KEEP, "NotInSync", s.live.unconfirmed or "a lever could not be read")
    if s.measured.disagreement:
        return Step(Move.KEEP, "NotMeasured", s.measured.disagreement)
    return None


def _blind(s: Situation, _now: float) -> Step | None:
    if s.blind:
        return Step(Move.KEEP, "EvidenceMissing", s.blind)
    if s.assessment is None:
        return Step(Move.KEEP, "EvidenceMissing", "no evidence has been read yet")
    return None


def _collecting(s: Situation, _now: float) -> Step | None:
    candidate, assessment = _candidate(s), s.assessment
    phase = s.release.spec.phases[candidate.phase_index]
    assert assessment is not None
    if assessment.verdict is not Verdict.PROMOTE:
        return Step(Move.KEEP, "Collecting", assessment.reason, running=True)
    if candidate.active_seconds < phase.min_duration.seconds:
        why = f"{candidate.active_seconds:.0f} s of {phase.min_duration} are over"
        return Step(Move.KEEP, "Soaking", why, running=True)
    return _gated(s, running=True)


def _gated(s: Situation, *, running: bool) -> Step | None:
    """Wait in front of a gate; the phase's clock goes on, because evidence does."""
    if s.closed:
        return Step(Move.KEEP, "WindowClosed", s.closed, running=running)
    if s.approval:
        return Step(Move.KEEP, "AwaitingApproval", s.approval, running=running)
    return None


def _advance(s: Situation, _now: float) -> Step:
    assert s.assessment is not None
    index = _candidate(s).phase_index + 1
    if index >= len(s.release.spec.phases):
        return Step(Move.PROMOTE, "Promoted", f"every phase passed; {s.assessment.reason}")
    return Step(Move.ENTER, "PhaseEntered", f"{_entering(s, index)}; {s.assessment.reason}", phase=index)


def _entering(s: Situation, index: int) -> str:
    return f"entering {s.release.spec.phases[index].name}"


# ---- without a candidate -------------------------------------------------------------------------


def _nothing_to_withdraw(s: Situation, _now: float) -> Step | None:
    if s.release.deleting:
        return Step(Move.KEEP, "Deleted", "the release is being deleted; stable keeps serving")
    return None


def _return_order(s: Situation, _now: float) -> Step | None:
    """A person orders the previous revision back after a promotion."""
    order, status = s.release.spec.rollback, s.release.status
    stable, previous = status.stable, status.previous
    if order.to is None or stable is None or stable.revision == order.to:
        return None
    if order.of not in (None, stable.revision):
        return None
    if previous is None or previous.revision != order.to:
        return Step(Move.KEEP, "RollbackImpossible", f"{order.to} is in no slot; apply its bundle instead")
    return Step(
        Move.RETURN,
        "RollbackOrdered",
        f"spec.rollback orders a return to {order.to}",
        outcome=Outcome.ROLLED_BACK,
    )


def _settled(s: Situation, _now: float) -> Step | None:
    stable = s.release.status.stable
    if stable is None or stable.digest != s.desired.digest:
        return None
    if s.live.halted:
        return Step(
            Move.KEEP, "Halted", f"{stable.revision} serves, but a person halted the agent: it may do nothing"
        )
    return Step(Move.KEEP, "Promoted", f"{stable.revision} serves at {stable.autonomy}")


def _refused(s: Situation, _now: float) -> Step | None:
    refused = next((r for r in s.release.status.refused if r.digest == s.desired.digest), None)
    if refused is None or intent.overridden(s.release, s.desired.digest):
        return None
    return Step(Move.KEEP, "Refused", f"{refused.revision} was rolled back before: {refused.reason}")


def _order_stands(s: Situation, _now: float) -> Step | None:
    order = s.release.spec.rollback
    if order.to is None or order.to == s.desired.revision or order.of not in (None, s.desired.revision):
        return None
    return Step(Move.KEEP, "RollbackOrdered", f"spec.rollback.to holds this agent at {order.to}")


def _start(s: Situation, _now: float) -> Step:
    return Step(Move.START, "RolloutStarted", f"loading {s.desired.revision}")


_WITH_CANDIDATE: tuple[Callable[[Situation, float], Step | None], ...] = (
    _finish_withdrawal,
    _deletion,
    _order,
    _superseded,
    _interrupted,
    _breach,
    _budget_spent,
    _deadline,
    _shrunk,
    _drifted,
    _held,
    _loading,
    _unconfirmed,
    _blind,
    _collecting,
    _advance,
)
_WITHOUT_CANDIDATE: tuple[Callable[[Situation, float], Step | None], ...] = (
    _nothing_to_withdraw,
    _return_order,
    _settled,
    _refused,
    _order_stands,
    _held,
    _start,
)
