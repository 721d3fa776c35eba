"""A status that was lost: who served is told by slots, flags and kept revisions, and never guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.situations import NOW, standing

from agentrelease.api.status import MAX_MESSAGE, MAX_REFUSED, LogHead, ReleaseStatus, Transition
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.decision import Direction, decide
from agentrelease.core.exposure import NOTHING, Exposure
from agentrelease.core.recovery import Former, Kept, Told, former, is_lost
from agentrelease.core.situation import Desired
from agentrelease.core.steps import Move

if TYPE_CHECKING:
    from agentrelease.core.situation import Situation

DESIRED = Desired("sha256:new", "new")
SLOTS = {"blue": "old", "green": "new"}


def kept(revision: str, outcome: str = "Promoted", ended_at: str = "2026-11-01", **more: Any) -> Kept:
    return Kept(revision, f"sha256:{revision}", outcome, "why", ended_at, **more)


def found(*revisions: Kept, slots: dict[str, str] | None = None, **told: Any) -> Former | None:
    ordered = told.pop("ordered", "")
    return former(revisions, SLOTS if slots is None else slots, told.get("told"), DESIRED, ordered)


def test_whom_the_flags_name_served_at_the_level_that_they_give_it():
    told = Told("old", Autonomy.LIMITED_ACTION, (((("risk_tier", "high"),), Autonomy.OBSERVE),))
    was = found(kept("old"), kept("older", ended_at="2026-11-20"), told=told)
    assert was is not None
    assert was.said == "old served, because the flags name it as stable"
    assert was.stable is not None
    assert (was.stable.revision, was.stable.digest, was.stable.slot) == ("old", "sha256:old", "blue")
    assert (was.stable.autonomy, was.stable.since) == (Autonomy.LIMITED_ACTION, "2026-11-01")
    assert [(one.match, one.autonomy) for one in was.stable.strata] == [
        ({"risk_tier": "high"}, Autonomy.OBSERVE)
    ]


@pytest.mark.parametrize("ended", ["RolledBack", "Superseded"])
def test_who_was_taken_back_did_not_serve_whatever_the_flags_say(ended: str):
    was = found(kept("old"), kept("new", ended), told=Told("new", Autonomy.FULL_ACTION))
    assert was is not None
    assert was.stable is not None
    assert (was.stable.revision, was.stable.autonomy) == ("old", Autonomy.OBSERVE)
    assert was.said == "old served, because it was promoted last"


def test_of_two_that_were_promoted_the_later_one_served_if_a_slot_has_it():
    both = kept("old", ended_at="2026-11-01"), kept("new", ended_at="2026-11-02")
    assert found(*both).stable.revision == "new"  # type: ignore[union-attr]
    was = found(kept("old"), kept("gone", ended_at="2026-11-02"))
    assert was is not None
    assert was.stable is None
    assert was.said.startswith("the status was lost, and nothing says which of new and old served")


def test_a_person_names_who_served_where_nothing_else_says_it():
    assert found(kept("old", "")).stable is None  # type: ignore[union-attr]
    was = found(kept("old", ""), ordered="old")
    assert was is not None
    assert was.stable is not None
    assert (was.stable.revision, was.said) == ("old", "old served, because spec.rollback.to names it")
    assert found(kept("old", ""), ordered="elsewhere").stable is None  # type: ignore[union-attr]


def test_slots_that_carry_what_nobody_kept_are_told_with_both_ways_out():
    was = found(slots={"blue": "stranger"})
    assert was is not None
    assert was.stable is None
    assert "no revision is kept of stranger: apply the bundle that served, or take the annotation" in was.said


def test_what_nothing_of_ours_ever_served_is_new():
    assert found(slots={}) is None
    assert found(kept("old"), slots={}) is None
    assert found(slots={"green": "new"}) is None, "the slot has the bundle of the spec, which was loading"
    assert found(kept("old", "RolledBack"), slots={"blue": "old"}) is None


def test_what_was_rolled_back_stays_refused_newest_last_and_the_log_goes_on_from_its_newest_entry():
    many = [kept(f"r{n:02}", "RolledBack", f"2026-11-{n:02}") for n in range(1, MAX_REFUSED + 4)]
    heads = [
        kept("a", head=LogHead(id="7", sequence=7, hash="sha256:7", at="")),
        kept("b", head=LogHead(id="9", sequence=9, hash="sha256:9", at="")),
    ]
    was = found(*reversed(many), *heads, kept("old", ended_at="2026-12-01"))
    assert was is not None
    assert [one.revision for one in was.refused] == [f"r{n:02}" for n in range(4, MAX_REFUSED + 4)]
    last = was.refused[-1]
    assert (last.digest, last.reason, last.at) == (
        f"sha256:{last.revision}",
        "why",
        f"2026-11-{MAX_REFUSED + 3}",
    )
    assert was.head == heads[1].head
    long = Kept("x", "sha256:x", "RolledBack", "y" * 2 * MAX_MESSAGE, "2026")
    assert len(found(long, kept("old")).refused[0].reason) == MAX_MESSAGE  # type: ignore[union-attr]
    assert found(kept("old")).head is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("moves", "lost"),
    [
        ([], True),
        (["Start: RolloutStarted"], False),
        (["Promote: AllPhasesPassed"], True),
        (["Return: RollbackOrdered"], True),
        (["Recover: StatusLost"], True),
    ],
)
def test_a_status_is_lost_that_says_nothing_or_forgot_who_served(moves: list[str], lost: bool):
    history = [Transition(at="", phase="", revision="r", from_="", to=to, reason="", epoch=0) for to in moves]
    assert is_lost(ReleaseStatus(history=history)) is lost
    beside = standing().release.status
    assert not is_lost(beside.model_copy(update={"history": history}))
    assert is_lost(beside.model_copy(update={"stable": None, "history": history})) is (lost and bool(moves))


# ---- what is done about it -------------------------------------------------------------------------------


def wiped(was: Former | None, *, live: Exposure = NOTHING) -> Situation:
    s = standing()
    release = s.release.model_copy(update={"status": ReleaseStatus()})
    return replace(s, release=release, live=replace(s.live, exposure=live), former=was, assessment=None)


def test_what_served_serves_again_and_all_else_goes_to_zero():
    was = found(kept("old"), kept("bad", "RolledBack"), told=Told("old", Autonomy.FULL_ACTION))
    after = decide(wiped(was, live=Exposure(weight=50.0)), NOW)
    assert (after.step.move, after.step.cause) == (Move.RECOVER, "StatusLost")
    assert after.step.reason == (
        "the status was lost: old served, because the flags name it as stable; all else goes to zero"
    )
    assert after.intended == NOTHING
    assert after.status.stable is not None
    assert (after.status.stable.revision, after.status.candidate) == ("old", None)
    assert [one.revision for one in after.status.refused] == ["bad"]


def test_where_nothing_says_who_served_nothing_begins():
    after = decide(wiped(found(kept("old", ""))), NOW)
    assert (after.step.move, after.step.cause) == (Move.KEEP, "StableUnknown")
    assert after.status.candidate is None


@pytest.mark.parametrize(
    ("level", "direction"),
    [(Autonomy.OBSERVE, Direction.KEEP), (Autonomy.SUGGESTION_ONLY, Direction.LOWER), (None, Direction.KEEP)],
)
def test_where_nothing_says_who_served_nobody_goes_further_than_to_observe(level, direction):
    s = wiped(found(kept("old", "")))
    live = None if level is None else Exposure(autonomy=level)
    after = decide(replace(s, live=replace(s.live, exposure=live)), NOW)
    assert (after.step.cause, after.direction) == ("StableUnknown", direction)


def test_a_permission_that_no_status_knows_is_taken_back_before_a_first_release_begins():
    after = decide(wiped(None, live=Exposure(autonomy=Autonomy.SUGGESTION_ONLY)), NOW)
    assert (after.step.move, after.step.cause) == (Move.RECOVER, "StatusLost")
    assert decide(wiped(None), NOW).step.move is Move.START


def test_who_serves_has_nothing_to_recover():
    s = replace(standing(), former=found(kept("old")))
    assert decide(s, NOW).step.move is Move.ENTER
