"""Wealth of bets: opening a stratum, or beginning to bet, is worth nothing by itself."""

from __future__ import annotations

import pytest
from tests.core.conftest import absorbed, block, event, guardrail, plan

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.evidence import Absolute, Block, Cell, Concurrent, Count, Frozen, Paired, Recorded
from agentrelease.core.ledger import Ledger
from agentrelease.core.wealth import UNIT, Onset, StratumState, plug_in


@pytest.mark.parametrize("stake", [0, -UNIT, -5 * UNIT])
@pytest.mark.parametrize(("waiting", "fresh"), [(0.15, 0.0), (0.075, 0.075), (0.15, 0.85)])
def test_a_bet_that_has_only_begun_is_worth_its_stake(waiting: float, fresh: float, stake: int):
    onset = Onset(waiting, fresh)
    begun = onset.start(onset.initial(stake), stake)
    assert onset.log_evidence(begun, stake) == pytest.approx(stake / UNIT, abs=2e-4)


def test_what_waits_for_a_later_onset_is_not_lost_with_the_rest():
    lost = (-100 * UNIT,) * 3
    assert Onset(0.15).log_evidence(lost) == pytest.approx(-1.897, abs=1e-3), "0.15 of the wealth still waits"
    assert Onset(0.15).log_evidence(lost, -UNIT) == pytest.approx(-2.897, abs=1e-3)


def test_stables_rate_is_what_was_expected_until_it_is_seen_and_never_quite_0_or_1():
    one = guardrail(expected=0.1)
    assert plug_in(one, StratumState()) == pytest.approx(0.1)
    assert plug_in(one, StratumState(past=Count(50, 15))) == pytest.approx(0.2)
    assert plug_in(one, StratumState(past=Count(1e9, 0))) == 1e-6
    assert plug_in(one, StratumState(past=Count(1e9, 1e9))) == 0.999


def test_an_event_that_was_answered_is_forgiven_and_others_are_not():
    made = plan(event("first"), event("second"))
    seen = Block(0.0, 60.0, {}, {"first": 2.0, "second": 1.0})
    ledger = Ledger.new(made, 0.0).absorb(made, seen, Autonomy.OBSERVE, Concurrent())
    assert ledger.events == {"first": 2.0, "second": 1.0}
    assert ledger.forgiven(["first"], 60.0).events == {"first": 0, "second": 1.0}


def test_a_phase_begins_with_no_samples_and_harm_goes_on():
    made = plan()
    ledger = absorbed(made, [block(n, {"failures": {"": ((30, 6), (570, 57))}}) for n in range(5)])
    before, after = (one.metrics["failures"] for one in (ledger, ledger.enter_phase(ledger.through)))
    assert (after.pooled, after.strata[""].harm) == (before.pooled, before.strata[""].harm)
    assert after.strata[""].past == before.strata[""].past
    assert (after.strata[""].candidate, after.strata[""].stable) == (Count(0, 0), Count(0, 0))
    assert before.strata[""].candidate == Count(150, 30)
    assert set(after.safe) == {0}


def test_an_arm_that_is_unknown_changes_no_count_and_no_bet():
    made = plan()
    known = absorbed(made, [block(n, {"failures": {"": ((30, 3), (570, 57))}}) for n in range(3)])
    half = Block(180.0, 240.0, {"failures": {"": Cell(Count(30, 30), None)}})
    later = absorbed(made, [half], ledger=known)
    before, after = known.metrics["failures"], later.metrics["failures"]
    assert (after.pooled, after.safe) == (before.pooled, before.safe)
    assert after.known_at == before.known_at


def pair(n: float, mine: float, theirs: float, both: float) -> Cell:
    return Cell(Count(n, mine), Count(n, theirs), both=both)


def test_a_metric_is_compared_in_pairs_from_the_first_stratum_that_has_any():
    made = plan(required=())
    known = absorbed(made, [Block(0.0, 60.0, {"failures": {"a": pair(50, 5, 5, 4)}})], Paired())
    some = {"failures": {"a": pair(50, 5, 5, 4), "b": Cell(Count(9, 1), Count(9, 1))}}
    more = absorbed(made, [Block(60.0, 120.0, some)], Paired(), known).metrics["failures"]
    assert more.paired is True
    assert more.strata["a"].candidate == Count(100, 10), "the same kind of evidence goes on"


def test_what_pairs_have_shown_in_the_phase_is_expected_of_the_next_ones():
    """Two agents that fail alike disagree seldom: a few disagreements more are then the more surprising."""
    made, evidence = plan(), []
    for both in (30.0, 0.0):
        alike = {"failures": {"": pair(300, 30, 30, both)}}
        learned = absorbed(made, [Block(60.0 * n, 60.0 * n + 60.0, alike) for n in range(3)], Paired())
        last = Block(180.0, 240.0, {"failures": {"": pair(300, 45, 30, 30)}})
        after = absorbed(made, [last], Paired(), learned)
        evidence.append(after.metrics["failures"].pooled[0] - learned.metrics["failures"].pooled[0])
    assert evidence[0] > evidence[1]


def test_without_stable_a_metric_is_known_where_one_stratum_of_it_is():
    cells = {"failures": {"a": Cell(Count(30, 3)), "b": Cell(None, Count(30, 3))}}
    ledger = absorbed(plan(guardrail(ceiling=0.3)), [Block(0.0, 60.0, cells)], Absolute())
    assert ledger.metrics["failures"].known_at == 60.0


@pytest.mark.parametrize("comparison", [Frozen({"failures": {"": Recorded(Count(900, 90))}}), Concurrent()])
def test_of_tasks_from_before_the_phase_stables_rate_is_learned_where_there_is_any(comparison):
    stable = Count(570, 114) if comparison == Concurrent() else None
    early = Block(0.0, 60.0, {"failures": {"": Cell(Count(30, 9), stable)}}, early=True)
    after = absorbed(plan(), [early], comparison).metrics["failures"].strata[""]
    assert after.past == (stable or Count(0, 0))
    assert max(after.harm) > 0
    assert after.candidate == Count(0, 0)
