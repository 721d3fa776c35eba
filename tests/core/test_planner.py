"""What is said before a rollout starts, against what happens."""

from __future__ import annotations

from math import inf, isclose, log

import numpy as np
import pytest
from tests.core.conftest import guardrail, plan

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import planner
from agentrelease.core.contrast import Pairs
from agentrelease.core.evidence import Block, Cell, Concurrent, Count
from agentrelease.core.guardrails import Margin
from agentrelease.core.ledger import Ledger
from agentrelease.core.planner import Traffic
from agentrelease.core.standing import safe, stand

RARE = guardrail(
    "violations", bounded=False, tolerance=Margin(1.1, 0.0002), max_harm=Margin(1.5, 0.002), alpha=0.01
)


def test_a_rare_violation_needs_four_thousand_tasks_whoever_tests() -> None:
    """ln(1/alpha)/KL with an unlimited baseline, and a little more with a baseline of nineteen times."""
    boundary = 1.5 * 0.002 + 0.002
    least = log(100) / (boundary - 0.002 + 0.002 * log(0.002 / boundary))
    assert least <= planner.to_promote(RARE, 0.002, 19.0) <= 1.1 * least


def test_a_larger_baseline_needs_fewer_candidate_tasks() -> None:
    needed = [planner.to_promote(guardrail(), 0.1, ratio) for ratio in (1.0, 4.0, 19.0, 99.0)]
    assert needed == sorted(needed, reverse=True)
    assert planner.to_promote(guardrail(), 0.1, 19.0, alone=True) < needed[2]


def test_tolerated_harm_is_never_detected_and_greater_harm_sooner() -> None:
    found = [planner.to_detect(guardrail(), 0.05, rate, 0.1, 19.0) for rate in (0.05, 0.11, 0.15, 0.2, 0.4)]
    assert found[:2] == [inf, inf]
    assert found[2] > found[3] > found[4] > 10


def test_a_smaller_share_of_the_risk_takes_more_tasks_to_prove_harm() -> None:
    """Wealth starts at the share, so half of it is ln 2 nats further from the bound."""
    gain = planner.information(guardrail(), Margin(1.0, 0.01), 0.2, 0.1, 19.0)
    whole, half = (planner.to_detect(guardrail(weight=w), 0.05, 0.2, 0.1, 19.0) for w in (1.0, 0.5))
    careful = planner.to_detect(guardrail(), 0.025, 0.2, 0.1, 19.0)
    assert isclose(half - whole, log(2) / gain, abs_tol=1.0)
    assert careful == half


def test_the_smallest_regression_takes_the_whole_horizon() -> None:
    for horizon in (200, 1000, 5000):
        rate = planner.smallest_detectable(guardrail(), 0.05, 0.1, 19.0, horizon)
        assert rate is not None
        assert rate > 0.11
        assert isclose(planner.to_detect(guardrail(), 0.05, rate, 0.1, 19.0), horizon, rel_tol=0.02)
    assert planner.smallest_detectable(guardrail(), 0.05, 0.1, 19.0, 2) is None
    assert planner.smallest_detectable(guardrail(), 0.05, 0.9999, 19.0, 1e9) is None


def test_needs_come_with_time_and_the_slowest_first() -> None:
    made = plan(guardrail("failures", weight=0.5), guardrail("slow", weight=0.5), required=("tier=high",))
    traffic = Traffic(candidate=0.5, stable=9.5, groups={"tier=high": 0.2})
    found = planner.needs(made, traffic, {"failures": 0.1, "slow": 0.02}, horizon=1000)
    assert [n.tasks for n in found] == sorted((n.tasks for n in found), reverse=True)
    assert {(n.metric, n.group) for n in found} == {
        (m, g) for m in ("failures", "slow") for g in ("", "tier=high")
    }
    assert all(isclose(n.seconds, n.tasks / 0.5) for n in found)
    alone = next(n for n in found if (n.metric, n.group) == ("failures", "tier=high"))
    assert isclose(alone.tasks, planner.to_promote(made.tested[0], 0.1, 19.0, alone=True) / 0.2)
    assert alone.smallest is not None
    assert alone.bad is not None
    assert isclose(alone.bad, 1000 * (alone.smallest - 0.1), rel_tol=0.02)
    unknown = planner.needs(made, Traffic(0.5, 9.5), {}, horizon=1)
    assert unknown[0].smallest is None
    assert unknown[0].bad is None
    assert next(n for n in unknown if n.group).tasks > alone.tasks


