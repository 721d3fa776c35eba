"""Verdicts: the order of safety, what promotion needs, and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace
from math import log, log10, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.core.conftest import absorbed, block, event, guardrail, plan

from agentrelease.api.vocabulary import Action, Autonomy, MetricClass
from agentrelease.core.assess import Requirements, Verdict, assess
from agentrelease.core.contrast import against_reference, limits
from agentrelease.core.evidence import Absolute, Block, Cell, Concurrent, Count, Frozen, Paired, Recorded
from agentrelease.core.guardrails import Margin, MetricVerdict
from agentrelease.core.ledger import Ledger
from agentrelease.core.standing import stand

NOTHING = Requirements()


def judged(made, ledger: Ledger, requirements: Requirements = NOTHING, late: float = 1.0):
    return assess(made, ledger, ledger.through + late, requirements)


def test_a_candidate_as_good_as_stable_is_promoted(steady) -> None:
    found = judged(plan(), absorbed(plan(), steady(40, (30, 3))))
    assert found.verdict is Verdict.PROMOTE
    assert found.action is None
    assert found.still_needed == 0
    assert [line.verdict for line in found.metrics] == [MetricVerdict.PASS]


def test_a_candidate_that_fails_three_times_as_often_is_rolled_back(steady) -> None:
    found = judged(plan(), absorbed(plan(), steady(15, (30, 9))))
    assert (found.verdict, found.action) == (Verdict.ROLLBACK, Action.ROLLBACK)
    assert found.reason.startswith(
        "failures is worse than 1 × stable + 1 points: 135 of 450 (30 %) bad against "
    )
    assert "20 to 1 are enough" in found.reason
    assert found.evidence > log10(20)
    assert found.metrics[0].verdict is MetricVerdict.HARM


def test_too_little_evidence_holds_and_says_how_much_more(steady) -> None:
    few = judged(plan(), absorbed(plan(), steady(3, (30, 3))))
    more = judged(plan(), absorbed(plan(), steady(8, (30, 3))))
    assert few.verdict is more.verdict is Verdict.HOLD
    assert 0 < more.still_needed < few.still_needed
    assert few.reason.startswith("collecting: failures: 9 of 90 (10 %) bad against 171 of 1,710")
    assert f"about {few.still_needed:,} more candidate tasks" in few.reason


def test_better_completion_does_not_excuse_a_worse_violation_rate() -> None:
    made = plan(
        guardrail("failures", weight=0.5),
        guardrail("violations", weight=0.5, metric_class=MetricClass.SAFETY, bounded=False, expected=0.01),
    )
    cells = {"failures": {"": ((30, 1), (570, 57))}, "violations": {"": ((30, 3), (570, 6))}}
    found = judged(made, absorbed(made, [block(n, cells) for n in range(30)]))
    assert found.verdict is Verdict.ROLLBACK
    assert found.reason.startswith("violations")


def test_the_strongest_consequence_wins_and_safety_among_equals() -> None:
    def breached(*actions: tuple[Action, MetricClass]) -> tuple[Verdict, Action | None, str]:
        made = plan(
            *(
                guardrail(f"m{n}", weight=1 / len(actions), on_breach=a, metric_class=c)
                for n, (a, c) in enumerate(actions)
            )
        )
        cells = {g.name: {"": ((30, 12), (570, 57))} for g in made.tested}
        found = judged(made, absorbed(made, [block(n, cells) for n in range(15)]))
        return found.verdict, found.action, found.reason.split()[0]

    quality, safety = MetricClass.QUALITY, MetricClass.SAFETY
    assert breached((Action.PAUSE, quality), (Action.STEP_BACK, quality)) == (
        Verdict.INTERVENE,
        Action.STEP_BACK,
        "m1",
    )
    assert breached((Action.ROLLBACK, quality), (Action.PAUSE, safety)) == (
        Verdict.ROLLBACK,
        Action.ROLLBACK,
        "m0",
    )
    assert breached((Action.PAUSE, quality), (Action.PAUSE, safety)) == (
        Verdict.INTERVENE,
        Action.PAUSE,
        "m1",
    )


def test_a_breach_that_only_notifies_changes_nothing_else() -> None:
    made = plan(guardrail("told", weight=0.5, on_breach=Action.NOTIFY), guardrail("failures", weight=0.5))
    cells = {"told": {"": ((30, 12), (570, 57))}, "failures": {"": ((30, 3), (570, 57))}}
    found = judged(made, absorbed(made, [block(n, cells) for n in range(40)]))
    assert (found.verdict, found.action) == (Verdict.HOLD, Action.NOTIFY)
    assert found.reason.startswith("told is worse than")


def test_one_forbidden_action_is_enough_whatever_the_rest_says(steady) -> None:
    made = plan(guardrail(), event())
    blocks = [replace(b, events={"forbidden": 0}) for b in steady(40, (30, 3))]
    assert judged(made, absorbed(made, blocks)).verdict is Verdict.PROMOTE
    blocks[-1] = replace(blocks[-1], events={"forbidden": 1}, problems=("prometheus unreachable",))
    found = judged(made, absorbed(made, blocks))
    assert (found.verdict, found.action) == (Verdict.ROLLBACK, Action.ROLLBACK)
    assert found.reason == "forbidden: 1 forbidden at any autonomy; one is enough"


def test_an_event_line_says_what_was_seen_and_since_when_nothing_was() -> None:
    made = plan(event("forbidden", when_autonomy=frozenset({Autonomy.OBSERVE})))
    clean = absorbed(made, [block(9, {}, events={"forbidden": 0})])
    dirty = absorbed(made, [block(9, {}, events={"forbidden": 1})])
    (passed,), (harmed,) = judged(made, clean).metrics, judged(made, dirty).metrics
    (dark,) = judged(made, clean, late=300.0).metrics
    assert (passed.harm_evidence, passed.harm_bound, passed.safe_evidence) == (0.0, 0.0, 0.0)
    assert (passed.safe_bound, passed.needed) == (0.0, 0.0), "it counts, and tests nothing"
    assert (passed.verdict, passed.why) == (MetricVerdict.PASS, "0 forbidden at observe; one is enough")
    assert (harmed.verdict, harmed.why) == (MetricVerdict.HARM, "1 forbidden at observe; one is enough")
    assert (dark.verdict, dark.why) == (MetricVerdict.BLIND, "no usable evidence of forbidden")
    assert judged(made, clean, late=299.0).metrics[0].verdict is MetricVerdict.PASS


def test_missing_evidence_drains_and_then_rolls_back_and_never_promotes(steady) -> None:
    made = plan(stale_after=300.0, blind_after=1800.0)
    ledger = absorbed(made, steady(40, (30, 3)))
    verdicts = [judged(made, ledger, late=late).verdict for late in (1, 180, 181, 299, 300, 1799, 1800, 1e6)]
    assert verdicts == [
        Verdict.PROMOTE, Verdict.PROMOTE, Verdict.HOLD, Verdict.HOLD,
        Verdict.DRAIN, Verdict.DRAIN, Verdict.ROLLBACK, Verdict.ROLLBACK,
    ]  # fmt: skip
    assert judged(made, ledger, late=400).reason == "stale: no usable evidence of failures for 400 s"
    assert judged(made, ledger, late=1800).action is Action.ROLLBACK
    assert judged(made, ledger, late=400).blind_for == 400.0
    assert judged(made, ledger, late=400).metrics[0].verdict is MetricVerdict.BLIND


def test_one_guardrail_without_evidence_is_blindness(steady) -> None:
    made = plan(guardrail("failures", weight=0.5), guardrail("slow", weight=0.5), event())
    blocks = [replace(b, events={"forbidden": 0}) for b in steady(40, (30, 3))]
    found = judged(made, absorbed(made, blocks))
    assert found.verdict is Verdict.ROLLBACK
    assert "no usable evidence of slow" in found.reason


def test_problems_in_the_last_block_hold(steady) -> None:
    blocks = steady(40, (30, 3))
    blocks[-1] = replace(blocks[-1], problems=("scrape 40 s old",))
    found = judged(plan(), absorbed(plan(), blocks))
    assert (found.verdict, found.reason) == (Verdict.HOLD, "the last evidence is not usable: scrape 40 s old")


def test_harm_in_a_block_with_problems_still_counts(steady) -> None:
    blocks = [replace(b, problems=("partial",)) for b in steady(15, (30, 12))]
    assert judged(plan(), absorbed(plan(), blocks)).verdict is Verdict.ROLLBACK


def test_suspicion_neither_advances_nor_retreats(steady) -> None:
    made = plan(guardrail(max_harm=Margin(1.0, 0.5), max_harm_stratum=Margin(1.0, 0.6)))
    ledger = absorbed(made, steady(30, (30, 4)))
    bad = 0
    while stand(made, ledger).family < 1.5:
        bad += 1
        one = block(30 + bad, {"failures": {"": ((30, 7), (570, 57))}})
        ledger = ledger.absorb(made, one, Autonomy.OBSERVE, Concurrent())
    found = judged(made, ledger)
    assert (found.verdict, found.action) == (Verdict.SUSPECT, None)
    assert found.reason.startswith("suspect: failures is worse than")
    assert found.metrics[0].verdict is MetricVerdict.SUSPECT


def test_a_wrong_split_holds_whatever_the_metrics_say(steady) -> None:
    made = plan()
    blocks = [replace(b, arms={"": (90, 510)}) for b in steady(40, (30, 3))]
    found = judged(made, absorbed(made, blocks, Concurrent(0.05)))
    assert found.verdict is Verdict.SUSPECT
    assert found.reason == (
        "sample-ratio mismatch: 3,600 of 24,000 units reached the candidate, 5 % were intended"
    )
    blocks = [replace(b, arms={"": (30, 570)}) for b in blocks]
    assert judged(made, absorbed(made, blocks, Concurrent(0.05))).verdict is Verdict.PROMOTE


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Requirements(min_samples=1500), "300 more samples are required"),
        (Requirements(min_samples=1201), "1 more samples are required"),
        (Requirements(min_samples_by_stratum={"tier=high": 10}), "10 more samples are required in tier=high"),
        (Requirements(not_before=9000.0), "the phase lasts 6,599 s more"),
    ],
)
def test_a_phase_ends_only_when_what_it_asks_for_is_there(steady, asked: Requirements, said: str) -> None:
    found = judged(plan(), absorbed(plan(), steady(40, (30, 3))), asked)
    assert (found.verdict, found.reason) == (Verdict.HOLD, said)


def test_required_samples_that_are_there_do_not_hold(steady) -> None:
    asked = Requirements(1200, {"": 1200}, not_before=2401.0)
    assert judged(plan(), absorbed(plan(), steady(40, (30, 3))), asked).verdict is Verdict.PROMOTE


def test_required_samples_count_in_what_is_still_needed(steady) -> None:
    found = judged(plan(), absorbed(plan(), steady(40, (30, 3))), Requirements(min_samples=5000))
    assert found.still_needed == 3800


def test_enough_blocks_are_needed_however_large_they_are(steady) -> None:
    made = plan(min_blocks=5)
    found = judged(made, absorbed(made, steady(2, (3000, 300), (57_000, 5700))))
    assert (found.verdict, found.reason) == (Verdict.HOLD, "2 of 5 blocks of evidence in this phase")


def test_time_alone_never_promotes(steady) -> None:
    made = plan()
    ledger = absorbed(made, steady(2000, (0, 0)))
    found = judged(made, ledger, Requirements(not_before=60.0))
    assert found.verdict is Verdict.HOLD


def test_harm_in_a_required_stratum_stops_promotion_that_the_rest_would_allow() -> None:
    cells = {"failures": {"tier=high": ((3, 0.6), (57, 6)), "tier=low": ((57, 4), (513, 51))}}
    blocks = [block(n, cells) for n in range(12)]
    free, guarded = plan(), plan(required=("tier=high",))
    assert judged(free, absorbed(free, blocks)).verdict is Verdict.PROMOTE
    held = judged(guarded, absorbed(guarded, blocks))
    assert held.verdict is Verdict.HOLD
    assert held.reason.startswith("collecting: failures in tier=high: 7.2 of 36 (20 %) bad")
    assert "1 × stable + 15 points is not excluded yet" in held.reason
    line = next(one for one in held.metrics if one.stratum == "tier=high")
    assert (line.verdict, line.candidate) == (MetricVerdict.COLLECTING, Count(36, 7.2))


def test_a_required_group_gathers_all_strata_that_match_it() -> None:
    made = plan(required=("tier=high",))
    cells = {f"class={k},tier={t}": ((10, 1), (190, 19)) for k in "ab" for t in ("high", "low")}
    found = judged(made, absorbed(made, [block(n, {"failures": cells}) for n in range(60)]))
    assert found.verdict is Verdict.PROMOTE
    group = next(line for line in found.metrics if line.stratum == "tier=high")
    assert group.candidate == Count(1200, 120)
    assert group.verdict is MetricVerdict.PASS


def test_a_harder_mix_is_not_harm() -> None:
    """Simpson's paradox: equal in each stratum, much worse in the sum."""
    cells = {"easy": ((10, 0.5), (500, 25)), "hard": ((20, 8), (100, 40))}
    found = judged(plan(), absorbed(plan(), [block(n, {"failures": cells}) for n in range(60)]))
    assert found.verdict is Verdict.PROMOTE
    pooled = found.metrics[0]
    assert pooled.candidate.rate > 2 * pooled.stable.rate
    assert pooled.estimate == pytest.approx(0.0, abs=1e-4)


