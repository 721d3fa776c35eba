"""Interventions milder than rollback: what each takes, how it is earned back, and where it ends.

* Entry: a guardrail with that consequence is breached. What an agent can't give takes the next stronger
  one: no fallback model → tools → autonomy → a phase back.
* Settling: agents take up what was taken within a lease. What they do until then is no reason for another
  intervention, and none for the way back; a rollback it is at any time.
* Way back: what is left is judged on a fresh window. When that would do to go on, the last thing taken is
  given back first, one step at a time, each again on a fresh window, before any next phase.
* End: after :data:`PATIENCE` interventions in one rollout the next breach rolls back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import Outcome
from agentrelease.api.vocabulary import Action, Autonomy, Effect
from agentrelease.core import intent
from agentrelease.core.exposure import kept, tools_alone, tools_asking
from agentrelease.core.phases import preceding
from agentrelease.core.steps import INTERVENTIONS, Move, Step, candidate_of, withdraw

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate
    from agentrelease.core.situation import Situation

PATIENCE = 6
"""Interventions in one rollout: as many as take everything once."""


def intervene(s: Situation, action: Action, why: str) -> Step:
    """Return the step that takes one thing away from a running candidate."""
    candidate = candidate_of(s)
    if candidate.interventions >= PATIENCE:
        return withdraw(Outcome.ROLLED_BACK, "GuardrailBreached", f"after {PATIENCE} interventions: {why}")
    if action is Action.FALLBACK_MODEL and not candidate.fallback and s.release.spec.bundle.model.fallback:
        return Step(Move.FALL_BACK, "FallbackModel", why)
    cuttable = next_cut(s.release, candidate) > candidate.tools_cut
    if action in (Action.FALLBACK_MODEL, Action.REDUCE_TOOLS) and cuttable:
        return Step(Move.CUT_TOOLS, "ToolsReduced", why)
    current = intent.exposure(s.release).autonomy
    if action is not Action.STEP_BACK and current > Autonomy.OBSERVE:
        return Step(Move.CAP, "AutonomyLowered", why, cap=current.one_down)
    return one_back(s, "GuardrailBreached", why)


def one_back(s: Situation, cause: str, reason: str) -> Step:
    """Return the step to the phase before; out of the first one there is only out."""
    index = preceding(s.release, candidate_of(s).phase_index)
    if index is None:
        return withdraw(Outcome.ROLLED_BACK, cause, reason)
    return Step(Move.STEP_BACK, cause, reason, phase=index)


def next_cut(release: AgentRelease, candidate: Candidate) -> int:
    """Return the least further cut that takes a tool the candidate can use; the present one if none does."""
    usable, done = _usable(release, candidate), candidate.tools_cut
    return next((cut for cut in range(done + 1, len(usable)) if usable[cut] != usable[done]), done)


def _last_cut(release: AgentRelease, candidate: Candidate) -> int:
    """Return the cut before the one that took the last tools: it gives these back and no others."""
    usable, done = _usable(release, candidate), candidate.tools_cut
    more = next((tools for tools in reversed(usable[:done]) if tools != usable[done]), usable[0])
    return usable.index(more)


def _usable(release: AgentRelease, candidate: Candidate) -> list[frozenset[str]]:
    """Return the tools that the candidate can use at its level, by how many effect classes are cut."""
    level = intent.exposure_in(release, candidate).autonomy
    left = [kept(release.spec.bundle.tools, cut) for cut in range(Effect.IRREVERSIBLE.rank + 1)]
    return [tools_alone(tools, level) | tools_asking(tools, level) for tools in left]


def earned(s: Situation, _now: float) -> Step | None:
    """Give back what was taken last: autonomy level by level, then tools, then the model."""
    candidate = candidate_of(s)
    if not taken(candidate):
        return None
    if s.closed:
        return Step(Move.KEEP, "WindowClosed", s.closed, running=True)
    assert s.assessment is not None
    return Step(Move.GIVE_BACK, "WayBackEarned", f"{_next(s.release, candidate)}: {s.assessment.reason}")


def settling(candidate: Candidate) -> bool:
    """Whether evidence is still of what agents did before they took up an intervention."""
    return candidate.settling_until > 0


def settles(s: Situation, step: Step, now: float) -> float:
    """Return until when agents may still be taking up what was taken, after a step; 0 = they have.

    That is over when evidence has come to that moment, so that all which follows can be told from it.
    """
    until = candidate_of(s).settling_until
    if step.move in INTERVENTIONS or (step.move is Move.STEP_BACK and step.cause == "GuardrailBreached"):
        return now + s.release.spec.delivery.flags.lease_seconds
    seen = s.assessment is not None and s.assessment.grounds.now >= until
    return 0.0 if seen and step.move is Move.KEEP else until


def unsettled(s: Situation, now: float) -> Step | None:
    """Wait until agents have surely taken up what an intervention took."""
    candidate = candidate_of(s)
    if not settling(candidate):
        return None
    rest = max(0.0, candidate.settling_until - now)
    return Step(Move.KEEP, "Settling", f"agents have {rest:.0f} s more to take up what was taken")


def taken(candidate: Candidate) -> bool:
    """Whether an intervention is in force."""
    return candidate.autonomy_cap is not None or candidate.tools_cut > 0 or candidate.fallback


def given_back(release: AgentRelease, candidate: Candidate) -> dict[str, object]:
    """Return the candidate's fields after one step of the way back."""
    cap = candidate.autonomy_cap
    if cap is not None:
        level = release.spec.phases[candidate.phase_index].autonomy
        higher = cap.one_up
        return {"autonomy_cap": None if higher >= level else higher}
    if candidate.tools_cut:
        return {"tools_cut": _last_cut(release, candidate)}
    return {"fallback": False}


def _next(release: AgentRelease, candidate: Candidate) -> str:
    if candidate.autonomy_cap is not None:
        back = given_back(release, candidate)["autonomy_cap"]
        return f"autonomy back to {back or release.spec.phases[candidate.phase_index].autonomy}"
    return "tools come back" if candidate.tools_cut else "back on its own model"
