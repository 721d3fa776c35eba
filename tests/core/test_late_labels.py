"""A guardrail on late labels is judged on tasks that ended in the phase, and proves harm at any time."""

from __future__ import annotations

import pytest

from agentrelease.api.phase import Phase
from agentrelease.core.assess import Requirements, Verdict, assess
from agentrelease.core.evidence import Count
from agentrelease.core.forecast import Flow, outlook

LATE = 600.0


@pytest.fixture
def late(make):
    return make.plan(make.guardrail("corrections", window=LATE))


def minutes(make, number, candidate, stable=(570, 57)):
    return [make.block(n, {"corrections": {"": (candidate, stable)}}) for n in range(number)]


def test_nothing_is_safe_before_a_window_of_the_phase_is_over(make, late):
    good = (300, 30)
    early = make.absorbed(late, minutes(make, 10, good))
    state = early.metrics["corrections"]
    assert set(state.safe) == {0}
    assert state.strata[""].candidate == Count(0, 0)
    said = assess(late, early, 600.0 - 60.0, Requirements())
    assert said.verdict is Verdict.HOLD
    assert said.reason == "collecting: corrections: labels of this phase's first tasks are complete in 60 s"
    whole = make.absorbed(late, minutes(make, 40, good))
    assert whole.metrics["corrections"].strata[""].candidate.n == 30 * 300
    assert assess(late, whole, 2400.0, Requirements()).verdict is Verdict.PROMOTE


def test_it_is_not_blind_while_it_waits(make, late):
    early = make.absorbed(late, minutes(make, 9, (0, 0)))
    assert assess(late, early, 540.0, Requirements()).verdict is Verdict.HOLD


def test_a_new_phase_waits_again(make, late):
    ledger = make.absorbed(late, minutes(make, 40, (300, 30))).enter_phase(2400.0)
    assert assess(late, ledger, 2400.0, Requirements(min_samples=0)).verdict is not Verdict.PROMOTE
    ready = make.absorbed(late, minutes(make, 11, (300, 30)))
    assert ready.metrics["corrections"].strata[""].candidate.n == 300


def test_harm_counts_in_the_first_window_too(make, late):
    bad = make.absorbed(late, minutes(make, 9, (300, 120)))
    assert assess(late, bad, 540.0, Requirements()).verdict is Verdict.ROLLBACK


def test_the_forecast_waits_for_the_window(make, late):
    phase = Phase.model_validate({"name": "half", "weight": 50, "autonomy": "observe"})
    (slow,) = outlook([phase], late, Flow(1000.0, 0.0, {}))
    (fast,) = outlook([phase], make.plan(make.guardrail("corrections")), Flow(1000.0, 0.0, {}))
    assert slow.seconds is not None
    assert fast.seconds is not None
    assert slow.seconds == pytest.approx(fast.seconds + LATE)