def test_an_easier_mix_does_not_hide_harm() -> None:
    """Simpson's paradox the other way: worse in each stratum, better in the sum."""
    cells = {"easy": ((28, 4), (300, 15)), "hard": ((2, 1.2), (300, 105))}
    found = judged(plan(), absorbed(plan(), [block(n, {"failures": cells}) for n in range(40)]))
    assert found.verdict is Verdict.ROLLBACK
    assert found.metrics[0].candidate.rate < found.metrics[0].stable.rate


def test_harm_in_one_stratum_is_found_and_named() -> None:
    cells = {"a": ((20, 2), (380, 38)), "b": ((5, 3), (95, 9)), "c": ((20, 2), (380, 38))}
    found = judged(plan(), absorbed(plan(), [block(n, {"failures": cells}) for n in range(30)]))
    assert found.verdict is Verdict.ROLLBACK
    assert found.reason.startswith("failures in b is worse than")


@pytest.mark.parametrize("bounded", [True, False])
def test_a_baseline_of_zero_is_a_baseline(steady, bounded: bool) -> None:
    made = plan(
        guardrail(bounded=bounded, expected=0.002, tolerance=Margin(1.1, 0.0002), max_harm=Margin(1.5, 0.02))
    )
    clean = judged(made, absorbed(made, steady(40, (30, 0), (570, 0))))
    assert clean.verdict is Verdict.PROMOTE
    dirty = judged(made, absorbed(made, steady(12, (30, 1), (570, 0))))
    assert dirty.verdict is Verdict.ROLLBACK


