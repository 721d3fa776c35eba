"""What a status keeps of each move: who serves, who was before, what is refused, how long it was watched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.situations import HALF, LOADING, NOW, WITHDRAWING, judged, standing, with_
from tests.support.stage import SPEC

from agentrelease.api.status import (
    MAX_HISTORY,
    MAX_MESSAGE,
    Refused,
    ReleaseStatus,
    Serving,
    Stage,
    Transition,
    Watching,
)  # fmt: skip
from agentrelease.api.vocabulary import Action, Autonomy
from agentrelease.core import intent
from agentrelease.core.decision import decide
from agentrelease.core.exposure import NOTHING
from agentrelease.core.instants import exact_stamp
from agentrelease.core.situation import Live, Situation
from agentrelease.core.steps import Move, Step
from agentrelease.core.succession import apply

LEFT: dict[str, Any] = {"evidence": "counts", "course": "steps", "reference": "record"}
PREVIOUS = Serving(revision="support-first", digest="sha256:first", slot="green", autonomy=Autonomy.OBSERVE)


def having(s: Situation, **status: Any) -> Situation:
    """Return the situation with fields of the status replaced."""
    new = s.release.status.model_copy(update=status)
    return replace(s, release=s.release.model_copy(update={"status": new}))


def after(s: Situation, step: Step) -> ReleaseStatus:
    return apply(s.release, s, step, NOW)


def test_a_promotion_keeps_who_served_before_and_watches_who_serves_now() -> None:
    s = having(standing(), **LEFT)
    status, mine = after(s, Step(Move.PROMOTE, "Promoted", "all passed")), s.release.status.candidate
    assert mine is not None
    assert status.candidate is None
    assert status.stable is not None
    assert (status.stable.revision, status.stable.slot) == (mine.revision, mine.slot)
    assert (status.stable.autonomy, status.stable.refusals) == (Autonomy.FULL_ACTION, 0)
    assert status.stable.since == exact_stamp(NOW)
    assert status.previous == s.release.status.stable
    assert (status.evidence, status.course, status.reference) == ("", "", "record")
    assert status.watch == Watching(since=NOW, permitted=Autonomy.FULL_ACTION)


def test_a_release_that_asks_for_no_watch_has_none() -> None:
    s = standing(spec={"watch": {"duration": "0s"}})
    assert after(s, Step(Move.PROMOTE, "Promoted", "")).watch is None


def test_who_was_capped_is_promoted_no_higher() -> None:
    s = standing(autonomyCap="suggestion-only")
    status = after(s, Step(Move.PROMOTE, "Promoted", ""))
    assert status.stable is not None
    assert status.watch is not None
    assert status.stable.autonomy is status.watch.permitted is Autonomy.SUGGESTION_ONLY


def test_who_is_promoted_in_spite_of_a_refusal_takes_its_times_along() -> None:
    s = standing()
    old = Refused(digest=s.desired.digest, revision="r", reason="it failed", at="then", times=2)
    other = old.model_copy(update={"digest": "sha256:other"})
    status = after(having(s, refused=[other, old]), Step(Move.PROMOTE, "Promoted", ""))
    assert status.refused == [other]
    assert status.stable is not None
    assert status.stable.refusals == 2


@pytest.mark.parametrize(("given", "said"), [("it breached", "it breached"), ("", "ordered a return to")])
def test_who_comes_back_by_order_refuses_whom_it_replaces_and_leaves_no_way_to_it(given, said: str) -> None:
    s = having(standing(recalled=True, reason=given), **LEFT)
    status, left = after(s, Step(Move.PROMOTE, "Promoted", "")), s.release.status.stable
    assert left is not None
    assert (status.previous, status.reference) == (None, "")
    assert [one.digest for one in status.refused] == [left.digest]
    assert said in status.refused[0].reason


def test_a_return_puts_back_who_served_before_and_refuses_who_serves() -> None:
    watched = {"watch": Watching(since=NOW - 9.0), "previous": PREVIOUS, "candidate": None}
    s = having(standing(), **watched)
    status = after(s, Step(Move.RETURN, "GuardrailBreached", "it is worse"))
    assert status.stable == PREVIOUS.model_copy(update={"since": exact_stamp(NOW)})
    assert (status.previous, status.watch, status.metrics) == (None, None, [])
    assert [one.reason for one in status.refused] == ["it is worse"]


def test_a_start_takes_the_slot_that_does_not_serve_and_begins_with_nothing() -> None:
    s = having(standing(), candidate=None, previous=PREVIOUS, watch=Watching(since=NOW - 9.0), **LEFT)
    status = after(s, Step(Move.START, "RolloutStarted", "loading it"))
    assert status.candidate is not None
    assert (status.candidate.slot, status.candidate.stage) == ("green", Stage.LOADING)
    assert (status.candidate.permitted, status.candidate.recalled) == (Autonomy.OBSERVE, False)
    times = {status.candidate.entered_at, status.candidate.ticked_at, status.candidate.started_at}
    assert times == {NOW}
    assert (status.candidate.confirmed_at, status.candidate.active_seconds) == (0.0, 0.0)
    assert (status.previous, status.watch, status.evidence, status.course) == (None, None, "", "")
    assert status.candidate.reason == "", "why it was ordered back is kept only of a breach"


def test_a_first_release_by_phases_loads_a_slot_that_nobody_reaches() -> None:
    bare = having(standing(spec={"firstRelease": "phases"}), candidate=None, stable=None)
    for served, slot in (({"support-blue"}, "green"), ({"support-green"}, "blue"), (set(), "blue")):
        s = with_(bare, {"live": {"served": frozenset(served)}})
        status = after(s, Step(Move.START, "RolloutStarted", ""))
        assert status.candidate is not None
        assert status.candidate.slot == slot


def test_a_first_release_that_is_promoted_as_asked_loads_the_first_slot_whoever_is_reached() -> None:
    bare = having(standing(spec={"firstRelease": "promote"}), candidate=None, stable=None)
    s = with_(bare, {"live": {"served": frozenset({"support-blue"})}})
    status = after(s, Step(Move.START, "RolloutStarted", ""))
    assert status.candidate is not None
    assert status.candidate.slot == "blue"


def test_after_a_lost_status_agents_may_still_have_what_nobody_remembers() -> None:
    recovered = Transition(
        at="", phase="", revision="", from_="", to="Recover: StatusLost", reason="", epoch=1
    )
    s = having(standing(), candidate=None, history=[recovered])
    status = after(s, Step(Move.START, "RolloutStarted", ""))
    assert status.candidate is not None
    assert status.candidate.permitted is max(Autonomy)


@pytest.mark.parametrize(("seconds", "counted"), [(1.0, 1.0), (3600.0, None)])
def test_time_counts_while_a_phase_is_watched_and_not_while_nobody_looks(seconds, counted) -> None:
    s = standing(tickedAt=NOW - seconds, activeSeconds=100.0)
    assert s.assessment is not None
    status = after(s, Step(Move.KEEP, "Collecting", "", running=True))
    assert status.candidate is not None
    most = 3.0 * s.assessment.grounds.plan.grid
    gained = status.candidate.active_seconds - 100.0
    assert gained == counted if counted else 0.0 < gained <= most < seconds
    assert status.candidate.ticked_at == NOW
    for still in (
        after(s, Step(Move.KEEP, "Paused", "")),
        after(replace(s, assessment=None), Step(Move.KEEP, "Collecting", "", running=True)),
        after(standing(confirmedAt=0.0, activeSeconds=100.0), Step(Move.KEEP, "", "", running=True)),
        after(standing(tickedAt=NOW + 5.0, activeSeconds=100.0), Step(Move.KEEP, "", "", running=True)),
    ):
        assert still.candidate is not None
        assert still.candidate.active_seconds == 100.0


def test_a_phase_is_confirmed_once_the_objects_show_it() -> None:
    s = standing(confirmedAt=0.0)
    keep = Step(Move.KEEP, "NotInSync", "")
    for live, confirmed in (
        (s.live, NOW),
        (Live(None), 0.0),
        (replace(s.live, traffic="the route isn't accepted"), 0.0),
        (Live(replace(intent.exposure(s.release), weight=1.0)), 0.0),
        (Live(replace(intent.exposure(s.release), weight=99.0)), 0.0),
    ):
        found = after(replace(s, live=live), keep).candidate
        assert found is not None
        assert found.confirmed_at == confirmed
    kept = after(standing(), keep).candidate
    assert kept is not None
    assert kept.confirmed_at == NOW - 590


def test_since_when_evidence_is_missing_is_kept_until_it_is_back() -> None:
    keep = Step(Move.KEEP, "EvidenceMissing", "")
    for since, blind, kept in (
        (0.0, "it is away", NOW),
        (NOW - 9, "it is away", NOW - 9),
        (NOW - 9, "", 0.0),
    ):
        found = after(replace(standing(blindSince=since), blind=blind), keep).candidate
        assert found is not None
        assert found.blind_since == kept


def test_a_phase_begins_with_a_clock_of_its_own_and_nothing_of_the_one_before() -> None:
    s = standing(blindSince=NOW - 9, approvalAsked=True)
    up = after(s, Step(Move.ENTER, "PhasePassed", "", phase=HALF + 1)).candidate
    back = after(s, Step(Move.STEP_BACK, "GuardrailBreached", "", phase=HALF - 1)).candidate
    edited = after(s, Step(Move.STEP_BACK, "PhasesEdited", "", phase=HALF - 1)).candidate
    assert up is not None
    assert back is not None
    assert edited is not None
    for one, index in ((up, HALF + 1), (back, HALF - 1), (edited, HALF - 1)):
        assert (one.stage, one.phase_index) == (Stage.RUNNING, index)
        assert one.phase_name == s.release.spec.phases[index].name
        assert (one.entered_at, one.ticked_at) == (NOW, NOW)
        assert (one.confirmed_at, one.active_seconds, one.blind_since) == (0.0, 0.0, 0.0)
    assert [one.interventions for one in (up, back, edited)] == [0, 1, 0], "only a guardrail counts as one"
    assert [one.approval_asked for one in (up, back, edited)] == [False, True, True]


def test_an_intervention_takes_one_thing_and_its_window_begins_anew() -> None:
    s = standing()
    steps = {
        "autonomy_cap": Step(Move.CAP, "GuardrailBreached", "", cap=Autonomy.OBSERVE),
        "tools_cut": Step(Move.CUT_TOOLS, "GuardrailBreached", ""),
        "fallback": Step(Move.FALL_BACK, "GuardrailBreached", ""),
    }
    taken = {"autonomy_cap": Autonomy.OBSERVE, "tools_cut": 1, "fallback": True}
    nothing = {"autonomy_cap": None, "tools_cut": 0, "fallback": False}
    for name, step in steps.items():
        found = after(s, step).candidate
        assert found is not None
        assert {n: getattr(found, n) for n in nothing} == nothing | {name: taken[name]}
        assert (found.interventions, found.active_seconds) == (1, 0.0)


def test_a_drained_candidate_begins_again_without_a_phase_and_is_not_refused() -> None:
    found = after(standing(blindSince=NOW - 9), Step(Move.DRAIN, "EvidenceMissing", ""))
    assert found.candidate is not None
    assert (found.candidate.stage, found.candidate.phase_index) == (Stage.LOADING, -1)
    assert (found.candidate.phase_name, found.candidate.granted) == ("", None)
    assert (found.candidate.blind_since, found.refused) == (0.0, [])


@pytest.mark.parametrize(("outcome", "refused"), [("RolledBack", True), ("Superseded", False)])
def test_who_was_rolled_back_is_refused_and_who_was_replaced_is_not(outcome: str, refused: bool) -> None:
    s = having(standing(**WITHDRAWING | {"outcome": outcome}), **LEFT)
    status = after(s, Step(Move.FINISH, "Withdrawn", "it is out"))
    assert (status.candidate, status.evidence, status.course) == (None, "", "")
    assert [one.reason for one in status.refused] == ["it failed"] * refused
    assert status.stable == s.release.status.stable
    last = status.history[-1]
    assert last.phase == ("RolledBack" if refused else "Promoted")
    assert (last.from_, last.to) == ("RollingBack", "Finish: Withdrawn")


def test_every_move_is_a_line_of_a_bounded_history_and_a_hold_is_none() -> None:
    s = standing()
    assert after(s, Step(Move.KEEP, "Collecting", "")).history == []
    for number in range(MAX_HISTORY + 3):
        s = having(s, history=after(s, Step(Move.CUT_TOOLS, str(number), "x" * 2 * MAX_MESSAGE)).history)
    lines = s.release.status.history
    assert [one.to for one in lines] == [f"{Move.CUT_TOOLS}: {n}" for n in range(3, MAX_HISTORY + 3)]
    assert {len(one.reason) for one in lines} == {MAX_MESSAGE}
    assert {one.revision for one in lines} == {s.desired.revision}


def test_a_level_below_counts_as_forbidden_only_when_agents_have_taken_it_up_or_their_lease_is_over() -> None:
    """``half`` allows limited action; the cap takes it away, and what was begun before was allowed."""
    s = standing(permitted="limited-action", autonomyCap="suggestion-only")
    keep = Step(Move.KEEP, "Collecting", "")
    lease = s.release.spec.delivery.flags.lease_seconds
    first = after(s, keep).candidate
    assert first is not None
    assert (first.permitted, first.permitted_until) == (Autonomy.LIMITED_ACTION, NOW + lease)
    waiting = standing(
        permitted="limited-action", autonomyCap="suggestion-only", permittedUntil=NOW + lease
    )  # fmt: skip
    for measured, at, permitted in (
        (Autonomy.LIMITED_ACTION, NOW + 1, Autonomy.LIMITED_ACTION),
        (None, NOW + 1, Autonomy.LIMITED_ACTION),
        (Autonomy.SUGGESTION_ONLY, NOW + 1, Autonomy.SUGGESTION_ONLY),
        (Autonomy.LIMITED_ACTION, NOW + lease, Autonomy.SUGGESTION_ONLY),
    ):
        found = apply(
            waiting.release, with_(waiting, {"measured": {"autonomy": measured}}), keep, at
        ).candidate
        assert found is not None
        assert found.permitted is permitted
        assert bool(found.permitted_until) is (permitted is Autonomy.LIMITED_ACTION)
    raised = after(standing(permitted="observe"), keep).candidate
    assert raised is not None
    assert (raised.permitted, raised.permitted_until) == (Autonomy.LIMITED_ACTION, 0.0)


def test_what_serves_is_lowered_and_raised_with_a_watch_that_begins_anew() -> None:
    high = [{"match": {"risk_tier": "high"}, "autonomy": "suggestion-only"}]
    phases = [*SPEC["phases"][:-1], SPEC["phases"][-1] | {"strata": high}]
    s = standing(spec={"phases": phases})
    lease = s.release.spec.delivery.flags.lease_seconds
    stable = s.release.status.stable
    assert stable is not None
    stable = stable.model_copy(update={"strata": intent.final_strata(s.release, Autonomy.FULL_ACTION)})
    watch = Watching(since=NOW - 9.0, permitted=Autonomy.FULL_ACTION, evidence="counts")
    s = having(s, candidate=None, stable=stable, watch=watch)
    low = after(s, Step(Move.LOWER_STABLE, "GuardrailBreached", "worse", cap=Autonomy.SUGGESTION_ONLY))
    assert low.stable is not None
    assert low.watch is not None
    assert (low.stable.autonomy, low.stable.strata) == (Autonomy.SUGGESTION_ONLY, [])
    assert (low.watch.lowered, low.watch.evidence, low.watch.returning) == (1, "", "")
    assert (low.watch.permitted, low.watch.permitted_until) == (Autonomy.FULL_ACTION, NOW + lease)
    s = having(s, stable=low.stable, watch=low.watch)
    up = after(s, Step(Move.RAISE_STABLE, "Regained", "", cap=Autonomy.FULL_ACTION))
    assert up.stable is not None
    assert up.watch is not None
    assert (up.stable.autonomy, up.stable.strata) == (Autonomy.FULL_ACTION, stable.strata)
    assert (up.watch.lowered, up.watch.permitted_until) == (1, 0.0)
    assert up.watch.permitted is Autonomy.FULL_ACTION


def test_a_watch_ends_with_its_time() -> None:
    s = having(standing(spec={"watch": {"duration": "1h"}}), candidate=None)
    keep = Step(Move.KEEP, "Promoted", "")
    assert after(having(s, watch=Watching(since=NOW - 3601.0)), keep).watch is None
    assert after(having(s, watch=Watching(since=NOW - 3500.0)), keep).watch is not None


def test_a_withdrawal_says_why_and_ends_in_a_refusal_when_nothing_is_left() -> None:
    s = with_(standing(), {"assessment": judged(bad=12, action=Action.ROLLBACK)})
    status = decide(s, NOW).status
    assert status.candidate is not None
    assert (status.candidate.stage, status.candidate.entered_at) == (Stage.WITHDRAWING, NOW)
    assert (status.candidate.drain_until, status.phase) == (0.0, "RollingBack")
    assert status.candidate.reason.startswith("failures is worse than")
    gone = with_(having(s, candidate=status.candidate), {"live": Live(NOTHING)})
    gone = with_(gone, {"measured": {"recent": 0.0, "autonomy": None}})
    status = decide(gone, NOW + 1).status
    assert (status.phase, [one.revision for one in status.refused]) == ("RolledBack", [s.desired.revision])


def test_a_candidate_that_loads_has_no_clock() -> None:
    found = after(
        standing(**LOADING, tickedAt=NOW - 9), Step(Move.KEEP, "Loading", "", running=True)
    ).candidate
    assert found is not None
    assert (found.ticked_at, found.active_seconds) == (NOW - 9, 580)


def test_sessions_are_cut_once() -> None:
    found = after(standing(**WITHDRAWING, drainUntil=NOW + 9), Step(Move.CUT_SESSIONS, "SessionsCut", ""))
    assert found.candidate is not None
    assert found.candidate.drain_until == 0.0


def test_a_raise_from_outside_is_remembered_and_nothing_else_is() -> None:
    for cause, fights in (("DriftUndone", [NOW]), ("Collecting", [])):
        found = after(standing(), Step(Move.KEEP, cause, ""))
        assert found.candidate is not None
        assert found.candidate.fights == fights


def test_a_stratum_that_falls_alone_is_over_with_its_lease_for_agents_report_the_highest_of_all() -> None:
    spec = {"phases": [*SPEC["phases"]]}
    high = {"match": {"risk_tier": "high"}, "autonomy": "suggestion-only"}
    spec["phases"][HALF] = SPEC["phases"][HALF] | {"strata": [high]}
    lease = standing().release.spec.delivery.flags.lease_seconds
    s = standing(spec=spec, permitted="limited-action", permittedUntil=NOW + lease)
    s = with_(s, {"measured": {"autonomy": Autonomy.LIMITED_ACTION}})
    keep = Step(Move.KEEP, "Collecting", "")
    for at, strata in ((NOW + 1, []), (NOW + lease, [Autonomy.SUGGESTION_ONLY])):
        found = apply(s.release, s, keep, at).candidate
        assert found is not None
        assert [one.autonomy for one in found.permitted_strata] == strata


def test_what_is_given_back_is_judged_on_a_fresh_window() -> None:
    s = standing(autonomyCap="suggestion-only", toolsCut=1, interventions=2)
    found = after(s, Step(Move.GIVE_BACK, "WayBackEarned", "")).candidate
    assert found is not None
    assert (found.autonomy_cap, found.tools_cut, found.interventions) == (None, 1, 2)
    assert (found.confirmed_at, found.active_seconds) == (0.0, 0.0)


@pytest.mark.parametrize(("cause", "asked"), [("ApprovalRequired", True), ("Collecting", False)])
def test_who_has_asked_for_an_approval_once_does_not_ask_again(cause: str, asked: bool) -> None:
    first = after(standing(), Step(Move.KEEP, cause, "")).candidate
    assert first is not None
    assert first.approval_asked is asked
    again = after(standing(approvalAsked=True), Step(Move.KEEP, "Collecting", "")).candidate
    assert again is not None
    assert again.approval_asked


@pytest.mark.parametrize(
    ("recalled", "cause", "kept"),
    [
        (True, "GuardrailBreached", "it broke"),
        (True, "RollbackOrdered", ""),
        (False, "GuardrailBreached", ""),
    ],
)
def test_who_comes_back_because_of_a_breach_remembers_what_it_was(recalled, cause: str, kept: str) -> None:
    s = replace(having(standing(), candidate=None), recalled=recalled)
    found = after(s, Step(Move.START, cause, "it broke")).candidate
    assert found is not None
    assert found.reason == kept
