"""Rules that lower: they look at nothing that may be missing, and come before all others.

A person's word counts first, then what a guardrail proved, then the end of patience.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import Outcome, Stage
from agentrelease.api.vocabulary import Action, Autonomy, OnDeadline
from agentrelease.core import draining, edits
from agentrelease.core.interventions import intervene, one_back, settling
from agentrelease.core.steps import Move, Step, candidate_of, withdraw

if TYPE_CHECKING:
    from agentrelease.core.exposure import Exposure
    from agentrelease.core.situation import Situation


DRAINING = "Draining"
"""The cause of a hold that ends by itself, when sessions have been drained."""

DELETION_PATIENCE = 60.0
"""Seconds after the end of the last grant that a deletion waits for telemetry to show that all is over."""


def finish_withdrawal(s: Situation, now: float) -> Step | None:
    candidate = candidate_of(s)
    if candidate.stage is not Stage.WITHDRAWING:
        return None
    if candidate.drain_until:
        if draining.over(s.release, candidate, now):
            return Step(Move.CUT_SESSIONS, "SessionsCut", "the time to drain sessions is over")
        rest = candidate.drain_until - now
        return Step(
            Move.KEEP, DRAINING, f"sessions that met the candidate are answered for {rest:.0f} s more"
        )
    missing = _still_exposed(s)
    if missing:
        return Step(Move.KEEP, "RollbackIncomplete", missing)
    unseen = _not_shown(s)
    if unseen and not _may_go_unseen(s, now):
        return Step(Move.KEEP, "RollbackIncomplete", unseen)
    said = f"{candidate.revision} is out: {candidate.reason}"
    return Step(Move.FINISH, "Withdrawn", f"{said}; {unseen}" if unseen else said)


def _may_go_unseen(s: Situation, now: float) -> bool:
    """Whether a release that is being deleted has waited long enough for telemetry, which may never come.

    Route and flags are safe by then, and what agents were granted before has lapsed by itself.
    """
    lease = s.release.spec.delivery.flags.lease_seconds
    return s.release.deleting and now >= candidate_of(s).entered_at + lease + DELETION_PATIENCE


def _still_exposed(s: Situation) -> str:
    """Say which lever still exposes the candidate; empty when none does."""
    if s.live.exposure is None:
        return s.live.unconfirmed or "a lever could not be read"
    live = [_still_led_to(s.live.exposure), _still_allowed(s.live.exposure)]
    if any(live):
        return "; ".join(why for why in live if why)
    return ""


def _not_shown(s: Situation) -> str:
    """Say what telemetry has not shown yet; empty when it shows that nothing reaches the candidate."""
    candidate = candidate_of(s)
    if not candidate.confirmed_at and candidate.phase_index <= 0 and not candidate.interventions:
        return ""  # it was never reached by anybody
    if s.measured.recent:
        return f"telemetry still shows {s.measured.recent:g} tasks of the candidate"
    if (s.measured.autonomy or Autonomy.OBSERVE) > Autonomy.OBSERVE:
        return f"the agents still report {s.measured.autonomy}"
    if not s.measured.at:
        return f"telemetry cannot show that the candidate's traffic ended: {s.blind}"
    return ""


def _still_led_to(live: Exposure) -> str:
    ways = [
        f"{live.weight:g} % of the traffic" if live.weight else "",
        f"the cohort {live.cohort}" if live.cohort else "",
        f"copies of {live.mirror:g} % of the traffic" if live.mirror else "",
    ]
    said = ", ".join(way for way in ways if way)
    return f"the route still leads {said} to the candidate" if said else ""


def _still_allowed(live: Exposure) -> str:
    return f"the flags still allow {live.autonomy}" if live.autonomy > Autonomy.OBSERVE else ""


def deletion(s: Situation, _now: float) -> Step | None:
    if not s.release.deleting:
        return None
    return withdraw(Outcome.SUPERSEDED, "Deleted", "the release is being deleted")


def order(s: Situation, _now: float) -> Step | None:
    """A person's order in the spec."""
    order, revision = s.release.spec.rollback, candidate_of(s).revision
    if order.to is None or order.to == revision or order.of not in (None, revision):
        return None
    return withdraw(Outcome.ROLLED_BACK, "RollbackOrdered", f"spec.rollback orders a return to {order.to}")


