"""What was taken and how it comes back, and what is drained on the way out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.situations import NOW, judged, standing, with_
from tests.support.stage import SPEC

from agentrelease.api.vocabulary import Action, Autonomy
from agentrelease.core import intent
from agentrelease.core.decision import Direction, decide
from agentrelease.core.exposure import NOTHING
from agentrelease.core.situation import Live
from agentrelease.core.steps import Move


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