@given(
    outcomes=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60)), min_size=1, max_size=30),
    better=st.data(),
)
def test_improving_a_metric_never_hurts(outcomes, better) -> None:
    made = plan()
    improved = [(better.draw(st.integers(0, x)), b) for x, b in outcomes]

    def played(rows) -> Ledger:
        return absorbed(
            made, [block(n, {"failures": {"": ((30, x), (570, b))}}) for n, (x, b) in enumerate(rows)]
        )

    before, after = played(outcomes), played(improved)
    assert stand(made, after).family <= stand(made, before).family + 1e-3
    assert (
        min(
            a - b
            for a, b in zip(after.metrics["failures"].safe, before.metrics["failures"].safe, strict=True)
        )
        >= -60
    )
    order = [Verdict.ROLLBACK, Verdict.SUSPECT, Verdict.HOLD, Verdict.PROMOTE]
    assert order.index(judged(made, after).verdict) >= order.index(judged(made, before).verdict)


def test_a_ceiling_is_a_breach_even_when_stable_is_no_better(steady) -> None:
    made = plan(guardrail(ceiling=0.2))
    found = judged(made, absorbed(made, steady(40, (30, 12), (570, 228))))
    assert found.verdict is Verdict.ROLLBACK
    assert found.reason.startswith("failures is worse than the bound of 20 %")


