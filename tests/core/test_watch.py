"""The watch after a promotion, rule by rule: back where that is possible, down where it is not, up once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.test_succession import PREVIOUS, having
from tests.support.situations import NOW, judged, standing, with_

from agentrelease.api.status import Outcome, Watching
from agentrelease.api.vocabulary import Action, Autonomy
from agentrelease.core.assess import Verdict
from agentrelease.core.decision import Direction, decide
from agentrelease.core.exposure import NOTHING
from agentrelease.core.situation import Desired, Live, Situation, SlotState
from agentrelease.core.steps import Move

WATCH = Watching(since=NOW - 60.0, permitted=Autonomy.FULL_ACTION)
LATER = Desired("sha256:next", "support-next")


def watched(action: Action | None = None, level: str = "full-action", **status: Any) -> Situation:
    """The spec's bundle serves at a level and is watched; ``action`` is what its breach asks for."""
    s = standing()
    stable = s.release.status.stable
    assert stable is not None
    mine = {"revision": s.desired.revision, "digest": s.desired.digest, "autonomy": Autonomy(level)}
    whole: dict[str, Any] = {
        "candidate": None, "stable": stable.model_copy(update=mine), "previous": PREVIOUS, "watch": WATCH,
    }  # fmt: skip
    return replace(
        having(s, **whole | status),
        live=Live(NOTHING),
        slot=SlotState(PREVIOUS.revision, available=True),
        assessment=judged() if action is None else judged(12, 15, action),
    )


def step(s: Situation) -> tuple[Move, str, Autonomy | None]:
    found = decide(s, NOW).step
    return found.move, found.cause, found.cap


@pytest.mark.parametrize("action", [Action.STEP_BACK, Action.ROLLBACK])
def test_a_breach_returns_to_who_served_before_while_its_slot_has_it(action: Action) -> None:
    found = decide(watched(action), NOW)
    assert (found.step.move, found.step.outcome) == (Move.RETURN, Outcome.ROLLED_BACK)
    assert found.step.reason.startswith("after its promotion: failures is worse")
    assert found.direction is Direction.LOWER


@pytest.mark.parametrize("slot", [None, SlotState("support-other", available=True)])
def test_where_its_slot_has_something_else_everything_is_taken_at_once_and_it_is_loaded_again(slot) -> None:
    s = replace(watched(Action.ROLLBACK), slot=slot)
    assert step(s) == (Move.LOWER_STABLE, "PreviousSlotTaken", Autonomy.OBSERVE)
    back = WATCH.model_copy(update={"returning": "it was worse"})
    returning = replace(having(s, watch=back), recalled=True)
    assert step(returning) == (Move.START, "GuardrailBreached", None)
    assert "it was worse" in decide(returning, NOW).step.reason
    lowered = (Move.LOWER_STABLE, "AutonomyLowered", Autonomy.OBSERVE)
    assert step(replace(returning, leading=False)) == lowered, "loading is the leader's, lowering anybody's"
    assert step(replace(returning, recalled=False)) == (
        Move.LOWER_STABLE,
        "AutonomyLowered",
        Autonomy.OBSERVE,
    )
    assert step(replace(s, recalled=True))[1] == "PreviousSlotTaken", "nothing is loaded without a reason"


def test_where_nobody_served_before_everything_is_taken_and_then_it_is_only_told() -> None:
    s = having(watched(Action.ROLLBACK), previous=None)
    assert step(s) == (Move.LOWER_STABLE, "AutonomyLowered", Autonomy.OBSERVE)
    s = having(watched(Action.ROLLBACK, "observe"), previous=None)
    assert step(s) == (Move.KEEP, "GuardrailBreached", None)
    assert step(replace(s, desired=LATER))[:2] == (Move.START, "RolloutStarted"), "what may mend it may come"


