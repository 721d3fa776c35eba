"""What people read of a judgement: the figures of a line, and its sentences."""

from __future__ import annotations

from math import e, isclose, log, log10

import pytest
from tests.core.conftest import absorbed, block, event, guardrail, plan

from agentrelease.core import words
from agentrelease.core.assess import Requirements, assess
from agentrelease.core.contrast import Pairs
from agentrelease.core.evidence import Block, Cell, Count, Paired
from agentrelease.core.grounds import Seen
from agentrelease.core.guardrails import Kind, Margin, MetricVerdict, Offline
from agentrelease.core.offline import Run, Runs


def line(made, blocks):
    ledger = absorbed(made, blocks)
    return assess(made, ledger, ledger.through + 1.0, Requirements()).metrics[0]


@pytest.mark.parametrize("bad", [0, 3, 15, 30])
def test_the_interval_holds_the_estimate_stays_a_difference_of_shares_and_narrows(steady, bad) -> None:
    few, more, many = (line(plan(), steady(minutes, (30, bad))) for minutes in (1, 20, 400))
    apart = bad / 30 - 0.1
    for one in (few, more, many):
        low, high = one.interval
        assert isclose(one.estimate, apart, abs_tol=1e-3)
        assert -1.0 <= low <= one.estimate <= high <= 1.0
    assert few.interval[0] < more.interval[0] < many.interval[0]
    assert few.interval[1] >= more.interval[1] > many.interval[1]
    assert apart - 0.05 < many.interval[0]
    assert many.interval[1] < apart + 0.05


def test_evidence_and_its_bounds_are_said_as_powers_of_ten(steady) -> None:
    made = plan(guardrail(alpha=0.01, weight=0.5), guardrail("other", weight=0.5), false_rollback=0.02)
    blocks = [
        block(n, {"failures": {"": ((30, 3), (570, 57))}, "other": {"": ((30, 3), (570, 57))}})
        for n in range(60)
    ]
    found = line(made, blocks)
    assert isclose(found.harm_bound, log10(1 / (0.02 * 0.5)))
    assert isclose(found.safe_bound, log10(1 / 0.01))
    assert found.safe_evidence >= found.safe_bound
    assert found.harm_evidence < found.harm_bound
    assert found.verdict is MetricVerdict.PASS


@pytest.mark.parametrize(
    ("bad", "verdict", "of"), [(6, MetricVerdict.HARM, "harm"), (3, MetricVerdict.PASS, "safe")]
)
def test_a_verdict_is_reached_where_the_evidence_that_is_shown_reaches_the_bound_that_is_shown(
    bad: int, verdict: MetricVerdict, of: str
) -> None:
    made, seen = plan(), set()
    for minutes in range(1, 40):
        one = line(made, [block(n, {"failures": {"": ((30, bad), (570, 57))}}) for n in range(minutes)])
        reached = one.verdict is verdict
        assert reached is (getattr(one, f"{of}_evidence") >= getattr(one, f"{of}_bound"))
        seen.add(reached)
    assert seen == {True, False}


@pytest.mark.parametrize(("mine", "theirs", "end"), [((3, 3), (570, 0), 1), ((3, 0), (570, 570), 0)])
def test_no_interval_goes_beyond_what_a_difference_of_shares_can_be(mine, theirs, end: int) -> None:
    found = line(plan(), [block(0, {"failures": {"": (mine, theirs)}})])
    assert found.interval is not None
    assert abs(found.interval[end]) == 1.0


def test_an_evaluation_shows_both_runs_their_difference_and_no_evidence_that_grows() -> None:
    gold = guardrail(
        "gold", kind=Kind.OFFLINE, weight=0.0, floor=0.5, offline=Offline("gold", 10, compared=True)
    )
    made = plan(guardrail(), gold)
    ledger = absorbed(made, [block(0, {"failures": {"": ((30, 3), (570, 57))}})])

    def run(revision: str, bad: float) -> Run:
        return Run(revision, "gold", "2026-11", 200, {"pass": 200 - bad, "fail": bad}, None, 50.0)

    known = Runs("v2", "v1", (run("v2", 30), run("v1", 10)))
    found = assess(made, ledger, ledger.through + 1.0, Requirements(), known).metrics[1]
    assert (found.candidate, found.stable, found.compared) == (Count(200, 30), Count(200, 10), "evaluation")
    assert found.estimate == pytest.approx(0.1)
    evidence = found.harm_evidence, found.harm_bound, found.safe_evidence, found.safe_bound, found.needed
    assert evidence == (0.0,) * 5
    alone = assess(made, ledger, ledger.through + 1.0, Requirements(), Runs("v2", "", (run("v2", 30),)))
    assert alone.metrics[1].estimate is None


def test_a_group_that_has_enough_passes_while_another_one_waits() -> None:
    made = plan(required=("tier=high", "tier=mid"))
    cells = {"failures": {"tier=high": ((60, 6), (570, 57)), "tier=mid": ((0, 0), (10, 1))}}
    ledger = absorbed(made, [block(n, cells) for n in range(20)])
    lines = assess(made, ledger, ledger.through + 1.0, Requirements()).metrics
    found = {one.stratum: (one.verdict, one.needed > 0) for one in lines}
    assert found["tier=high"] == (MetricVerdict.PASS, False)
    assert found["tier=mid"] == (MetricVerdict.COLLECTING, True)
    high = next(one for one in lines if one.stratum == "tier=high")
    assert high.safe_evidence >= high.safe_bound


