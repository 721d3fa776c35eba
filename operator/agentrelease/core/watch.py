"""The watch after promotion: providers change models under a fixed name, so guardrails keep looking.

A revision that serves all traffic is compared with the frozen record of the stable before it, and with
absolute ceilings. A breach returns to that revision while its slot still has it. Where something else has
been put there, autonomy goes to ``observe`` at once, and then the kept revision is loaded again and serves.
Where the guardrail asks for less, autonomy goes down a level, which is earned back on a fresh window, once.

Agents take up a lower level within a lease. What they do until then is no reason for another level; what
asks for a return is one at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import Outcome
from agentrelease.api.vocabulary import Action, Autonomy
from agentrelease.core import intent
from agentrelease.core.assess import Verdict
from agentrelease.core.steps import Move, Step, halted

if TYPE_CHECKING:
    from agentrelease.api.status import ReleaseStatus
    from agentrelease.core.situation import Situation

SLOT_TAKEN = "PreviousSlotTaken"
"""The cause of a lowering in place of a return: the slot of the revision before has something else."""

RELAPSES = 1
"""How often a level may be earned back; after that it takes a new release."""


def breached(s: Situation, now: float) -> Step | None:
    """Lower what serves, or return to what served before."""
    status, assessment = s.release.status, s.assessment
    stable = status.stable
    if status.watch is None or stable is None or assessment is None or assessment.action is None:
        return None
    if assessment.blinded or assessment.action < Action.FALLBACK_MODEL:
        return None  # blindness proves nothing of a bundle that serves; the mild ones only tell
    why = f"after its promotion: {assessment.reason}"
    if assessment.action >= Action.STEP_BACK:
        if status.previous is not None and holds(s, status.previous.revision):
            return Step(Move.RETURN, "GuardrailBreached", why, outcome=Outcome.ROLLED_BACK)
        if status.previous is not None and not status.watch.returning:
            taken = f"{status.previous.revision} is in no slot any more"
            return Step(Move.LOWER_STABLE, SLOT_TAKEN, f"{taken}; {why}", cap=Autonomy.OBSERVE)
        if stable.autonomy > Autonomy.OBSERVE:
            return Step(Move.LOWER_STABLE, "AutonomyLowered", why, cap=Autonomy.OBSERVE)
    elif now < status.watch.permitted_until:
        return Step(Move.KEEP, "AutonomyLowered", f"agents are still taking up {stable.autonomy}; {why}")
    elif stable.autonomy > Autonomy.OBSERVE:
        return Step(Move.LOWER_STABLE, "AutonomyLowered", why, cap=stable.autonomy.one_down)
    if stable.digest != s.desired.digest:
        return None  # nothing is left to take, and the bundle that may mend it is there
    return Step(Move.KEEP, "GuardrailBreached", why)


def holds(s: Situation, revision: str) -> bool:
    """Whether the slot of the revision before still has it."""
    return s.slot is not None and s.slot.revision == revision


def reloaded(s: Situation, _now: float) -> Step | None:
    """Load the revision before again, when a return was due and its slot had something else."""
    watch, previous = s.release.status.watch, s.release.status.previous
    if watch is None or previous is None or not watch.returning or not s.recalled or not s.leading:
        return None
    why = f"{previous.revision} is loaded again; {watch.returning}"
    return Step(Move.START, "GuardrailBreached", why)


def regained(s: Situation, now: float) -> Step | None:
    """Raise what serves by one level when a fresh window shows that it is as good as it should be."""
    status, assessment = s.release.status, s.assessment
    watch, stable = status.watch, status.stable
    if watch is None or stable is None or not watch.lowered or watch.lowered > RELAPSES or watch.returning:
        return None
    if now < watch.permitted_until:
        return None  # nothing seen yet is of the lower level
    top = intent.final_autonomy(s.release)
    if stable.digest != s.desired.digest or stable.autonomy >= top or halted(s) or not s.leading:
        return None
    if assessment is None or assessment.verdict is not Verdict.PROMOTE or s.blind or s.closed:
        return None
    level = stable.autonomy.one_up
    why = f"autonomy back to {level}: {assessment.reason}"
    return Step(Move.RAISE_STABLE, "WayBackEarned", why, cap=level)


def notified(s: Situation) -> str:
    """Say what a mild guardrail found about the revision that serves; empty when nothing."""
    assessment = s.assessment
    if s.release.status.watch is None or assessment is None or assessment.action is None:
        return ""
    return "" if assessment.blinded else assessment.reason


def over(status: ReleaseStatus, seconds: float, now: float) -> bool:
    """Whether the watch has lasted long enough."""
    return status.watch is not None and now - status.watch.since >= seconds
