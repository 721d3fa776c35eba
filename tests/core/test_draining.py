"""Sessions on a candidate that goes: answers for a while where that is safe, actions never."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.situations import LOADING, NOW, WITHDRAWING, judged, standing

from agentrelease.api.status import Outcome
from agentrelease.api.vocabulary import Autonomy, MetricClass
from agentrelease.core import draining, intent, succession
from agentrelease.core.exposure import NOTHING, Cohort, Exposure
from agentrelease.core.steps import Move, withdraw

DRAINED = {"header": "x-revision", "answers": "drain", "drainFor": "120s"}
GONE = withdraw(Outcome.ROLLED_BACK, "GuardrailBreached", "it failed")


def spec(**sessions: Any) -> dict[str, Any]:
    return {"rollback": {"holdBudget": "10s", "sessions": DRAINED | sessions}}


def until(
    *, step: Any = GONE, before: Exposure | None = None, given: dict[str, Any] | None = None, **s: Any
) -> float:
    situation = replace(standing(spec=spec() if given is None else given), **s)
    return draining.until(situation, step, before or intent.exposure(situation.release), NOW)


def test_sessions_of_a_candidate_that_was_rolled_back_are_answered_for_the_time_that_is_set():
    assert until() == NOW + 120.0


def test_nothing_is_left_where_it_is_cut_unsafe_contended_or_nobody_was_answered():
    assert until(given={}) == 0.0
    assert until(given=spec(answers="cut")) == 0.0
    assert until(before=Exposure(mirror=100.0)) == 0.0
    assert until(step=withdraw(Outcome.SUPERSEDED, "Superseded", "another bundle")) == 0.0
    for cause in ("RollbackResumed", "Contended"):
        assert until(step=withdraw(Outcome.ROLLED_BACK, cause, "why")) == 0.0
    assert until(assessment=judged(bad=12, of=MetricClass.SAFETY)) == 0.0
    assert until(assessment=judged(bad=12, of=MetricClass.QUALITY)) == NOW + 120.0
    assert until(assessment=None) == NOW + 120.0, "that evidence is missing is no proof of danger"


@pytest.mark.parametrize(("by", "cookie"), [("header", False), ("cookie", True)])
def test_who_carries_the_revision_is_answered_and_nothing_is_done_for_them(by: str, cookie: bool):
    sessions = {"answers": "drain", "drainFor": "120s", by: "x-revision"}
    given = {"rollback": {"holdBudget": "10s", "sessions": sessions}}
    release = standing(spec=given, **WITHDRAWING, drainUntil=NOW + 60).release
    candidate = release.status.candidate
    assert candidate is not None
    left = draining.exposure(release, candidate)
    assert left.cohort == Cohort("x-revision", candidate.revision, cookie=cookie)
    assert (left.weight, left.mirror, left.autonomy, left.strata) == (0.0, 0.0, Autonomy.OBSERVE, ())
    assert left.tools == {"kb.search"}
    assert intent.exposure(release) == left


def test_the_time_ends_by_itself_by_an_edit_and_by_deletion():
    def over(at: float, given: dict[str, Any] | None = None, **changed: Any) -> bool:
        release = standing(spec=spec() if given is None else given, **WITHDRAWING, drainUntil=NOW).release
        release = release.model_copy(update=changed)
        assert release.status.candidate is not None
        return draining.over(release, release.status.candidate, at)

    assert [over(NOW - 1), over(NOW)] == [False, True]
    assert over(NOW - 1, given={})
    assert over(NOW - 1, given=spec(answers="cut"))
    assert over(NOW - 1, deleting=True)


def test_who_is_not_drained_and_who_loads_exposes_nothing():
    for changed in ({**WITHDRAWING, "drainUntil": 0.0}, LOADING):
        assert intent.exposure(standing(spec=spec(), **changed).release) == NOTHING
    assert intent.exposure(standing(**WITHDRAWING, drainUntil=NOW).release) == NOTHING


def test_a_withdrawal_writes_down_until_when():
    s = standing(spec=spec())
    after = succession.apply(s.release, s, GONE, NOW)
    assert after.candidate is not None
    assert (after.candidate.drain_until, after.candidate.outcome) == (NOW + 120.0, Outcome.ROLLED_BACK)
    cut = succession.apply(
        s.release.model_copy(update={"status": after}), s, replace(GONE, move=Move.CUT_SESSIONS), NOW
    )
    assert cut.candidate is not None
    assert cut.candidate.drain_until == 0.0
