"""Who counts as the audience of an exposure, and which level agents say that they obey."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentrelease.api.phase import Phase
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.audience import EVERYBODY, EXTERNAL, INTERNAL, belongs, of_candidate, of_stable
from agentrelease.core.counters import Sample
from agentrelease.core.exposure import NOTHING, Cohort, Exposure, Permission, Stratum
from agentrelease.core.in_effect import difference, reported
from agentrelease.core.series import Series

WITH_COHORT = [
    Phase.model_validate(
        {"name": "internal", "cohort": {"header": {"name": "a", "value": "b"}}, "autonomy": "observe"}
    ),
    Phase.model_validate({"name": "all", "weight": 100, "autonomy": "observe"}),
]


@pytest.mark.parametrize(
    ("exposure", "candidate", "stable"),
    [
        (NOTHING, EVERYBODY, EVERYBODY),
        (Exposure(mirror=100.0), EVERYBODY, EVERYBODY),
        (Exposure(cohort=Cohort("a", "b")), INTERNAL, EVERYBODY),
        (Exposure(cohort=Cohort("a", "b"), weight=1.0), EXTERNAL, EXTERNAL),
    ],
)
def test_a_cohort_is_judged_by_its_own_tasks_and_a_share_of_traffic_without_it(
    exposure: Exposure, candidate: str, stable: str
) -> None:
    assert of_candidate(exposure, WITH_COHORT) == candidate
    assert of_stable(exposure, WITH_COHORT) == stable
    assert of_stable(exposure, WITH_COHORT[1:]) == EVERYBODY


def test_a_series_that_does_not_say_whose_it_is_is_everybody_elses() -> None:
    said = [
        Series({"audience": name} if name else {}, (Sample(1.0, 1.0),))
        for name in ("internal", "external", "")
    ]
    assert [belongs(one, INTERNAL) for one in said] == [True, False, False]
    assert [belongs(one, EXTERNAL) for one in said] == [False, True, True]
    assert all(belongs(one, EVERYBODY) for one in said)


def agent(level: str, at: float = 100.0, value: float = 1.0, **labels: str) -> Series:
    return Series({"level": level, **labels}, (Sample(at, value),))


def test_the_highest_level_that_any_agent_reports_lately_counts() -> None:
    told = [
        agent("suggestion-only", pod="a"),
        agent("limited-action", pod="b"),
        agent("observe", pod="c"),
        agent("full-action", 89.0, pod="gone"),
        agent("full-action", value=0.0, pod="lowered"),
        agent("unheard-of", pod="d"),
        agent("observe", risk_tier="high"),
    ]
    assert reported(told, 100.0, 10.0) == {
        ("", ""): Autonomy.LIMITED_ACTION,
        ("high", ""): Autonomy.OBSERVE,
    }
    assert reported([agent("observe", 90.0)], 100.0, 10.0) == {("", ""): Autonomy.OBSERVE}


def test_another_level_than_intended_is_said() -> None:
    intended = Exposure(weight=5.0, autonomy=Autonomy.SUGGESTION_ONLY)
    assert difference({("", ""): Autonomy.SUGGESTION_ONLY}, intended) == ""
    assert difference({("", ""): Autonomy.OBSERVE}, intended) == (
        "the agents report observe, intended is suggestion-only"
    )
    tier = {("high", ""): Autonomy.OBSERVE}
    assert difference(tier, intended) == "the agents report observe, intended is suggestion-only"
    held = replace(intended, strata=(Stratum((("risk_tier", "high"),), Permission(Autonomy.OBSERVE)),))
    assert difference(tier, held) == ""
    assert difference({("high", ""): Autonomy.LIMITED_ACTION}, held) == (
        "the agents report limited-action for risk_tier=high, intended is observe"
    )
    assert difference({}, intended) == "no agent of the candidate reports its autonomy"
