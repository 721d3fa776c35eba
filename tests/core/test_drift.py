"""Exposure that somebody raised from outside: taken back at once, and not fought about for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.support.situations import LOADING, NOW, standing, with_

from agentrelease.api.status import MAX_FIGHTS, Outcome
from agentrelease.core.decision import decide
from agentrelease.core.drift import FIGHT_WINDOW, SAME_FIGHT, fights
from agentrelease.core.steps import Move

if TYPE_CHECKING:
    from agentrelease.core.situation import Situation


def raised(weight: float = 80.0, verdict: str = "", **candidate: object) -> Situation:
    s = standing(**candidate)
    status = s.release.status.model_copy(update={"verdict": verdict})
    live = replace(s.live.exposure, weight=weight)  # type: ignore[type-var]
    return with_(
        replace(s, release=s.release.model_copy(update={"status": status})), {"live": {"exposure": live}}
    )


def test_a_raise_from_outside_is_taken_back_before_anything_else_and_noted():
    after = decide(raised(), NOW)
    assert (after.step.move, after.step.cause) == (Move.KEEP, "DriftUndone")
    assert after.intended.weight == 50.0
    assert after.status.candidate is not None
    assert after.status.candidate.fights == [NOW]


@pytest.mark.parametrize("weight", [50.0, 20.0])
def test_what_is_as_it_should_be_or_lower_is_nobodys_raise(weight: float):
    assert decide(raised(weight), NOW).step.cause != "DriftUndone"


def test_what_a_slot_that_loads_exposes_is_no_fight_of_a_phase():
    assert decide(raised(**LOADING), NOW).step.cause != "DriftUndone"


def test_who_raises_it_again_and_again_in_ten_minutes_costs_the_candidate_its_place():
    before = [NOW - FIGHT_WINDOW + n for n in range(1, MAX_FIGHTS)]
    after = decide(raised(fights=before), NOW)
    assert (after.step.move, after.step.cause) == (Move.WITHDRAW, "Contended")
    assert after.step.outcome is Outcome.ROLLED_BACK
    assert after.step.reason.startswith(f"somebody raised the exposure {MAX_FIGHTS} times in 10 minutes")
    early = [NOW - FIGHT_WINDOW, *before[1:]]
    assert decide(raised(fights=early), NOW).step.cause == "DriftUndone", "the first was longer ago"


def test_a_raise_that_stays_from_look_to_look_is_one_but_not_for_ever():
    def counted(ago: float, verdict: str = "DriftUndone") -> list[float]:
        return fights(raised(verdict=verdict, fights=[NOW - ago]).release.status, NOW)

    assert counted(SAME_FIGHT - 1) == [NOW - SAME_FIGHT + 1]
    assert counted(SAME_FIGHT) == [NOW - SAME_FIGHT, NOW]
    assert counted(1.0, verdict="Collecting") == [NOW - 1.0, NOW], "it was back in between"
    assert counted(FIGHT_WINDOW) == [NOW]
    many = [NOW - 100.0 + n for n in range(MAX_FIGHTS)]
    assert fights(raised(fights=many).release.status, NOW) == [*many[1:], NOW]