def test_nothing_remains_when_it_is_proven_and_evidence_shortens_the_rest() -> None:
    seen = Count(300, 30), Count(5700, 570)
    whole = planner.remaining(guardrail(), 0.0, *seen)
    half = planner.remaining(guardrail(), 0.5 * log(20), *seen)
    assert planner.remaining(guardrail(), log(20), *seen) == 0.0
    assert isclose(half, whole / 2, abs_tol=1.0)
    assert isclose(whole, planner.to_promote(guardrail(), 0.1, 19.0), rel_tol=0.01)
    for nobody in ((Count(0, 0), Count(0, 0)), (Count(0, 0), seen[1]), (seen[0], Count(0, 0))):
        assert planner.remaining(guardrail(), 0.0, *nobody) == whole, "a twentieth is the candidate's"
    assert planner.remaining(guardrail(), 0.0, *seen, alone=True) < whole


@pytest.mark.parametrize(("kind", "rate"), [("promote", 0.1), ("detect", 0.2)])
def test_the_plan_predicts_what_happens(kind: str, rate: float) -> None:
    made, rng, taken = plan(), np.random.default_rng(5), []
    for _ in range(60):
        ledger, tasks = Ledger.new(made, 0.0), 0
        for minute in range(400):
            n, m = rng.poisson(30), rng.poisson(570)
            cell = Cell(Count(n, rng.binomial(n, rate)), Count(m, rng.binomial(m, 0.1)))
            one = Block(60.0 * minute, 60.0 * minute + 60, {"failures": {"": cell}})
            ledger, tasks = ledger.absorb(made, one, Autonomy.OBSERVE, Concurrent()), tasks + n
            done = (
                stand(made, ledger).breaches
                if kind == "detect"
                else safe(made, made.tested[0], ledger.metrics["failures"])
            )
            if done:
                break
        taken.append(tasks)
    expected = (
        planner.to_promote(made.tested[0], 0.1, 19.0) if kind == "promote"
        else planner.to_detect(made.tested[0], 0.05, rate, 0.1, 19.0)
    )  # fmt: skip
    assert 0.6 * expected <= np.median(taken) <= 1.4 * expected


def test_little_that_is_missing_is_still_missing() -> None:
    seen = Count(300, 30), Count(5700, 570)
    assert planner.remaining(guardrail(), log(20) - 0.5, *seen) > 0.0
    assert planner.remaining_pairs(guardrail(), log(20) - 0.5, Pairs()) > 0.0
    assert planner.remaining_pairs(guardrail(), log(20), Pairs()) == 0.0


def test_what_tells_nothing_takes_for_ever() -> None:
    nothing = guardrail(max_harm=Margin(1.0, 0.0), max_harm_stratum=Margin(1.0, 0.0))
    assert planner.to_promote(nothing, 0.1, 19.0) == inf
    assert planner.remaining(nothing, 0.0, Count(300, 30), Count(5700, 570)) == inf


def test_what_may_be_bad_more_than_once_a_task_takes_more_tasks_to_judge() -> None:
    once, often = guardrail(bounded=True), guardrail(bounded=False)
    assert planner.to_promote(once, 0.1, 19.0) < planner.to_promote(often, 0.1, 19.0)
    assert planner.to_detect(once, 0.05, 0.2, 0.1, 19.0) < planner.to_detect(often, 0.05, 0.2, 0.1, 19.0)


def test_pairs_are_planned_as_many_as_remain_before_the_first_one() -> None:
    one = guardrail()
    planned = planner.to_promote_pairs(one, one.expected)
    assert planned == planner.remaining_pairs(one, 0.0, Pairs())
    assert isclose(planned / 2, planner.remaining_pairs(one, 0.5 * log(20), Pairs()), abs_tol=1.0)


@pytest.mark.parametrize("rate", [0.15, 0.2])
def test_steady_harm_is_proven_a_little_sooner_than_planned(rate: float) -> None:
    """The plan pays for every size of harm, and one of them always fits best."""
    made = plan()
    ledger, tasks = Ledger.new(made, 0.0), 0
    while not stand(made, ledger).breaches:
        cell = Cell(Count(10, 10 * rate), Count(190, 19))
        one = Block(6.0 * tasks, 6.0 * tasks + 60, {"failures": {"": cell}})
        ledger, tasks = ledger.absorb(made, one, Autonomy.OBSERVE, Concurrent()), tasks + 10
    assert tasks <= planner.to_detect(made.tested[0], 0.05, rate, 0.1, 19.0) <= 1.2 * tasks
