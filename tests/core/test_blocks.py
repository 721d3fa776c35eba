"""From series to a block: whose counters they are, what each kind of metric counts, and what is unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.situations import standing

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import blocks, lacking, offline, pairs
from agentrelease.core.counters import Sample
from agentrelease.core.evidence import Cell, Count
from agentrelease.core.overdue import STARTED
from agentrelease.core.permitted import Levels
from agentrelease.core.series import Series, Snapshot
from agentrelease.core.span import Services, Span

TASKS = {"metric": blocks.TASKS}
COMPLETION = {
    "name": "completion", "class": "quality", "onBreach": "rollback",
    "ratio": {"good": {**TASKS, "match": {"outcome": "completed"}}, "of": TASKS},
}  # fmt: skip
VIOLATIONS = {
    "name": "violations", "class": "safety", "onBreach": "rollback",
    "ratio": {"bad": {"metric": "violations_total"}, "of": TASKS},
}  # fmt: skip
SLOW = {
    "name": "slow", "class": "efficiency", "onBreach": "pause",
    "latency": {"histogram": "seconds", "slowerThan": "8s"},
}  # fmt: skip
COST = {
    "name": "cost", "class": "efficiency", "onBreach": "pause",
    "cost": {"metric": "spent_total", "of": TASKS, "cap": 2.0},
}  # fmt: skip
FORBIDDEN = {
    "name": "forbidden", "class": "safety", "onBreach": "rollback", "whenAutonomy": ["observe"],
    "event": {"metric": "actions_total", "match": {"disposition": "executed"}},
}  # fmt: skip
SPAN = Span("shop", "support", "new", "old", 60.0, 120.0)


def policy(*metrics: dict[str, Any], **settings: Any) -> GuardrailPolicySpec:
    return GuardrailPolicySpec.model_validate({"metrics": list(metrics), **settings})


def grew(by: float, release: str = "new", **labels: str) -> Series:
    """A counter that was at 100 when the block began and grew in it."""
    return Series({"release": release, **labels}, (Sample(59.0, 100.0), Sample(100.0, 100.0 + by)))


def look(**metrics: list[Series]) -> Snapshot:
    found = {
        {"tasks": blocks.TASKS, "started": STARTED}.get(name, name): {("shop", "support"): tuple(series)}
        for name, series in metrics.items()
    }
    return Snapshot(130.0, 120.0, 0.0, found)


def cells(snapshot: Snapshot, metric: dict[str, Any], span: Span = SPAN, **settings: Any) -> dict[str, Cell]:
    return dict(blocks.block(snapshot, policy(metric, **settings), span).cells[metric["name"]])


# ---- what each kind of metric counts ---------------------------------------------------------------------


def test_what_did_not_go_well_is_all_that_ended_less_what_went_well():
    found = look(
        tasks=[
            grew(90, outcome="completed"),
            grew(10, outcome="failed"),
            grew(700, "old", outcome="completed"),
            grew(60, "old", outcome="failed"),
            grew(999, "older", outcome="failed"),
        ]
    )
    assert cells(found, COMPLETION) == {"": Cell(Count(100, 10), Count(760, 60))}


def test_bad_ones_are_counted_by_their_own_counter():
    found = look(tasks=[grew(100), grew(50, "old")], violations_total=[grew(3), grew(0, "old")])
    assert cells(found, VIOLATIONS) == {"": Cell(Count(100, 3), Count(50, 0))}


def test_slow_ones_are_all_less_those_in_the_bucket_of_the_bound():
    found = look(
        seconds_count=[grew(100), grew(50, "old")],
        seconds_bucket=[grew(93, le="8.0"), grew(20, le="1.0"), grew(50, "old", le="8.0")],
    )
    assert cells(found, SLOW) == {"": Cell(Count(100, 7), Count(50, 0))}


def test_cost_is_the_share_of_the_cap_and_no_task_costs_more_than_all_of_it():
    found = look(tasks=[grew(100), grew(50, "old")], spent_total=[grew(80), grew(200, "old")])
    assert cells(found, COST) == {"": Cell(Count(100, 40), Count(50, 50))}


def test_more_bad_ones_than_a_moment_ago_is_never_less_than_none():
    found = look(tasks=[grew(90, outcome="completed"), grew(10, outcome="failed")])
    skewed = look(seconds_count=[grew(10)], seconds_bucket=[grew(12, le="8.0")])
    assert cells(skewed, SLOW)[""].candidate == Count(10, 0)
    assert cells(found, COMPLETION)[""].stable is None


# ---- what is unknown -------------------------------------------------------------------------------------


def test_a_counter_that_is_not_there_is_unknown_and_one_that_stands_still_is_zero():
    assert cells(look(tasks=[grew(100)]), VIOLATIONS) == {}
    assert cells(look(violations_total=[grew(1)]), VIOLATIONS) == {}
    assert cells(look(tasks=[grew(0)], violations_total=[grew(0)]), VIOLATIONS) == {
        "": Cell(Count(0, 0), None)
    }
    quiet = Series({"release": "new"}, (Sample(50.0, 1.0),))
    assert cells(look(tasks=[quiet], violations_total=[grew(0)]), VIOLATIONS) == {}
    assert cells(look(tasks=[grew(9)], spent_total=[]), COST) == {}


def test_without_a_stable_revision_its_arm_is_unknown():
    found = look(tasks=[grew(100), grew(50, "old")], violations_total=[grew(3), grew(1, "old")])
    alone = replace(SPAN, stable=None)
    assert cells(found, VIOLATIONS, alone) == {"": Cell(Count(100, 3), None)}


def test_what_could_not_be_read_is_a_problem_of_those_who_need_it():
    unread = replace(look(), unread={blocks.TASKS: "too many series", "other_total": "too many series"})
    made = blocks.block(unread, policy(VIOLATIONS), SPAN, ("the clock jumped",))
    assert made.problems == ("the clock jumped", f"{blocks.TASKS}: too many series")


# ---- whose it is -----------------------------------------------------------------------------------------


def test_strata_are_told_apart_by_the_policys_labels_and_series_of_one_are_added_up():
    found = look(
        tasks=[grew(60, risk_tier="high", pod="a"), grew(40, risk_tier="high", pod="b"), grew(7)],
        violations_total=[grew(2, risk_tier="high"), grew(1), grew(5, "old", risk_tier="low")],
    )
    strata = {"labels": ["risk_tier"]}
    assert cells(found, VIOLATIONS, strata=strata) == {
        "risk_tier=high": Cell(Count(100, 2), None),
        "risk_tier=": Cell(Count(7, 1), None),
    }


def test_only_the_audience_that_counts_is_counted_in_each_arm():
    found = look(
        tasks=[grew(10, audience="internal"), grew(90), grew(5, "old", audience="internal"), grew(45, "old")],
        violations_total=[
            *(grew(1, audience="internal"), grew(2)),
            *(grew(0, "old", audience="internal"), grew(3, "old")),
        ],
    )
    inside = replace(SPAN, audience="internal")
    assert cells(found, VIOLATIONS, inside) == {"": Cell(Count(10, 1), Count(50, 3))}
    outside = replace(SPAN, audience="external", stable_audience="external")
    assert cells(found, VIOLATIONS, outside) == {"": Cell(Count(90, 2), Count(45, 3))}


# ---- pairs -----------------------------------------------------------------------------------------------


PAIRED = COMPLETION | {"pairs": "completion"}


def pair(by: float, outcome: str) -> Series:
    labels = pairs.labels_of("new", "old", "completion")
    return grew(by, **{name: value for name, value in labels.items() if name != "release"}, outcome=outcome)


def test_pairs_count_where_requests_are_mirrored_and_somebody_counts_them():
    arms = {
        "tasks": [
            grew(90, outcome="completed"),
            grew(10, outcome="failed"),
            grew(100, "old", outcome="completed"),
        ]
    }
    counted = [
        pair(80, "both_good"),
        pair(5, "candidate_only_bad"),
        pair(3, "stable_only_bad"),
        pair(2, "both_bad"),
    ]
    found = look(**arms, **{pairs.PAIRS: counted})
    mirrored = replace(SPAN, mirrored=True)
    (cell,) = cells(found, PAIRED, mirrored).values()
    assert (cell.candidate, cell.stable, cell.both) == (Count(90, 7), Count(90, 5), 2)
    by_arms = {"": Cell(Count(100, 10), Count(100, 0))}
    assert cells(found, PAIRED) == by_arms, "nothing is mirrored"
    assert cells(found, COMPLETION, mirrored) == by_arms, "nobody asked for pairs"
    assert cells(look(**arms), PAIRED, mirrored) == by_arms, "nobody counts any"
    before = replace(mirrored, paired=frozenset({"completion"}))
    assert cells(look(**arms), PAIRED, before) == {}, "what was compared in pairs stays so, and is unknown"
    assert cells(found, PAIRED, replace(mirrored, stable=None))[""].both is None


# ---- events ----------------------------------------------------------------------------------------------


def acted(by: float, release: str = "new", **labels: str) -> Series:
    return grew(by, release, disposition="executed", **labels)


def test_an_event_counts_the_candidates_alone_and_nothing_is_said_where_nothing_is_known():
    found = look(
        actions_total=[acted(2, pod="a"), acted(1, pod="b"), acted(9, "old"), grew(5, disposition="refused")]
    )
    assert blocks.occurrences(found, policy(FORBIDDEN), SPAN) == {"forbidden": 3}
    assert blocks.occurrences(look(), policy(FORBIDDEN), SPAN) == {}
    assert blocks.occurrences(found, policy(COMPLETION), SPAN) == {}
    made = blocks.block(found, policy(FORBIDDEN), SPAN)
    assert (made.events, made.cells, made.held) == ({"forbidden": 3}, {}, frozenset())


def test_what_was_counted_already_is_not_counted_again():
    twice = Series(
        {"release": "new", "disposition": "executed"},
        (Sample(59.0, 0.0), Sample(80.0, 2.0), Sample(110.0, 3.0)),
    )
    found = look(actions_total=[twice])
    for until, count in ((0.0, 3), (90.0, 1), (115.0, None)):
        heard = replace(SPAN, counted={"forbidden": until})
        said = {} if count is None else {"forbidden": count}
        assert blocks.occurrences(found, policy(FORBIDDEN), heard) == said


def test_where_strata_stay_lower_only_what_is_forbidden_in_its_stratum_is_counted():
    found = look(actions_total=[acted(2, risk_tier="high"), acted(7, risk_tier="low")])
    held = Levels(Autonomy.LIMITED_ACTION, (((("risk_tier", "high"),), Autonomy.OBSERVE),))
    span = replace(SPAN, levels=held)
    made = blocks.block(found, policy(FORBIDDEN), span)
    assert (made.events, made.held) == ({"forbidden": 2}, frozenset({Autonomy.OBSERVE}))
    quiet = look(actions_total=[acted(7, risk_tier="low")])
    assert blocks.occurrences(quiet, policy(FORBIDDEN), span) == {"forbidden": 0}, "known, and none"
    anywhere = {key: value for key, value in FORBIDDEN.items() if key != "whenAutonomy"}
    assert blocks.occurrences(found, policy(anywhere), span) == {"forbidden": 9}
    level = replace(SPAN, levels=Levels(Autonomy.OBSERVE))
    assert blocks.occurrences(found, policy(FORBIDDEN), level) == {"forbidden": 9}


# ---- the randomised unit, and what is read ---------------------------------------------------------------


def test_arms_are_tasks_as_they_begin_where_both_tell_that_and_as_they_end_where_not():
    both = look(started=[grew(12), grew(80, "old")], tasks=[grew(10), grew(70, "old")])
    assert blocks.block(both, policy(COMPLETION), SPAN).arms == {"": (12, 80)}
    one = look(started=[grew(12)], tasks=[grew(10), grew(70, "old")])
    assert blocks.block(one, policy(COMPLETION), SPAN).arms == {"": (10, 70)}
    assert blocks.block(look(tasks=[grew(10)]), policy(COMPLETION), SPAN).arms == {}
    routed = replace(SPAN, services=Services("green", "blue"))
    router = {"requests": {"metric": "sent"}, "service": {"to": "{service}"}}
    assert blocks.block(both, policy(COMPLETION, router=router), routed).arms == {}, (
        "the router knows, or nobody"
    )
    sent = replace(
        both,
        routed={
            "sent": tuple(replace(grew(n), labels={"to": to}) for to, n in (("green", 14), ("blue", 90)))
        },
    )
    assert blocks.block(sent, policy(COMPLETION, router=router), routed).arms == {"": (14, 90)}
    assert blocks.block(sent, policy(COMPLETION, router=router), SPAN).arms == {"": (12, 80)}


def test_every_counter_that_a_policy_needs_is_read():
    assert blocks.metrics_read(policy(VIOLATIONS)) == {blocks.TASKS, "violations_total"}
    assert blocks.metrics_read(policy(SLOW)) == {blocks.TASKS, "seconds_bucket", "seconds_count"}
    assert blocks.metrics_read(policy(COST)) == {blocks.TASKS, "spent_total"}
    assert blocks.metrics_read(policy(FORBIDDEN)) == {blocks.TASKS, "actions_total"}
    assert blocks.metrics_read(policy(PAIRED)) == {blocks.TASKS, pairs.PAIRS}
    gold = {
        "name": "g",
        "class": "quality",
        "onBreach": "rollback",
        "ceiling": 0.1,
        "offline": {"evaluator": "e", "cases": 9},
    }
    assert blocks.metrics_read(policy(gold)) == {blocks.TASKS} | offline.READ
    due = policy(COMPLETION, outcomes={"deadline": "30s"})
    assert blocks.metrics_read(due) == {blocks.TASKS} | set(lacking.METRICS)


def test_a_revisions_own_counts_of_late_are_of_all_strata_together():
    found = look(
        tasks=[grew(30, "old", risk_tier="high"), grew(20, "old", risk_tier="low"), grew(5)],
        violations_total=[grew(1, "old", risk_tier="high"), grew(1, "old", risk_tier="low")],
    )
    both = policy(VIOLATIONS, SLOW, FORBIDDEN, strata={"labels": ["risk_tier"]})
    release = standing().release
    assert blocks.recent(found, both, release, "old", 60.0) == {"violations": Count(50, 2)}
    assert blocks.recent(found, both, release, "else", 60.0) == {}


@pytest.mark.parametrize(
    ("since", "steps"), [(0.0, 0), (10.0, 0), (11.0, 1), (50.0, 2), (51.0, 3), (100.0, 3)]
)
def test_steps_of_tasks_that_began_under_another_exposure_are_passed_over(since: float, steps: int):
    span = replace(SPAN, step=20.0, since=since)
    made = blocks.block(look(), policy(COMPLETION, outcomes={"deadline": "35s"}), span)
    assert made.passed_over == steps
    assert blocks.block(look(), policy(COMPLETION), span).passed_over == 0, (
        "nothing is due without a deadline"
    )
