"""What was taken and how it comes back, and what is drained on the way out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.situations import NOW, judged, standing, with_
from tests.support.stage import SPEC

from agentrelease.api.status import Watching
from agentrelease.api.vocabulary import Action, Autonomy
from agentrelease.core import intent
from agentrelease.core.decision import Direction, decide
from agentrelease.core.exposure import NOTHING
from agentrelease.core.situation import Desired, Live, Situation
from agentrelease.core.steps import Move
from agentrelease.core.watch import notified


def test_what_was_taken_comes_back_level_by_level_and_only_in_an_open_window() -> None:
    s = standing(autonomyCap="observe", toolsCut=2, interventions=2)
    assert decide(replace(s, closed="it is Friday"), NOW).step.cause == "WindowClosed"
    seen = []
    for _ in range(5):
        found = decide(replace(s, live=Live(intent.exposure(s.release))), NOW)
        candidate = found.status.candidate
        assert candidate is not None
        seen.append((found.step.move, candidate.autonomy_cap, candidate.tools_cut))
        assert found.direction is Direction.RAISE
        waited = candidate.model_copy(update={"settling_until": 0.0, "confirmed_at": NOW - 590})
        status = found.status.model_copy(update={"candidate": waited})
        s = replace(s, release=s.release.model_copy(update={"status": status}))
    back = Move.GIVE_BACK
    assert seen[:4] == [
        (back, Autonomy.SUGGESTION_ONLY, 2), (back, None, 2), (back, None, 1), (back, None, 0),
    ]  # fmt: skip
    assert seen[4][0] is Move.ENTER


def test_evidence_of_what_agents_did_before_they_took_up_a_lower_level_takes_nothing_more() -> None:
    lease = SPEC["delivery"]["flags"]["leaseSeconds"]
    harmed = {"assessment": judged(12, 15, Action.LOWER_AUTONOMY)}
    first = decide(with_(standing(), harmed), NOW).status.candidate
    assert first is not None
    assert (first.autonomy_cap, first.settling_until) == (Autonomy.SUGGESTION_ONLY, NOW + lease)
    kept = decide(standing(), NOW).status.candidate
    assert kept is not None
    assert kept.settling_until == 0.0
    before = with_(standing(settlingUntil=NOW + lease), harmed)
    assert decide(before, NOW).step.cause == "Settling"


def test_a_breach_that_asks_for_a_rollback_is_answered_while_agents_take_up_what_was_taken() -> None:
    s = with_(standing(settlingUntil=NOW + 30.0), {"assessment": judged(12, 15, Action.ROLLBACK)})
    assert decide(s, NOW).step.move is Move.WITHDRAW


SESSIONS = {"rollback": {"holdBudget": "10s", "sessions": {"cookie": "release", "drainFor": "20s"}}}


def test_sessions_are_drained_for_their_time_and_then_cut() -> None:
    gone = {"assessment": judged(bad=12, minutes=15)}
    s = with_(standing(spec=SESSIONS), gone)
    found = decide(s, NOW)
    candidate = found.status.candidate
    assert candidate is not None
    assert candidate.drain_until == NOW + 20.0
    assert (found.intended.weight, found.intended.autonomy) == (0.0, Autonomy.OBSERVE)
    assert str(found.intended.cohort) == f"cookie release={candidate.revision}"
    assert found.intended.tools == {"kb.search"}, "reading is no action"
    draining = replace(s, release=s.release.model_copy(update={"status": found.status}))
    draining = replace(draining, live=Live(found.intended))
    kept, cut = decide(draining, NOW + 19.0), decide(draining, NOW + 20.0)
    assert (kept.step.cause, kept.intended) == ("Draining", found.intended)
    assert (cut.step.move, cut.intended, cut.direction) == (Move.CUT_SESSIONS, NOTHING, Direction.LOWER)


@pytest.mark.parametrize("of", [{}, {"answers": "cut"}])
def test_without_a_time_to_drain_everybody_is_cut_at_once(of: dict[str, str]) -> None:
    rollback = {"holdBudget": "10s"} | ({"sessions": {"cookie": "release", **of}} if of else {})
    found = decide(with_(standing(spec={"rollback": rollback}), {"assessment": judged(12, 15)}), NOW)
    assert found.intended == NOTHING
    assert found.status.candidate is not None
    assert found.status.candidate.drain_until == 0.0


def serving(**status: object) -> Situation:
    """The bundle of the spec serves, and is watched; nothing is on its way."""
    s = standing()
    stable = s.release.status.stable
    assert stable is not None
    mine = stable.model_copy(update={"revision": s.desired.revision, "digest": s.desired.digest})
    watch = Watching(since=NOW - 60.0)
    new = s.release.status.model_copy(update={"candidate": None, "stable": mine, "watch": watch, **status})
    return replace(s, release=s.release.model_copy(update={"status": new}), live=Live(NOTHING))


def test_ready_reconciling_and_stalled_say_which_of_three_a_release_is() -> None:
    unread = replace(serving(), desired=Desired("sha256:" + "c" * 64, "support-next"), claim="taken")
    for s, is_so in ((serving(), "Ready"), (standing(), "Reconciling"), (unread, "Stalled")):
        told = {one.type: one.status for one in decide(s, NOW).status.conditions}
        assert [kind for kind in ("Ready", "Reconciling", "Stalled") if told[kind] == "True"] == [is_so]


def test_who_is_promoted_keeps_what_the_last_phase_holds_lower() -> None:
    high = [{"match": {"risk_tier": "high"}, "autonomy": "suggestion-only"}]
    phases = [*SPEC["phases"][:-1], SPEC["phases"][-1] | {"strata": high}]
    release = standing(spec={"phases": phases}).release
    (kept,) = intent.final_strata(release, Autonomy.FULL_ACTION)
    assert (kept.match, kept.autonomy) == ({"risk_tier": "high"}, Autonomy.SUGGESTION_ONLY)
    assert intent.final_strata(release, Autonomy.SUGGESTION_ONLY) == []
    assert intent.final_autonomy(release) is Autonomy.FULL_ACTION


def test_a_mild_guardrail_tells_of_what_serves_and_changes_nothing() -> None:
    assert notified(serving()) == ""
    told = notified(replace(serving(), assessment=judged(12, 15, Action.NOTIFY)))
    assert told.startswith("failures is worse than")
    assert notified(replace(standing(), assessment=judged(12, 15, Action.NOTIFY))) == ""