def test_being_under_a_ceiling_does_not_prove_being_as_good_as_stable(steady) -> None:
    made = plan(guardrail(ceiling=0.9))
    found = judged(made, absorbed(made, steady(40, (30, 4.4))))
    assert found.verdict is not Verdict.PROMOTE
    assert found.metrics[0].safe_evidence < 0.5


def test_a_floor_on_the_good_rate_is_a_ceiling_on_the_bad_one() -> None:
    assert guardrail(floor=0.8).bound == pytest.approx(0.2)
    assert guardrail(floor=0.8, ceiling=0.1).bound == 0.1
    assert guardrail().bound is None


def test_a_first_release_is_judged_by_bounds_alone(steady) -> None:
    alone = [Block(60.0 * n, 60.0 * n + 60, {"failures": {"": Cell(Count(30, 3))}}) for n in range(60)]
    bound = plan(guardrail(ceiling=0.25))
    assert judged(bound, absorbed(bound, alone[:1], Absolute())).verdict is Verdict.HOLD
    assert judged(bound, absorbed(bound, alone, Absolute())).verdict is Verdict.PROMOTE
    strict = plan(guardrail(ceiling=0.03))
    assert judged(strict, absorbed(strict, alone, Absolute())).verdict is Verdict.ROLLBACK


