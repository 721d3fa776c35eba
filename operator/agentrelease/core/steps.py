"""A step: the one thing that happens next to a release, and the sentence that explains it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrelease.api.status import Candidate, Outcome
    from agentrelease.api.vocabulary import Autonomy
    from agentrelease.core.situation import Situation


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


def candidate_of(situation: Situation) -> Candidate:
    """Return the candidate of a release that has one."""
    candidate = situation.release.status.candidate
    assert candidate is not None
    return candidate


def withdraw(outcome: Outcome, cause: str, reason: str) -> Step:
    """Return the step that takes the candidate away for good."""
    return Step(Move.WITHDRAW, cause, reason, outcome=outcome)
