"""Policies become plans, or are refused with a field and a sentence."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.core.conftest import event, guardrail, plan

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.vocabulary import Action, Autonomy, MetricClass
from agentrelease.core.guardrails import Kind, Margin, PlanError
from agentrelease.core.plan import DEFAULTS, compile_plan

TASKS = {"metric": "agentrelease_tasks_total"}
COMPLETION = {
    "name": "task-completion", "class": "quality", "onBreach": "rollback",
    "ratio": {"good": {**TASKS, "match": {"outcome": "completed"}}, "of": TASKS},
}  # fmt: skip
VIOLATIONS = {
    "name": "violations", "class": "safety", "onBreach": "rollback",
    "ratio": {"bad": {"metric": "agentrelease_policy_violations_total"}, "of": TASKS},
}  # fmt: skip
FORBIDDEN = {
    "name": "forbidden", "class": "safety", "onBreach": "rollback", "whenAutonomy": ["observe"],
    "event": {"metric": "agentrelease_actions_total"},
}  # fmt: skip
SLOW = {
    "name": "slow", "class": "efficiency", "onBreach": "pause",
    "latency": {"histogram": "agentrelease_task_duration_seconds", "slowerThan": "8s"},
}  # fmt: skip


def spec(*metrics: dict, **settings: object) -> GuardrailPolicySpec:
    return GuardrailPolicySpec.model_validate({"metrics": list(metrics), **settings})


def compiled(*metrics: dict, **settings: object):
    return compile_plan([spec(*metrics, **settings)], 60.0)[1]


def refused(*metrics: dict, **settings: object) -> PlanError:
    with pytest.raises(PlanError) as caught:
        compiled(*metrics, **settings)
    return caught.value


def test_what_a_policy_leaves_out_gets_the_defaults_of_its_class() -> None:
    made = compiled(COMPLETION, VIOLATIONS, FORBIDDEN, SLOW)
    completion, violations, forbidden, slow = made.guardrails
    assert (completion.tolerance, completion.max_harm) == (Margin(1.0, 0.01), Margin(1.0, 0.03))
    assert completion.max_harm_stratum == Margin(1.0, 0.10)
    assert (violations.tolerance, violations.max_harm) == (Margin(1.1, 0.0002), Margin(1.5, 0.002))
    assert violations.max_harm_stratum == Margin(1.5, 0.02)
    assert (completion.alpha, violations.alpha) == (0.05, 0.01)
    assert (completion.expected, violations.expected) == (0.05, 0.002)
    assert (completion.kind, forbidden.kind, slow.kind) == (Kind.RATIO, Kind.EVENT, Kind.LATENCY)
    assert (slow.on_breach, slow.metric_class) == (Action.PAUSE, MetricClass.EFFICIENCY)
    assert (made.stale_after, made.blind_after, made.grid) == (60.0, 300.0, 60.0)
    assert made.false_rollback == 0.05


def test_safety_gets_most_of_the_false_rollback_risk_and_events_none() -> None:
    made = compiled(COMPLETION, VIOLATIONS, FORBIDDEN, SLOW)
    assert [round(g.weight, 4) for g in made.guardrails] == [0.1429, 0.7143, 0.0, 0.1429]
    assert sum(g.weight for g in made.tested) == pytest.approx(1.0)


def test_given_weights_are_kept_and_the_rest_is_shared_out() -> None:
    made = compiled(COMPLETION | {"weight": 0.4}, VIOLATIONS, SLOW)
    assert [round(g.weight, 4) for g in made.tested] == [0.4, 0.5, 0.1]


def test_weights_that_are_all_given_are_taken_as_they_are() -> None:
    given = zip((COMPLETION, VIOLATIONS, SLOW), (0.7, 0.2, 0.1), strict=True)
    made = compiled(*(metric | {"weight": weight} for metric, weight in given))
    assert [g.weight for g in made.tested] == [0.7, 0.2, 0.1]


def test_labels_are_awaited_and_pairs_compared_only_where_the_policy_says_so() -> None:
    plain = compiled(COMPLETION).guardrails[0]
    assert (plain.window, plain.pairs, plain.lacking) == (0.0, "", "")
    late = compiled(COMPLETION | {"labelWindow": "24h", "pairs": "completed"}).guardrails[0]
    assert (late.window, late.pairs) == (86_400.0, "completed")


def test_numbers_of_the_policy_win_over_defaults() -> None:
    own = COMPLETION | {
        "tolerance": {"absolute": 0.02}, "maxHarm": {"relative": 2, "absolute": 0.1},
        "maxHarmStratum": {"relative": 2, "absolute": 0.3}, "alpha": 0.1, "floor": 0.8, "ceiling": 0.3,
    }  # fmt: skip
    made = compiled(own).guardrails[0]
    assert (made.tolerance, made.max_harm) == (Margin(1.0, 0.02), Margin(2.0, 0.1))
    assert (made.max_harm_stratum, made.alpha) == (Margin(2.0, 0.3), 0.1)
    assert (made.floor, made.ceiling) == (0.8, 0.3)


def test_a_wide_harm_widens_the_default_for_a_stratum() -> None:
    made = compiled(COMPLETION | {"maxHarm": {"absolute": 0.2}}).guardrails[0]
    assert made.max_harm_stratum == Margin(1.0, 0.4)


def test_only_what_can_fail_once_per_task_is_taken_so() -> None:
    made = compiled(COMPLETION, VIOLATIONS, SLOW)
    assert [g.bounded for g in made.guardrails] == [True, False, True]


def test_required_strata_become_keys() -> None:
    strata = {
        "labels": ["workflow_class", "risk_tier"],
        "required": [{"risk_tier": "high", "workflow_class": "a,b"}],
    }
    assert compiled(COMPLETION, strata=strata).required == ("risk_tier=high,workflow_class=a%2Cb",)


@pytest.mark.parametrize("labels", [["risk_tier"], []])
def test_a_required_stratum_must_use_the_labels(labels: list[str]) -> None:
    error = refused(COMPLETION, strata={"labels": labels, "required": [{"tier": "high"}]})
    assert error.path == "strata.required[0]"
    assert error.sentence == f"tier is not among the labels {', '.join(labels) or 'none'}"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"tolerance": {"absolute": 0.03}}, "metrics[0].maxHarm"),
        ({"tolerance": {"absolute": 0.02}, "maxHarm": {"absolute": 0.01}}, "metrics[0].maxHarm"),
        (
            {"tolerance": {"relative": 1.2}, "maxHarm": {"relative": 1.1, "absolute": 0.05}},
            "metrics[0].maxHarm",
        ),
        ({"tolerance": {"relative": 0.5}, "maxHarm": {"relative": 0.9}}, "metrics[0].maxHarm"),
        ({"maxHarmStratum": {"absolute": 0.01}}, "metrics[0].maxHarmStratum"),
        ({"weight": 0.4}, "metrics"),
        ({"latency": SLOW["latency"]}, "metrics[0]"),
        ({"ratio": None}, "metrics[0]"),
        ({"ratio": {"of": TASKS}}, "metrics[0].ratio"),
        ({"ratio": {"good": TASKS, "bad": TASKS, "of": TASKS}}, "metrics[0].ratio"),
    ],
)
def test_a_metric_that_cannot_keep_its_promise_is_refused_at_its_field(change: dict, path: str) -> None:
    error = refused(COMPLETION | change)
    assert error.path == path
    assert str(error) == f"{error.path}: {error.sentence}"


@pytest.mark.parametrize("weights", [(0.7, 0.6), (1.0, None)])
def test_weights_must_share_out_one_risk(weights: tuple[float, float | None]) -> None:
    metrics = [
        m | ({"weight": w} if w else {}) for m, w in zip((COMPLETION, VIOLATIONS), weights, strict=True)
    ]
    assert "sum to" in refused(*metrics).sentence


def test_two_guardrails_of_one_name_are_refused() -> None:
    assert "task-completion" in refused(COMPLETION, COMPLETION).sentence


def test_blindness_has_an_order() -> None:
    assert refused(COMPLETION, staleAfter="10m", blindAfter="5m").path == "blindAfter"
    assert refused(COMPLETION, staleAfter="30s").path == "blindAfter"


def test_no_policy_is_no_plan() -> None:
    with pytest.raises(PlanError, match="at least one policy"):
        compile_plan([], 60.0)


def test_policies_of_a_release_join_to_the_stricter_one() -> None:
    first = spec(
        COMPLETION, falseRollback=0.05, staleAfter="2m", blindAfter="9m", strata={"labels": ["risk_tier"]}
    )
    second = spec(
        VIOLATIONS, falseRollback=0.02, staleAfter="1m", blindAfter="8m",
        strata={"labels": ["risk_tier"], "required": [{"risk_tier": "high"}]},
    )  # fmt: skip
    joined, made = compile_plan([first, second], 60.0)
    assert [m.name for m in joined.metrics] == ["task-completion", "violations"]
    assert joined.strata.labels == ["risk_tier"]
    assert (made.required, made.false_rollback) == (("risk_tier=high",), 0.02)
    assert (made.stale_after, made.blind_after) == (60.0, 480.0)
    assert compile_plan([first], 60.0)[0] == first


def test_dispersion_and_unit_reach_the_plan() -> None:
    assert compile_plan([spec(COMPLETION)], 60.0, {"task-completion": 3.0})[1].phi == {"task-completion": 3.0}
    assert compiled(COMPLETION, unit="session").independent
    assert not compiled(COMPLETION).independent
    mixed = compile_plan([spec(COMPLETION, unit="session"), spec(VIOLATIONS)], 60.0)[1]
    assert not mixed.independent


def test_defaults_of_every_class_are_in_order_and_say_how_safe_they_are() -> None:
    for defaults in DEFAULTS.values():
        assert defaults.tolerance.below(defaults.max_harm)
    assert DEFAULTS[MetricClass.SAFETY].alpha < DEFAULTS[MetricClass.QUALITY].alpha


@pytest.mark.parametrize(
    ("low", "high"),
    list(pairwise([Margin(1.0, 0.0), Margin(1.0, 0.01), Margin(1.1, 0.01), Margin(1.5, 0.02)])),
)
def test_margins_are_ordered_by_what_they_allow(low: Margin, high: Margin) -> None:
    assert low.below(high)
    assert not high.below(low)
    assert not low.below(low)
    assert low.of(0.5) < high.of(0.5)


def test_margins_that_cross_have_no_order() -> None:
    assert not Margin(1.2, 0.0).below(Margin(1.0, 0.05))
    assert not Margin(1.0, 0.05).below(Margin(1.2, 0.0))


@pytest.mark.parametrize(
    ("margin", "text"),
    [
        (Margin(1.1, 0.0002), "1.1 × stable + 0.02 points"),
        (Margin(), "1 × stable"),
        (Margin(0.0, 0.2), "20 points"),
        (Margin(0.0, 0.0), "0"),
    ],
)
def test_margins_read_as_people_say_them(margin: Margin, text: str) -> None:
    assert str(margin) == text


def test_an_event_is_forbidden_where_it_says_and_everywhere_if_it_says_nothing() -> None:
    assert event().forbids(Autonomy.FULL_ACTION)
    some = event(when_autonomy=frozenset({Autonomy.OBSERVE}))
    assert some.forbids(Autonomy.OBSERVE)
    assert not some.forbids(Autonomy.FULL_ACTION)
    assert not guardrail().forbids(Autonomy.OBSERVE)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"false_rollback": 0.0}, "falseRollback"),
        ({"false_rollback": 0.3}, "falseRollback"),
        ({"grid": 0.0}, "blindAfter"),
    ],
)
def test_a_plan_checks_its_own_numbers(changed: dict[str, float], path: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(**changed)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"alpha": 0.0}, "alpha"), ({"alpha": 0.3}, "alpha"), ({"weight": 0.0}, "weight"),
        ({"ceiling": 0.0}, "ceiling"), ({"ceiling": 1.0}, "ceiling"),
        ({"floor": 1.0}, "ceiling"), ({"floor": 0.0}, "ceiling"),
    ],
)  # fmt: skip
def test_a_guardrail_checks_its_own_numbers(changed: dict[str, float], path: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(guardrail("a", weight=1.0), guardrail("b", **changed)) if "weight" in changed else plan(
            guardrail(**changed)
        )
    assert caught.value.path.endswith(path)


def test_a_plan_doubts_at_four_to_one_and_a_split_at_a_thousand() -> None:
    made = plan()
    assert (made.suspect_at, made.mismatch_at, made.min_blocks) == (4.0, 1000.0, 1)


def test_a_plan_without_guardrails_is_refused() -> None:
    from agentrelease.core.guardrails import Plan

    with pytest.raises(PlanError, match="at least one"):
        Plan(())


def test_events_alone_are_a_plan() -> None:
    assert plan(event()).tested == ()


SENT = {"requests": {"metric": "sent"}, "service": {"to": "{service}"}}


def test_one_router_is_enough_for_all_policies_and_two_are_refused() -> None:
    named, silent = spec(COMPLETION, router=SENT), spec(VIOLATIONS)
    for both in ([named, silent], [silent, named], [named, spec(VIOLATIONS, router=SENT)]):
        joined, _ = compile_plan(both, 60.0)
        assert joined.router == named.router
    assert compile_plan([silent, spec(COMPLETION)], 60.0)[0].router is None
    other = spec(VIOLATIONS, router=SENT | {"requests": {"metric": "other"}})
    with pytest.raises(PlanError, match="two policies name different routers"):
        compile_plan([named, other], 60.0)


def test_the_sooner_deadline_of_two_policies_is_kept() -> None:
    late, soon = (
        spec(metric, outcomes={"deadline": at}) for metric, at in ((COMPLETION, "60s"), (SLOW, "30s"))
    )
    for both in ([late, soon], [soon, late], [soon, spec(VIOLATIONS)], [spec(VIOLATIONS), soon]):
        assert compile_plan(both, 60.0)[1].deadline == 30.0
    assert compile_plan([spec(VIOLATIONS)], 60.0)[1].deadline == 0.0


def test_a_deadline_is_part_of_what_is_counted_and_nothing_else_of_a_policy_is() -> None:
    def terms(*metrics: dict, **settings: object) -> str:
        return compiled(*metrics, **settings).guardrails[0].terms

    plain = terms(COMPLETION)
    assert terms(COMPLETION, outcomes={"deadline": "30s"}) == f"{plain}/30"
    assert terms(FORBIDDEN, outcomes={"deadline": "30s"}) == terms(FORBIDDEN)
    for same in ({"onBreach": "pause"}, {"weight": 0.5}, {"alpha": 0.1}, {"name": "other"}):
        assert terms(COMPLETION | same, VIOLATIONS) == plain
    assert terms(COMPLETION | {"tolerance": {"absolute": 0.02}}) != plain