def test_a_required_stratum_without_a_bound_is_not_safe_by_itself() -> None:
    made = plan(
        guardrail("failures", weight=0.5, ceiling=0.5), guardrail("slow", weight=0.5), required=("tier=high",)
    )
    cells = {"tier=high": Cell(Count(30, 3))}
    blocks = [Block(60.0 * n, 60.0 * n + 60, {"failures": cells, "slow": cells}) for n in range(9)]
    ledger = absorbed(made, blocks, Absolute())
    assert ledger.metrics["slow"].required == {"tier=high": 0}
    assert ledger.metrics["failures"].required["tier=high"] > 0


def test_a_first_release_needs_required_strata_within_the_bound_too() -> None:
    made = plan(guardrail(ceiling=0.25), required=("tier=high",))
    cells = {"tier=high": Cell(Count(2, 0)), "tier=low": Cell(Count(300, 30))}
    blocks = [Block(60.0 * n, 60.0 * n + 60, {"failures": cells}) for n in range(4)]
    found = judged(made, absorbed(made, blocks, Absolute()))
    assert found.verdict is Verdict.HOLD
    assert "tier=high" in found.reason


def test_a_metric_without_bound_is_not_judged_in_a_first_release() -> None:
    made = plan(guardrail("failures", weight=0.5, ceiling=0.3), guardrail("slow", weight=0.5))
    cells = {"failures": {"": Cell(Count(30, 3))}, "slow": {"": Cell(Count(30, 29))}}
    blocks = [Block(60.0 * n, 60.0 * n + 60, cells) for n in range(40)]
    found = judged(made, absorbed(made, blocks, Absolute()))
    assert found.verdict is Verdict.PROMOTE
    assert [line.verdict for line in found.metrics] == [MetricVerdict.PASS, MetricVerdict.UNJUDGED]
    assert found.still_needed == 0


