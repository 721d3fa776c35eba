"""A step: the one thing that happens next to a release, and the sentence that explains it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrelease.api.status import Candidate, Outcome
    from agentrelease.api.vocabulary import Autonomy
    from agentrelease.core.situation import Situation


APPROVAL_REQUIRED = "ApprovalRequired"
"""The cause of a hold that only a person's consent to the next phase ends."""

STATUS_LOST, STABLE_UNKNOWN = "StatusLost", "StableUnknown"
"""The causes of what is done about a status that was wiped: gone on from what served, or held."""


class Move(StrEnum):
    """What a step does."""

    KEEP = "Keep"
    START = "Start"
    ENTER = "Enter"
    PROMOTE = "Promote"
    CAP = "LowerAutonomy"
    CUT_TOOLS = "ReduceTools"
    FALL_BACK = "FallBackModel"
    GIVE_BACK = "GiveBack"
    LOWER_STABLE = "LowerStable"
    RAISE_STABLE = "RaiseStable"
    STEP_BACK = "StepBack"
    DRAIN = "Drain"
    CUT_SESSIONS = "CutSessions"
    WITHDRAW = "Withdraw"
    FINISH = "Finish"
    RETURN = "Return"
    RECOVER = "Recover"


INTERVENTIONS = frozenset({Move.CAP, Move.CUT_TOOLS, Move.FALL_BACK})
"""Moves that take one thing away in the same phase."""


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


def candidate_of(situation: Situation) -> Candidate:
    """Return the candidate of a release that has one."""
    candidate = situation.release.status.candidate
    assert candidate is not None
    return candidate


def withdraw(outcome: Outcome, cause: str, reason: str) -> Step:
    """Return the step that takes the candidate away for good."""
    return Step(Move.WITHDRAW, cause, reason, outcome=outcome)


def halted(situation: Situation) -> bool:
    """Whether the agent may do nothing, by a person's word about it or about all agents."""
    return situation.live.halted or bool(situation.halt)