@pytest.mark.parametrize("action", [Action.FALLBACK_MODEL, Action.REDUCE_TOOLS, Action.LOWER_AUTONOMY])
def test_where_a_guardrail_asks_for_less_one_level_is_taken_at_a_time(action: Action) -> None:
    assert step(watched(action)) == (Move.LOWER_STABLE, "AutonomyLowered", Autonomy.LIMITED_ACTION)
    assert step(watched(action, "observe")) == (Move.KEEP, "GuardrailBreached", None)
    taking = WATCH.model_copy(update={"permitted_until": NOW + 5.0})
    waits = watched(action, watch=taking)
    assert step(waits)[:2] == (Move.KEEP, "AutonomyLowered")
    assert "still taking up full-action" in decide(waits, NOW).step.reason
    over = WATCH.model_copy(update={"permitted_until": NOW})
    assert step(watched(action, watch=over))[0] is Move.LOWER_STABLE
    assert step(watched(Action.ROLLBACK, watch=taking))[0] is Move.RETURN, "that waits for nothing"


@pytest.mark.parametrize("action", [Action.NOTIFY, Action.PAUSE, Action.REQUIRE_APPROVAL])
def test_what_only_holds_or_tells_takes_nothing_from_what_serves(action: Action) -> None:
    assert step(watched(action)) == (Move.KEEP, "Promoted", None)
    assert "failures is worse" in decide(watched(action), NOW).step.reason


def test_who_is_not_watched_is_not_judged() -> None:
    assert step(watched(Action.ROLLBACK, watch=None)) == (Move.KEEP, "Promoted", None)
    assert step(replace(watched(), assessment=None)) == (Move.KEEP, "Promoted", None)


LOWERED = WATCH.model_copy(update={"lowered": 1})


def test_a_level_is_earned_back_once_on_a_fresh_window() -> None:
    s = watched(None, "suggestion-only", watch=LOWERED)
    assert s.assessment is not None
    assert s.assessment.verdict is Verdict.PROMOTE
    assert step(s) == (Move.RAISE_STABLE, "WayBackEarned", Autonomy.LIMITED_ACTION)
    assert decide(s, NOW).direction is Direction.RAISE
    assert "autonomy back to limited-action" in decide(s, NOW).step.reason


NOT_YET: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "it was never lowered": ({"watch": WATCH}, {}),
    "it relapsed": ({"watch": LOWERED.model_copy(update={"lowered": 2})}, {}),
    "who served before comes back": ({"watch": LOWERED.model_copy(update={"returning": "worse"})}, {}),
    "agents are still taking up": ({"watch": LOWERED.model_copy(update={"permitted_until": NOW + 1.0})}, {}),
    "the spec has another bundle": ({}, {"desired": LATER}),
    "all agents are halted": ({}, {"halt": "somebody halted all agents"}),
    "this agent is halted": ({}, {"live": {"halted": True}}),
    "another replica leads": ({}, {"leading": False}),
    "nothing was judged": ({}, {"assessment": None}),
    "too little was seen": ({}, {"assessment": judged(minutes=2)}),
    "Prometheus is away": ({}, {"blind": "Prometheus is away"}),
    "the window is closed": ({}, {"closed": "it is Friday"}),
}


@pytest.mark.parametrize("name", NOT_YET)
def test_it_is_not_raised_while(name: str) -> None:
    status, changed = NOT_YET[name]
    s = with_(watched(None, "suggestion-only", **{"watch": LOWERED} | status), changed)
    assert decide(s, NOW).step.move is not Move.RAISE_STABLE


def test_it_is_raised_from_the_moment_that_agents_have_taken_it_up_and_no_higher_than_promised() -> None:
    just = LOWERED.model_copy(update={"permitted_until": NOW})
    assert step(watched(None, "suggestion-only", watch=just))[0] is Move.RAISE_STABLE
    top = standing().release.spec.phases[-1].autonomy
    assert step(watched(None, str(top), watch=LOWERED)) == (Move.KEEP, "Promoted", None)


def test_the_watch_ends_at_the_end_of_its_time() -> None:
    s = watched()
    lasts = s.release.spec.watch.duration.seconds
    for since, ended in ((NOW - lasts + 1.0, False), (NOW - lasts, True)):
        after = decide(having(s, watch=WATCH.model_copy(update={"since": since})), NOW)
        assert (after.status.watch is None) is ended
