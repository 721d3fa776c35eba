"""Interventions: one thing is taken at a time, the mildest that there is, and given back one at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from tests.support.situations import HALF, NOW, judged, standing, with_
from tests.support.stage import BUNDLE, SPEC

from agentrelease.api.status import Outcome
from agentrelease.api.vocabulary import Action, Autonomy
from agentrelease.core import intent
from agentrelease.core.decision import decide
from agentrelease.core.interventions import PATIENCE, intervene, settles, settling
from agentrelease.core.situation import Live
from agentrelease.core.steps import Move, Step

if TYPE_CHECKING:
    from agentrelease.core.situation import Situation

ALONE = {"bundle": BUNDLE | {"model": {"name": "provider/model-x", "version": "2026-10-14"}}}
"""A bundle whose model has no fallback."""
LEASE = SPEC["delivery"]["flags"]["leaseSeconds"]


def taken(s: Situation, action: Action) -> Step:
    return intervene(s, action, "it is worse")


def test_what_an_agent_cannot_give_takes_the_next_stronger_thing():
    model = Action.FALLBACK_MODEL
    assert taken(standing(), model) == Step(Move.FALL_BACK, "FallbackModel", "it is worse")
    assert taken(standing(fallback=True), model) == Step(Move.CUT_TOOLS, "ToolsReduced", "it is worse")
    assert taken(standing(spec=ALONE), model).move is Move.CUT_TOOLS, "its bundle has no other model"
    assert taken(standing(toolsCut=2, fallback=True), model).move is Move.CAP, (
        "no tool but those that read is left"
    )


def test_tools_are_cut_while_a_cut_takes_one_that_can_be_used():
    reduce = Action.REDUCE_TOOLS
    assert taken(standing(), reduce).move is Move.CUT_TOOLS, "the model is not asked for"
    assert taken(standing(toolsCut=1), reduce).move is Move.CUT_TOOLS
    low = {"autonomyCap": "suggestion-only"}
    assert taken(standing(**low), reduce) == Step(
        Move.CAP, "AutonomyLowered", "it is worse", cap=Autonomy.OBSERVE
    ), "at this level only reading is possible"


def test_the_most_dangerous_tools_that_can_be_used_are_cut_whatever_lies_between():
    reading, writing, final = BUNDLE["tools"]
    without = {
        "an irreversible one": ([reading, writing], 0, Move.CUT_TOOLS, 2),
        "one that writes": ([reading, final], 0, Move.CUT_TOOLS, 1),
        "one that writes, after a cut": ([reading, final], 1, Move.CAP, 1),
        "anything to take": ([reading], 0, Move.CAP, 0),
    }
    for name, (tools, before, move, cut) in without.items():
        s = standing(spec={"bundle": BUNDLE | {"tools": tools}}, toolsCut=before)
        found = decide(with_(s, {"assessment": judged(12, 15, Action.REDUCE_TOOLS)}), NOW)
        assert found.status.candidate is not None
        assert (found.step.move, found.status.candidate.tools_cut) == (move, cut), name


@pytest.mark.parametrize(
    ("tools", "phase", "cuts"),
    [
        (BUNDLE["tools"], {}, [2, 1, 0]),
        (BUNDLE["tools"][:2], {}, [2, 0]),
        (BUNDLE["tools"][::2], {}, [1, 0]),
        (BUNDLE["tools"], {"phaseIndex": 2, "phaseName": "canary-10", "granted": None}, [2, 0]),
    ],
    ids=["each class", "nothing irreversible", "nothing that writes", "a level that uses none of them"],
)
def test_tools_come_back_by_the_classes_that_were_taken_and_no_window_is_spent_on_none(tools, phase, cuts):
    for cut, before in pairwise(cuts):
        s = standing(spec={"bundle": BUNDLE | {"tools": tools}}, toolsCut=cut, **phase)
        after = decide(replace(s, live=Live(intent.exposure(s.release))), NOW)
        assert (after.step.move, after.step.cause) == (Move.GIVE_BACK, "WayBackEarned")
        assert after.status.candidate is not None
        assert after.status.candidate.tools_cut == before


def test_autonomy_goes_down_one_level_and_from_the_lowest_a_phase():
    lower = Action.LOWER_AUTONOMY
    assert taken(standing(), lower).cap is Autonomy.SUGGESTION_ONLY
    back = taken(standing(autonomyCap="observe"), lower)
    assert (back.move, back.phase, back.cause) == (Move.STEP_BACK, HALF - 1, "GuardrailBreached")
    assert taken(standing(), Action.STEP_BACK).move is Move.STEP_BACK, "whatever else there is to take"


def test_out_of_the_first_phase_there_is_only_out():
    first = standing(phaseIndex=0, phaseName="shadow", autonomyCap="observe")
    out = taken(first, Action.LOWER_AUTONOMY)
    assert (out.move, out.outcome, out.reason) == (Move.WITHDRAW, Outcome.ROLLED_BACK, "it is worse")


def test_after_as_many_as_take_everything_once_the_next_breach_rolls_back():
    assert taken(standing(interventions=PATIENCE - 1), Action.LOWER_AUTONOMY).move is Move.CAP
    out = taken(standing(interventions=PATIENCE), Action.LOWER_AUTONOMY)
    assert (out.move, out.outcome) == (Move.WITHDRAW, Outcome.ROLLED_BACK)
    assert out.reason == "after 6 interventions: it is worse"


@pytest.mark.parametrize(
    ("candidate", "said", "left"),
    [
        ({"autonomyCap": "observe"}, "autonomy back to suggestion-only", ("suggestion-only", 0, False)),
        ({"autonomyCap": "suggestion-only"}, "autonomy back to limited-action", (None, 0, False)),
        ({"autonomyCap": "suggestion-only", "toolsCut": 1}, "autonomy back", (None, 1, False)),
        ({"toolsCut": 2, "fallback": True}, "tools come back: ", (None, 1, True)),
        ({"fallback": True}, "back on its own model: ", (None, 0, False)),
    ],
)
def test_the_last_thing_taken_is_given_back_first_and_the_reason_names_it(candidate, said, left):
    found = decide(standing(**candidate), NOW)
    assert (found.step.move, found.step.cause) == (Move.GIVE_BACK, "WayBackEarned")
    assert found.step.reason.startswith(said)
    after = found.status.candidate
    assert after is not None
    assert (after.autonomy_cap, after.tools_cut, after.fallback) == left


def test_a_closed_window_keeps_what_was_taken_and_says_why():
    held = decide(with_(standing(fallback=True), {"closed": "it is Friday"}), NOW).step
    assert (held.move, held.cause, held.reason, held.running) == (
        Move.KEEP, "WindowClosed", "it is Friday", True,
    )  # fmt: skip


# ---- until agents have taken it up -----------------------------------------------------------------------


def test_until_agents_have_taken_it_up_nothing_is_given_back_and_the_time_left_is_said():
    waiting = decide(standing(fallback=True, settlingUntil=NOW + 12.0), NOW).step
    assert (waiting.move, waiting.cause) == (Move.KEEP, "Settling")
    assert waiting.reason == "agents have 12 s more to take up what was taken"
    late = decide(standing(fallback=True, settlingUntil=NOW - 5.0), NOW).step
    assert late.reason == "agents have 0 s more to take up what was taken"
    candidates = [standing(settlingUntil=until).release.status.candidate for until in (0.0, 0.5)]
    assert [settling(one) for one in candidates if one] == [False, True]


@pytest.mark.parametrize(
    ("step", "restarts"),
    [
        (Step(Move.CAP, "AutonomyLowered", ""), True),
        (Step(Move.CUT_TOOLS, "ToolsReduced", ""), True),
        (Step(Move.FALL_BACK, "FallbackModel", ""), True),
        (Step(Move.STEP_BACK, "GuardrailBreached", ""), True),
        (Step(Move.STEP_BACK, "DeadlinePassed", ""), False),
        (Step(Move.ENTER, "GuardrailBreached", ""), False),
    ],
)
def test_what_is_taken_for_a_breach_has_a_lease_to_be_taken_up(step: Step, restarts: bool):
    until = settles(standing(settlingUntil=NOW + 3.0), step, NOW)
    assert until == (NOW + LEASE if restarts else NOW + 3.0)


def test_it_is_over_when_evidence_has_come_to_that_moment():
    assessment = judged()
    keep, seen = Step(Move.KEEP, "Collecting", ""), assessment.grounds.now
    assert settles(standing(settlingUntil=seen), keep, NOW) == 0.0
    assert settles(standing(settlingUntil=seen + 1), keep, NOW) == seen + 1
    unseen = with_(standing(settlingUntil=seen), {"assessment": None})
    assert settles(unseen, keep, NOW) == seen, "what nobody sees may still be going on"
    entered = Step(Move.ENTER, "PhaseEntered", "")
    assert settles(standing(settlingUntil=seen), entered, NOW) == seen