def test_before_any_task_there_is_no_estimate_and_no_interval() -> None:
    found = line(plan(), [block(0, {})])
    assert (found.estimate, found.interval) == (None, None)
    assert (found.candidate, found.stable, found.compared) == (Count(0, 0), Count(0, 0), "")


def test_a_line_says_whether_pairs_or_arms_were_compared_where_it_could_be_either() -> None:
    made = plan(guardrail(pairs="completion"))
    pairs = Block(0.0, 60.0, {"failures": {"": Cell(Count(300, 30), Count(300, 30), both=20)}})
    arms = block(0, {"failures": {"": ((300, 30), (300, 30))}})
    for one, said in ((pairs, "pairs"), (arms, "arms")):
        ledger = absorbed(made, [one], Paired())
        (found,) = assess(made, ledger, ledger.through + 1.0, Requirements()).metrics
        assert found.compared == said
    assert line(plan(), [arms]).compared == ""


def test_events_are_counted_and_have_no_evidence_that_grows() -> None:
    made = plan(guardrail(), event())
    ledger = absorbed(made, [block(0, {}, events={"forbidden": 2})])
    found = assess(made, ledger, ledger.through + 1.0, Requirements()).metrics[1]
    assert (found.candidate, found.stable, found.estimate) == (Count(0, 2), Count(0, 0), None)
    evidence = found.harm_evidence, found.harm_bound, found.safe_evidence, found.safe_bound, found.needed
    assert evidence == (0.0,) * 5


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (20, "20 to 1"),
        (1234.5, "1,230 to 1"),
        (950_000, "950,000 to 1"),
        (1_100_000, "more than a million to 1"),
        (1e300, "more than a million to 1"),
    ],
)
def test_odds_are_said_in_three_digits_up_to_a_million(times: float, said: str) -> None:
    assert words.odds(log(times)) == said
    assert isclose(e ** log(times), times, rel_tol=1e-9)


def test_a_count_is_said_with_its_share_and_none_is_said_so() -> None:
    assert words.share(Count(1020, 12)) == "12 of 1,020 (1.18 %)"
    assert words.share(Count(1, 1)) == "1 of 1 (100 %)"
    assert words.share(Count(12.5, 2.5)) == "2.5 of 12.5 (20 %)"
    assert words.share(Count(0, 0)) == "nothing yet"


def test_both_arms_are_said_and_stable_only_where_it_has_something() -> None:
    assert (
        words.against(Seen(Count(90, 9), Count(1, 0))) == "9 of 90 (10 %) bad against 0 of 1 (0 %) in stable"
    )
    assert words.against(Seen(Count(90, 9), Count(0, 0))) == "9 of 90 (10 %) bad"


def test_pairs_are_said_by_which_side_was_bad_alone() -> None:
    seen = Seen(Count(200, 30), Count(200, 20), Pairs(200, 30, 20, 12))
    assert words.against(seen) == (
        "200 pairs of answers to the same request: 18 bad only in the candidate, 8 only in stable, 12 in both"
    )


def test_a_margin_that_no_number_of_tasks_excludes_is_said_so() -> None:
    seen, margin = Seen(Count(90, 9), Count(0, 0)), Margin(1.0, 0.05)
    assert "however many tasks there are" in words.collecting(margin, seen, float("inf"))
    assert words.collecting(margin, seen, 1200).endswith("about 1,200 more candidate tasks are needed")


def test_a_stratum_that_is_only_watched_says_no_evidence_of_safety() -> None:
    made = plan()
    cells = {"failures": {"tier=low": ((30, 3), (570, 57)), "tier=high": ((30, 3), (570, 57))}}
    ledger = absorbed(made, [block(n, cells) for n in range(20)])
    whole, *strata = assess(made, ledger, ledger.through + 1.0, Requirements()).metrics
    assert whole.safe_evidence > 0.0
    assert [(one.stratum, one.safe_evidence, one.needed) for one in strata] == [
        ("tier=high", 0.0, 0.0), ("tier=low", 0.0, 0.0),
    ]  # fmt: skip


def test_a_group_that_must_pass_shows_its_worst_stratum_and_passes_when_it_needs_no_more() -> None:
    made = plan(guardrail(max_harm_stratum=Margin(1.0, 0.1)), required=("tier=high",))
    cells = {
        "failures": {
            "kind=a,tier=high": ((20, 2), (570, 57)),
            "kind=b,tier=high": ((20, 3), (570, 57)),
            "tier=low": ((20, 2), (570, 57)),
        }
    }
    verdicts = []
    for minutes in (1, 20):
        ledger = absorbed(made, [block(n, cells) for n in range(minutes)])
        lines = assess(made, ledger, ledger.through + 1.0, Requirements()).metrics
        (group,) = (one for one in lines if one.stratum == "tier=high")
        assert (group.verdict is MetricVerdict.PASS) == (group.needed == 0)
        assert group.candidate.n == 40 * minutes
        verdicts.append(group.verdict)
        bad, good = (
            next(one.harm_evidence for one in lines if one.stratum == f"kind={kind},tier=high")
            for kind in "ba"
        )
        assert group.harm_evidence == bad > good
    assert verdicts == [MetricVerdict.COLLECTING, MetricVerdict.PASS]
