"""What a rollout will take: said from the planner's numbers, and in vain never left unsaid."""

from __future__ import annotations

from dataclasses import replace
from math import inf
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
    ("soak", "deadline", "seconds"),
    [
        ("10m", {}, 600),
        ("10m", {"deadline": "2h"}, 600),
        ("10m", {"deadline": "5m"}, 300),
        ("3h", {}, 10_800),
    ],
)
def test_the_smallest_regression_is_said_with_its_guardrail_and_the_bad_tasks_that_show_it(
    soak: str, deadline: dict[str, str], seconds: int
) -> None:
    canary = of("canary-10", outlook(phases(minDuration=soak, **deadline), PLAN, FLOW))
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


def test_samples_come_in_at_the_rate_of_those_who_reach_a_phase() -> None:
    given = outlook(phases(minSamples=90_000), PLAN, FLOW)
    assert [one.phase for one in given] == ["shadow", "internal", "canary-10", "half"], "all is with nobody"
    assert [one.seconds for one in given] == pytest.approx([900.0, 9000.0, 10_000.0, 2000.0])
    mirrored = [Phase.model_validate(SPEC["phases"][0] | {"mirror": 20, "minSamples": 90_000})]
    assert outlook(mirrored, PLAN, FLOW)[0].seconds == pytest.approx(4500.0)


def test_people_who_need_no_proof_are_asked_for_samples_alone() -> None:
    cohort = SPEC["phases"][1]["cohort"] | {"evidence": "optional"}
    (one,) = outlook(
        [Phase.model_validate(SPEC["phases"][1] | {"cohort": cohort, "minSamples": 50})], PLAN, FLOW
    )
    assert (one.tasks, one.seconds, one.decided_by) == (50, 5.0, "minSamples")
    assert (one.smallest, one.bad, one.warning, one.caught_by) == (None, None, "", "")


def test_a_cohort_beside_which_nobody_is_with_stable_compares_with_nothing() -> None:
    alone = Flow(external=0.0, internal=10.0, rates={})
    assert of("internal", outlook(phases(), PLAN, alone)).warning == "internal sees no traffic at present"


def test_a_group_that_must_pass_by_itself_is_named_where_it_takes_longest() -> None:
    strata = {"labels": ["risk_tier"], "required": [{"risk_tier": "high"}]}
    plan = compile_plan([GuardrailPolicySpec.model_validate(POLICY | {"strata": strata})], 1.0)[1]
    wide = [
        replace(one, max_harm_stratum=one.max_harm)
        for one in plan.guardrails
        if one.name == "task-completion"
    ]
    (half,) = outlook([phases()[3]], replace(plan, guardrails=(replace(wide[0], weight=1.0),)), FLOW)
    assert half.decided_by == "task-completion in risk_tier=high"


@pytest.mark.parametrize("rate", [0.8, 0.86, 0.9, 0.95, 1.0])
def test_the_bundle_that_mends_a_stable_which_nearly_always_fails_has_an_outlook_too(rate: float) -> None:
    failing = Flow(external=90.0, internal=10.0, rates=FLOW.rates | {"task-completion": rate})
    given = outlook(phases(), PLAN, failing)
    assert [one.phase for one in given] == ["shadow", "internal", "canary-10", "half"]
    for one in given:
        never = one.warning.startswith(f"{one.phase} can never be left")
        assert (one.tasks is None, one.seconds is None) == (never, never)
        assert one.smallest is not None, "what an hour proves is said all the same"
    completion = next(one for one in PLAN.tested if one.name == "task-completion")
    assert planner.to_detect(completion, PLAN.false_rollback, 0.96, 0.95, 1.0) == inf, "what is tolerated"


def test_late_labels_are_waited_for() -> None:
    late = replace(PLAN, guardrails=tuple(replace(one, window=600.0) for one in PLAN.guardrails))
    soon, later = (of("half", outlook(phases(), plan, FLOW)).seconds for plan in (PLAN, late))
    assert soon is not None
    assert later == pytest.approx(soon + 600.0)


def test_a_deadline_that_is_just_kept_is_no_warning() -> None:
    soak = outlook(phases(minSamples=0, minDuration="1h", deadline="1h"), PLAN, FLOW)
    assert {one.warning for one in soak} == {""}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2.0 h"),
        (172_799, "48.0 h"),
        (172_800, "2 days"),
    ],
)
def test_spans_change_their_unit_where_people_do(seconds: float, said: str) -> None:
    assert span(seconds) == said