def test_after_promotion_the_record_of_the_previous_stable_is_the_measure() -> None:
    record = Frozen({"failures": {"": Recorded(Count(40_000, 4000))}})
    made = plan()

    def watched(bad: float):
        cells = {"failures": {"": Cell(Count(30, bad))}}
        return judged(
            made, absorbed(made, [Block(60.0 * n, 60.0 * n + 60, cells) for n in range(80)], record)
        )

    assert watched(3).verdict is Verdict.PROMOTE
    assert watched(9).verdict is Verdict.ROLLBACK
    assert watched(3).metrics[0].estimate == pytest.approx(0.1)


def test_a_short_record_is_trusted_less_than_a_long_one() -> None:
    made = plan()
    blocks = [Block(60.0 * n, 60.0 * n + 60, {"failures": {"": Cell(Count(30, 5))}}) for n in range(40)]
    evidence = [
        stand(made, absorbed(made, blocks, Frozen({"failures": {"": Recorded(Count(n, n / 10))}}))).family
        for n in (100, 10_000)
    ]
    assert evidence[0] < evidence[1]


def test_the_limits_of_a_record_contain_the_truth_and_narrow_with_it() -> None:
    risk = log(2 * 1 / 0.01)
    low, high = limits(Count(100, 0), 1)
    assert low == 0.0
    assert high == pytest.approx(2 * risk / 100)
    for n in (1000, 100_000):
        low, high = limits(Count(n, n / 10), 1)
        assert stats.poisson.cdf(n / 10, n * high) <= 0.005
        assert stats.poisson.sf(n / 10 - 1, n * low) <= 0.005
        assert 0.1 - 4 * sqrt(0.1 / n) < low < 0.1 < high < 0.1 + 4 * sqrt(0.1 / n)
    assert limits(Count(1000, 100), 12)[1] > limits(Count(1000, 100), 1)[1]


def test_pairs_say_the_same_as_the_rates_that_they_are_about() -> None:
    """10 against 01 and a share of 11 is the candidate's rate against stable's, whatever the margin."""
    for relative, absolute in ((1.0, 0.05), (1.5, 0.02), (0.8, 0.1)):
        margin = Margin(relative, absolute)
        made = guardrail(tolerance=margin, max_harm=Margin(2.0, 0.2), max_harm_stratum=Margin(2.0, 0.3))
        only_c, only_b, both = 0.10, 0.04, 0.06
        cell = Cell(Count(100, 100 * (only_c + both)), Count(100, 100 * (only_b + both)), 100 * both)
        contrast = against_reference(made, "", cell, Paired(), 0.1)
        assert contrast is not None
        (n, x_c), (m, x_b), (r, d) = contrast.tolerance.candidate, contrast.tolerance.stable, margin.pair()
        assert n == m == 100
        assert (x_c - r * x_b) / 100 - d == pytest.approx((only_c + both) - margin.of(only_b + both))
        assert not contrast.tolerance.bounded
        shared = 5 * max(0.0, 1 - 1 / relative)  # a tenth of ten pairs, half of them bad in both
        assert contrast.tolerance.rate == pytest.approx((0.5 + shared / 10) / 10)


def test_a_record_without_this_stratum_uses_all_of_it_and_one_without_the_metric_is_blind() -> None:
    made = plan()
    blocks = [Block(60.0 * n, 60.0 * n + 60, {"failures": {"b": Cell(Count(30, 12))}}) for n in range(20)]
    other = Frozen({"failures": {"a": Recorded(Count(9000, 900))}})
    assert judged(made, absorbed(made, blocks, other)).verdict is Verdict.ROLLBACK
    empty = judged(made, absorbed(made, blocks, Frozen({})))
    assert empty.metrics[0].verdict is MetricVerdict.BLIND


def test_in_shadow_only_pairs_that_disagree_are_evidence() -> None:
    made = plan()

    def shadowed(candidate_only: float, stable_only: float, both: float | None):
        shared = both or 0
        cell = Cell(Count(30, candidate_only + shared), Count(30, stable_only + shared), both)
        blocks = [Block(60.0 * n, 60.0 * n + 60, {"failures": {"": cell}}) for n in range(30)]
        return judged(made, absorbed(made, blocks, Paired()))

    assert shadowed(1, 1, 12).verdict is Verdict.PROMOTE
    assert shadowed(5, 1, 3).verdict is Verdict.ROLLBACK
    paired, unpaired = shadowed(0, 0, 12), shadowed(12, 12, None)
    assert paired.metrics[0].safe_evidence > unpaired.metrics[0].safe_evidence