def superseded(s: Situation, _now: float) -> Step | None:
    if s.desired.digest == candidate_of(s).digest:
        return None
    stable = s.release.status.stable
    if stable and s.desired.digest == stable.digest:
        return withdraw(
            Outcome.SUPERSEDED,
            "ReturnedToStable",
            f"the spec went back to {stable.revision}, which is serving",
        )
    return withdraw(Outcome.SUPERSEDED, "Superseded", f"a newer bundle replaces it: {s.desired.revision}")


def interrupted(s: Situation, _now: float) -> Step | None:
    """A lowering began and its author died before the status knew."""
    candidate = candidate_of(s)
    revision, _, why = s.live.lowered.partition(": ")
    if candidate.stage is not Stage.RUNNING or revision != candidate.revision or not candidate.confirmed_at:
        return None
    return withdraw(Outcome.ROLLED_BACK, "RollbackResumed", why or "a rollback had begun")


def breach(s: Situation, _now: float) -> Step | None:
    assessment, candidate = s.assessment, candidate_of(s)
    if assessment is None or assessment.action is None or candidate.stage is not Stage.RUNNING:
        return None
    action, why = assessment.action, assessment.reason
    if assessment.blinded:  # the end of patience, not a verdict on the bundle: it may come again
        return Step(Move.DRAIN, "EvidenceMissing", why)
    if settling(candidate) and action < Action.ROLLBACK:
        return None  # of agents that have not taken up the last one yet
    match action:
        case Action.ROLLBACK:
            return withdraw(Outcome.ROLLED_BACK, "GuardrailBreached", why)
        case Action.STEP_BACK | Action.LOWER_AUTONOMY | Action.REDUCE_TOOLS | Action.FALLBACK_MODEL:
            return intervene(s, action, why)
        case _:  # it only holds, or tells: that may stop nothing that lowers
            return None


def budget_spent(s: Situation, now: float) -> Step | None:
    """Missing evidence is borne for a while, then exposure goes to zero; it is no verdict on the bundle."""
    candidate = candidate_of(s)
    budget = s.release.spec.rollback.hold_budget.seconds
    if candidate.stage is not Stage.RUNNING or not s.blind or not candidate.blind_since:
        return None
    waited = now - candidate.blind_since
    if waited < budget:
        return None
    return Step(Move.DRAIN, "EvidenceMissing", f"no usable evidence for {waited:.0f} s: {s.blind}")


def deadline(s: Situation, now: float) -> Step | None:
    """A phase that was not decided in time ends where the release says so; ``raising.overdue`` holds."""
    why = overdue(s, now)
    if not why:
        return None
    match s.release.spec.phases[candidate_of(s).phase_index].on_deadline:
        case OnDeadline.ROLLBACK:
            return withdraw(Outcome.ROLLED_BACK, "DeadlinePassed", why)
        case OnDeadline.STEP_BACK:
            return one_back(s, "DeadlinePassed", why)
        case _:
            return None


def overdue(s: Situation, now: float) -> str:
    """Say that the candidate's phase was not decided before its deadline; empty where it has time."""
    candidate = candidate_of(s)
    if candidate.stage is not Stage.RUNNING:
        return ""
    phase = s.release.spec.phases[candidate.phase_index]
    if phase.deadline is None or now - candidate.entered_at < phase.deadline.seconds:
        return ""
    return f"phase {phase.name} was not decided within {phase.deadline}"


def edited(s: Situation, _now: float) -> Step | None:
    """Somebody edited the candidate's phase, or took it out of the list."""
    if candidate_of(s).stage is not Stage.RUNNING:
        return None
    found = edits.lowered(s.release)
    if found is None:
        return None
    why, index = found
    if index is None:
        return Step(Move.DRAIN, "PhasesEdited", f"{why}; no phase exposes as little, so it begins anew")
    return Step(Move.STEP_BACK, "PhasesEdited", why, phase=index)
