"""Exposure that somebody raised from outside: taken back, and given up on when it becomes a fight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import MAX_FIGHTS, Outcome, Stage
from agentrelease.core import intent
from agentrelease.core.steps import Move, Step, candidate_of, withdraw

if TYPE_CHECKING:
    from agentrelease.api.status import ReleaseStatus
    from agentrelease.core.situation import Situation

DRIFT_UNDONE, CONTENDED = "DriftUndone", "Contended"
FIGHT_WINDOW = 600.0
"""Seconds in which so many raises from outside are a fight."""
SAME_FIGHT = 30.0
"""Seconds for which a raise that look after look still finds counts as one."""


def drifted(s: Situation, now: float) -> Step | None:
    """Somebody raised what is live above what is intended: nothing else happens until it is taken back.

    Who raises it again and again will not stop for us, and users would swing with every round: the
    third time the candidate goes, and with it what the two could fight about.
    """
    live = s.live.exposure
    if candidate_of(s).stage is not Stage.RUNNING or live is None:
        return None
    if live.within(intent.exposure(s.release)):
        return None
    if len(fights(s.release.status, now)) >= MAX_FIGHTS:
        why = f"somebody raised the exposure {MAX_FIGHTS} times in {FIGHT_WINDOW / 60:.0f} minutes"
        return withdraw(Outcome.ROLLED_BACK, CONTENDED, f"{why}; see who writes the route and the flags")
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