def test_lines_name_metrics_first_then_groups_and_strata(steady) -> None:
    made = plan(
        guardrail("failures", weight=0.5), guardrail("slow", weight=0.5), event(), required=("tier=high",)
    )
    cells = {"tier=high": ((10, 1), (190, 19)), "tier=low": ((20, 2), (380, 38))}
    one = [block(n, {"failures": cells, "slow": cells}, events={"forbidden": 0}) for n in range(3)]
    found = judged(made, absorbed(made, one))
    names = [(line.name, line.stratum) for line in found.metrics]
    assert names == [
        ("failures", ""), ("slow", ""), ("forbidden", ""),
        ("failures", "tier=high"), ("failures", "tier=low"), ("slow", "tier=high"), ("slow", "tier=low"),
    ]  # fmt: skip
    line = found.metrics[4]
    assert line.why == "6 of 60 (10 %) bad against 114 of 1,140 (10 %) in stable: watched for harm"
    assert line.interval is not None
    assert line.interval[0] < 0 < line.interval[1]


def test_a_policy_that_grew_is_judged_before_its_first_block(steady) -> None:
    ledger = absorbed(plan(), steady(4, (30, 3)))
    wider = plan(guardrail("failures", weight=0.5), guardrail("slow", weight=0.5), event())
    assert judged(wider, ledger).verdict is Verdict.HOLD


def test_where_nothing_can_be_compared_it_is_said_that_no_number_of_tasks_will_do(steady) -> None:
    made = plan()
    ledger = absorbed(made, steady(20, (30, 3)), Absolute())
    found = assess(made, ledger, ledger.through + 1.0, Requirements())
    assert found.verdict is Verdict.HOLD
    assert "there is nothing to compare with" in found.reason


def test_where_there_is_nothing_to_judge_by_it_says_so_and_holds() -> None:
    made = plan()
    first = Block(0.0, 60.0, {"failures": {"": Cell(Count(900, 0), None)}})
    ledger = Ledger.new(made, 0.0).absorb(made, first, Autonomy.OBSERVE, Absolute())
    found = assess(made, ledger, 60.0, Requirements())
    assert found.verdict is Verdict.HOLD
    assert found.reason == (
        "there is nothing to compare with, and no guardrail has a ceiling or a floor to judge by"
    )


def test_the_evidence_is_said_as_a_power_of_ten_of_the_odds_for_harm(steady) -> None:
    """With one guardrail the family's evidence is its own, and a breach at the odds of one to the risk."""
    made = plan()
    for minutes in (4, 15):
        found = judged(made, absorbed(made, steady(minutes, (30, 9))))
        assert found.evidence == pytest.approx(found.metrics[0].harm_evidence)
        assert (found.verdict is Verdict.ROLLBACK) == (found.evidence >= log10(20))


def test_only_a_verdict_on_missing_evidence_is_blind_and_says_nothing_of_the_bundle(steady) -> None:
    made = plan(stale_after=300.0, blind_after=1800.0)
    good, bad = absorbed(made, steady(40, (30, 3))), absorbed(made, steady(15, (30, 9)))
    blinded = {late: judged(made, good, late=late).blinded for late in (1.0, 299.0, 300.0, 1800.0)}
    assert blinded == {1.0: False, 299.0: False, 300.0: True, 1800.0: True}
    assert judged(made, bad).blinded is False
    assert judged(made, bad, late=1800.0).blinded is False, "harm was proven before"


def test_nobody_is_blind_while_evidence_is_of_this_very_moment(steady) -> None:
    ledger = absorbed(plan(), steady(3, (30, 3)))
    assert [judged(plan(), ledger, late=late).blind_for for late in (-5.0, 0.0, 0.5)] == [0.0, 0.0, 0.5]


