"""``decide``: from a situation to the next status, its direction, and the words that explain it.

The operator, simulations, replays and the tests all run this one function. It does no I/O and reads
no clock; the same situation and time give the same decision, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agentrelease.api.status import ReleaseStatus, Stage
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import intent, reporting
from agentrelease.core.rollout import next_step
from agentrelease.core.steps import INTERVENTIONS, STABLE_UNKNOWN, Move, Step
from agentrelease.core.succession import apply

if TYPE_CHECKING:
    from agentrelease.core.exposure import Exposure
    from agentrelease.core.situation import Situation


class Direction(StrEnum):
    """Which order of writes a decision needs."""

    KEEP = "keep"
    RAISE = "raise"
    LOWER = "lower"


_OUT = {Move.STEP_BACK, Move.DRAIN, Move.WITHDRAW, Move.CUT_SESSIONS}
_LOWERING = INTERVENTIONS | _OUT | {Move.RETURN, Move.LOWER_STABLE, Move.RECOVER}


@dataclass(frozen=True, slots=True)
class Decision:
    """The step taken, the status that follows, and how exposure moves.

    ``status`` is complete but for the evidence text and the epoch, which the engine adds in the
    same write. ``announce`` is false while the same cause goes on, whatever its numbers.
    """

    step: Step
    direction: Direction
    status: ReleaseStatus
    intended: Exposure
    announce: bool
    drift: str = ""  # what somebody raised from outside and this decision takes back


def decide(situation: Situation, now: float) -> Decision:
    """Decide what a release shall be next.

    ``now`` is in unix seconds. Never raises for anything a user can write; what is missing or
    contradictory holds.
    """
    step = next_step(situation, now)
    release = situation.release
    status = apply(release, situation, step, now)
    after = release.model_copy(update={"status": status})
    before, intended = intent.exposure(release), intent.exposure(after)
    status = reporting.describe(situation, after, step, intended, now)
    announce = step.cause != release.status.verdict
    direction = _direction(situation, step, before, intended)
    return Decision(step, direction, status, intended, announce, _drift(situation, step, intended))


def _direction(s: Situation, step: Step, before: Exposure, intended: Exposure) -> Direction:
    live = s.live.exposure
    if step.move in _LOWERING:
        return Direction.LOWER
    if step.move in (Move.START, Move.PROMOTE, Move.GIVE_BACK, Move.RAISE_STABLE):
        return Direction.RAISE
    if step.cause == STABLE_UNKNOWN and live is not None and live.autonomy > Autonomy.OBSERVE:
        return Direction.LOWER
    if _exceeds(s, intended):
        # Drift upwards, or a withdrawal that has not reached every lever: take it back first.
        return Direction.LOWER
    candidate = s.release.status.candidate
    if candidate and candidate.stage is Stage.WITHDRAWING and live is None:
        return Direction.LOWER
    if step.move is Move.ENTER or not intended.within(before):
        return Direction.RAISE
    writable = s.leading and not s.halt
    if candidate and candidate.stage is Stage.RUNNING and not candidate.confirmed_at and writable:
        # The phase was intended but perhaps not written: its author may have died in between.
        return Direction.RAISE
    return Direction.KEEP


def _exceeds(s: Situation, intended: Exposure) -> bool:
    """Whether live is more than intended.

    Before anything of ours has been exposed, the route still serves what was there before us; that is
    not the candidate's exposure and is not taken away.
    """
    live, status = s.live.exposure, s.release.status
    exposed = status.stable or (status.candidate and status.candidate.stage is not Stage.LOADING)
    return live is not None and bool(exposed) and not live.within(intended)


def _drift(s: Situation, step: Step, intended: Exposure) -> str:
    candidate = s.release.status.candidate
    if step.move is not Move.KEEP or candidate is None or candidate.stage is not Stage.RUNNING:
        return ""
    if not _exceeds(s, intended):
        return ""
    return f"live {reporting.point(s.live.exposure or intended)} exceeds intended {reporting.point(intended)}"
