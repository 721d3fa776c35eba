"""The watch after promotion: providers change models under a fixed name, so guardrails keep looking.

A revision that serves all traffic is compared with the frozen record of the stable before it, and with
absolute ceilings. A breach returns to that revision while it is still loaded; otherwise, or where
the guardrail asks for less, autonomy goes down a level. A level is earned back on a fresh window, once.

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
        if status.previous is not None:
            return Step(Move.RETURN, "GuardrailBreached", why, outcome=Outcome.ROLLED_BACK)
        if stable.autonomy > Autonomy.OBSERVE:
            return Step(Move.LOWER_STABLE, "AutonomyLowered", why, cap=Autonomy.OBSERVE)
    elif now < status.watch.permitted_until:
        return Step(Move.KEEP, "AutonomyLowered", f"agents are still taking up {stable.autonomy}; {why}")
    elif stable.autonomy > Autonomy.OBSERVE:
        return Step(Move.LOWER_STABLE, "AutonomyLowered", why, cap=stable.autonomy.one_down)
    return Step(Move.KEEP, "GuardrailBreached", why)


def regained(s: Situation, now: float) -> Step | None:
    """Raise what serves by one level when a fresh window shows that it is as good as it should be."""
    status, assessment = s.release.status, s.assessment
    watch, stable = status.watch, status.stable
    if watch is None or stable is None or not watch.lowered or watch.lowered > RELAPSES:
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
