"""What a rollout will take: said from the planner's numbers, and in vain never left unsaid."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.stage import POLICY, SPEC

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.phase import Phase
from agentrelease.core import planner
from agentrelease.core.forecast import Flow, Outlook, outlook, span
from agentrelease.core.plan import compile_plan

SPECIFIED = GuardrailPolicySpec.model_validate(POLICY)
PLAN = compile_plan([SPECIFIED], 1.0)[1]
FLOW = Flow(external=90.0, internal=10.0, rates={"task-completion": 0.1, "policy-violations": 0.01})


def phases(**changes: Any) -> list[Phase]:
    return [Phase.model_validate({**phase, **changes}) for phase in SPEC["phases"]]


def of(name: str, given: tuple[Outlook, ...]) -> Outlook:
    return next(one for one in given if one.phase == name)


def test_a_smaller_share_of_the_traffic_takes_longer() -> None:
    given = outlook(phases(), PLAN, FLOW)
    shadow, canary, half = (of(name, given).seconds for name in ("shadow", "canary-10", "half"))
    assert shadow is not None
    assert canary is not None
    assert half is not None
    assert shadow <= half < canary


def test_the_number_of_tasks_is_the_planners_for_the_slowest_guardrail() -> None:
    canary = of("canary-10", outlook(phases(), PLAN, FLOW))
    needs = planner.needs(PLAN, planner.Traffic(9.0, 81.0), FLOW.rates, 3600 * 9.0)
    assert canary.tasks == pytest.approx(needs[0].tasks, abs=1)
    assert canary.decided_by == needs[0].metric


@pytest.mark.parametrize(
    ("deadline", "seconds"), [({}, 600), ({"deadline": "2h"}, 600), ({"deadline": "5m"}, 300)]
)
def test_the_smallest_regression_is_said_with_its_guardrail_and_the_bad_tasks_that_show_it(
    deadline: dict[str, str], seconds: int
) -> None:
    canary = of("canary-10", outlook(phases(minDuration="10m", **deadline), PLAN, FLOW))
    (named,) = [g for g in PLAN.tested if g.name == canary.caught_by]
    rate = FLOW.rates[named.name]
    assert canary.smallest is not None
    assert canary.smallest > named.tolerance.of(rate)
    tasks = planner.to_detect(named, PLAN.false_rollback, canary.smallest, rate, 9.0)
    assert tasks == pytest.approx(seconds * 9, rel=0.01), "all of the time until the phase can be left"
    assert canary.bad == pytest.approx(tasks * (canary.smallest - rate))


def test_a_shadow_whose_answers_are_compared_in_pairs_takes_fewer_tasks_and_other_phases_as_many() -> None:
    paired = Flow(FLOW.external, FLOW.internal, FLOW.rates, frozenset({"task-completion"}))
    one = [m for m in SPECIFIED.metrics if m.name == "task-completion"]
    alone = compile_plan([SPECIFIED.model_copy(update={"metrics": one})], 1.0)[1]
    by_arms, by_pairs = (outlook(phases(minSamples=0), alone, flow) for flow in (FLOW, paired))
    (guardrail,) = alone.tested
    shadow, arms = of("shadow", by_pairs).tasks, of("shadow", by_arms).tasks
    assert shadow is not None
    assert arms is not None
    assert shadow == planner.to_promote_pairs(guardrail, 0.1) < arms
    assert by_pairs[1:] == by_arms[1:]


def test_a_deadline_that_cannot_be_kept_is_named_with_what_to_change() -> None:
    slow = Flow(external=0.9, internal=0.1, rates=FLOW.rates)
    canary = of("canary-10", outlook(phases(deadline="30s"), PLAN, slow))
    assert canary.warning.startswith("canary-10 needs about ")
    assert "its deadline is 30s" in canary.warning
    assert of("canary-10", outlook(phases(deadline="24h"), PLAN, slow)).warning == ""


def test_a_phase_that_nobody_reaches_is_named() -> None:
    nobody = Flow(external=90.0, internal=0.0, rates={})
    assert of("internal", outlook(phases(), PLAN, nobody)).warning == "internal sees no traffic at present"


def test_more_required_samples_or_a_longer_soak_lengthen_it() -> None:
    assert of("half", outlook(phases(minSamples=4500), PLAN, FLOW)).seconds == pytest.approx(100.0)
    assert of("half", outlook(phases(minDuration="10m"), PLAN, FLOW)).seconds == pytest.approx(600.0)


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "5 s"), (300, "5 min"), (10_800, "3.0 h"), (864_000, "10 days")]
)
def test_spans_are_said_in_units_that_people_use(seconds: float, said: str) -> None:
    assert span(seconds) == said
