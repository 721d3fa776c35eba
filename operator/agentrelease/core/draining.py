"""Sessions in flight on a candidate that is rolled back: drained for a bounded time, or cut.

Actions are always cut at once: the flags are written first, and agents ask them before each action. What may
be drained is answers. Who carries the candidate's revision in the session's header or cookie has been
answered by it before, so a rule for these requests alone reaches nobody new. The time is kept in status and
ended by the operator. Without an operator such sessions go on, at ``observe``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import Outcome
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import NOTHING, Cohort, Exposure, tools_alone

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate
    from agentrelease.core.situation import Situation
    from agentrelease.core.steps import Step

CUTTING = frozenset({"RollbackResumed", "Contended"})
"""Causes whose reason is unknown, or a fight about the route: nothing is left on the candidate."""


def exposure(release: AgentRelease, candidate: Candidate) -> Exposure:
    """Return what a candidate on its way out still exposes: answers to those who met it, or nothing."""
    sessions = release.spec.rollback.sessions
    if sessions is None or not candidate.drain_until:
        return NOTHING
    by_cookie = sessions.cookie is not None
    marked = Cohort(sessions.cookie or sessions.header or "", candidate.revision, cookie=by_cookie)
    level = Autonomy.OBSERVE
    return Exposure(cohort=marked, autonomy=level, tools=tools_alone(release.spec.bundle.tools, level))


def until(s: Situation, step: Step, before: Exposure, now: float) -> float:
    """Return until when sessions are drained after this withdrawal (unix seconds); 0 for not at all."""
    sessions = s.release.spec.rollback.sessions
    if sessions is None or sessions.answers == "cut" or s.release.deleting or not before.answers:
        return 0.0
    unsafe = s.assessment is not None and s.assessment.unsafe
    if step.outcome is not Outcome.ROLLED_BACK or step.cause in CUTTING or unsafe:
        return 0.0
    return now + sessions.drain_for.seconds


def over(release: AgentRelease, candidate: Candidate, now: float) -> bool:
    """Whether the time to drain has passed, or somebody ended it."""
    sessions = release.spec.rollback.sessions
    cut = sessions is None or sessions.answers == "cut" or release.deleting
    return cut or now >= candidate.drain_until