def test_a_phase_that_asks_for_no_proof_needs_no_tasks_and_says_so(steady) -> None:
    few = absorbed(plan(), steady(3, (30, 3)))
    found = judged(plan(), few, Requirements(proof=False))
    assert (found.verdict, found.still_needed) == (Verdict.PROMOTE, 0)
    assert found.reason == "nothing is breached or suspicious; the phase asks for no proof"
    proven = judged(plan(), absorbed(plan(), steady(40, (30, 3))))
    assert proven.reason == "every guardrail excludes the harm it has to, on fresh evidence"


def test_one_required_task_is_waited_for() -> None:
    made = plan()
    ledger = absorbed(made, [block(n, {"failures": {"": ((0, 0), (570, 57))}}) for n in range(3)])
    found = judged(made, ledger, Requirements(min_samples=1, proof=False))
    assert (found.verdict, found.reason) == (Verdict.HOLD, "1 more samples are required")


def test_every_metric_has_to_have_the_required_samples() -> None:
    made = plan(guardrail("failures", weight=0.5), guardrail("slow", weight=0.5))
    cells = {"failures": {"": ((30, 3), (570, 57))}, "slow": {"": ((20, 2), (570, 57))}}
    ledger = absorbed(made, [block(n, cells) for n in range(5)])
    found = judged(made, ledger, Requirements(min_samples=150, proof=False))
    assert found.reason == "50 more samples are required"


def test_a_phase_lasts_until_its_time_and_until_its_first_tasks_are_due(steady) -> None:
    ledger = absorbed(plan(), steady(40, (30, 3)))

    def at_the_end(**asked: float) -> tuple[Verdict, str]:
        found = assess(plan(), ledger, ledger.through + 10.0, Requirements(**asked))
        return found.verdict, found.reason

    for asked in ("not_before", "due_at"):
        assert at_the_end(**{asked: ledger.through + 10.0})[0] is Verdict.PROMOTE
        assert at_the_end(**{asked: ledger.through + 10.8})[0] is Verdict.HOLD
    assert at_the_end(not_before=ledger.through + 50.0)[1] == "the phase lasts 40 s more"
    said = "tasks of this phase are due in 40 s; before, one that hangs looks like any other"
    assert at_the_end(due_at=ledger.through + 50.0)[1] == said


def test_odds_that_are_enough_are_those_of_the_guardrails_own_share_of_the_risk() -> None:
    made = plan(guardrail("failures", weight=0.25), guardrail("slow", weight=0.75), false_rollback=0.05)
    for name, odds in (("failures", "80 to 1"), ("slow", "27 to 1")):
        cells = {"failures": {"": ((30, 3), (570, 57))}, "slow": {"": ((30, 3), (570, 57))}}
        cells[name] = {"": ((30, 15), (570, 57))}
        found = judged(made, absorbed(made, [block(n, cells) for n in range(10)]))
        assert found.reason.startswith(f"{name} is worse than")
        assert found.reason.endswith(f"{odds} are enough")


def test_where_labels_come_late_it_is_said_how_long_until_the_last_of_them_is_complete() -> None:
    late, later = guardrail("late", window=600.0, weight=0.5), guardrail("later", window=900.0, weight=0.5)
    few = {name: {"": ((1, 0.1), (19, 1.9))} for name in ("late", "later")}
    for made in (plan(late, later), plan(later, late)):

        def reason(after: float, made=made) -> str:
            blocks = [block(n, few) for n in range(10, 10 + int(after // 60))]
            ledger = absorbed(made, blocks, ledger=Ledger.new(made, 600.0))
            return assess(made, ledger, 600.0 + after, Requirements()).reason

        assert reason(120.0) == "collecting: later: labels of this phase's first tasks are complete in 780 s"
        assert "later: labels of this phase's first tasks are complete in" in reason(899.2)
        assert "more candidate tasks are needed" in reason(900.0)
