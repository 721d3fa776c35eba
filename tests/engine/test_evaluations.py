"""Offline evaluations in a rollout: without a whole run nothing is exposed beyond shadow."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.support.stage import POLICY, Stage

from agentrelease.core.record import replay


def policy(**changed: Any) -> dict[str, Any]:
    gold = {
        "name": "gold",
        "class": "quality",
        "offline": {"evaluator": "gold-incidents", "cases": 100},
        "floor": 0.9,
        "onBreach": "rollback",
    }
    made = copy.deepcopy(POLICY)
    made["metrics"].append(gold | changed)
    return made


async def shadowed(**changed: Any) -> tuple[Stage, str, str]:
    stage = Stage()
    await stage.install(policy(**changed))
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2")
    await stage.run(30, until="shadow")
    return stage, v1, v2


async def condition(stage: Stage, kind: str = "EvalsPassed"):
    (found,) = [c for c in (await stage.release()).status.conditions if c.type == kind]
    return found.status, found.reason


def only_mirrored(stage: Stage, revision: str) -> bool:
    return stage.reach()[revision][0] == 0.0 and stage.cohort() == ""


async def test_without_results_a_good_candidate_stays_in_shadow_and_with_them_it_goes_on() -> None:
    stage, _, v2 = await shadowed()
    for _ in range(30):
        await stage.step()
        assert only_mirrored(stage, v2)
    release = await stage.release()
    assert release.status.reason == (
        f"waiting for an evaluation: gold: no results of gold-incidents for {v2} yet"
    )
    assert await condition(stage) == ("Unknown", "EvaluationPending")
    stage.evaluations[v2] = 100, {"pass": 96, "fail": 4}
    release = await stage.run(300, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v2
    assert await condition(stage) == ("True", "EvaluationsPassed")


async def test_results_below_the_floor_end_the_release_before_anybody_sees_an_answer() -> None:
    stage, _, v2 = await shadowed()
    stage.evaluations[v2] = 100, {"pass": 80, "fail": 20}
    for _ in range(6):
        await stage.step()
        assert only_mirrored(stage, v2)
    assert await condition(stage) == ("False", "EvaluationFailed")
    release = await stage.run(10, until="RolledBack")
    assert "20 of 100 cases bad (20 %) of gold-incidents" in release.status.refused[0].reason
    assert all(weight == 0.0 for _, revision, weight in stage.exposed if revision == v2)


@pytest.mark.parametrize(
    ("cases", "results", "state"),
    [
        (100, {"error": 100}, ("False", "EvaluationErrored")),
        (100, {"pass": 99, "error": 1}, ("False", "EvaluationErrored")),
        (100, {"pass": 60}, ("Unknown", "EvaluationPending")),
        (40, {"pass": 40}, ("Unknown", "EvaluationPending")),
        (100, {"pass": 130}, ("Unknown", "EvaluationPending")),
    ],
)
async def test_a_run_that_errored_or_is_not_whole_holds_and_refuses_nothing(cases, results, state) -> None:
    stage, _, v2 = await shadowed()
    stage.evaluations[v2] = cases, results
    for _ in range(20):
        await stage.step()
        assert only_mirrored(stage, v2)
    assert (await stage.release()).status.phase == "shadow"
    assert await condition(stage) == state


async def test_results_of_a_job_that_has_ended_are_remembered_by_any_operator() -> None:
    """The Job's Pod was scraped once and is gone; so is the operator that saw it."""
    stage, _, v2 = await shadowed()
    stage.evaluations[v2] = 100, {"pass": 96, "fail": 4}
    await stage.step()
    stage.evaluations.clear()
    stage.operator = stage.new_operator()
    release = await stage.run(300, until="Promoted")
    assert [(one.revision, one.results) for one in release.status.evaluations] == [
        (v2, {"fail": 4, "pass": 96})
    ]


async def test_a_candidate_is_held_to_stables_own_run_which_is_kept_from_its_rollout() -> None:
    tolerance = {"tolerance": {"absolute": 0.02}}
    stage, v1, v2 = await shadowed(**tolerance)
    stage.evaluations[v2] = 100, {"pass": 97, "fail": 3}
    await stage.run(12)
    assert f"stable ({v1}) has no results" in (await stage.release()).status.reason
    stage.evaluations[v1] = 100, {"pass": 98, "fail": 2}
    await stage.run(300, until="Promoted")
    stage.evaluations.clear()
    v3 = await stage.apply("v3")
    await stage.run(30, until="shadow")
    stage.evaluations[v3] = 100, {"pass": 94, "fail": 6}
    release = await stage.run(10, until="RolledBack")
    assert "6 of 100 cases bad (6 %) of gold-incidents" in release.status.refused[0].reason
    assert "3 of 100 cases bad (3 %) in stable" in release.status.refused[0].reason


async def test_a_milder_consequence_comes_once_for_one_run_and_the_candidate_waits_for_another() -> None:
    stage, _, v2 = await shadowed(onBreach="stepBack")
    stage.evaluations[v2] = 100, {"pass": 96, "fail": 4}
    await stage.run(100, until="canary-10")
    stage.evaluations[v2] = 100, {"pass": 50, "fail": 50}  # somebody ran it again
    await stage.run(10, until="internal")
    release = await stage.run(40)
    assert release.status.phase == "internal"
    assert release.status.candidate is not None
    assert release.status.candidate.interventions <= 1
    assert "answered, waits for another run" in release.status.reason
    stage.evaluations[v2] = 100, {"pass": 97, "fail": 3}
    await stage.run(300, until="Promoted")


async def test_a_later_run_that_finds_harm_counts_in_the_watch_too() -> None:
    stage, v1, v2 = await shadowed()
    stage.evaluations[v2] = 100, {"pass": 96, "fail": 4}
    await stage.run(300, until="Promoted")
    stage.evaluations[v2] = 100, {"pass": 30, "fail": 70}  # the provider changed a model under its name
    for _ in range(20):
        await stage.step()
    release = await stage.release()
    assert release.status.stable is not None
    assert release.status.stable.revision == v1


async def test_every_decision_on_evaluations_replays_to_the_same_bits() -> None:
    stage, _, v2 = await shadowed()
    stage.evaluations[v2] = 100, {"pass": 96, "fail": 4}
    await stage.run(300, until="Promoted")
    v3 = await stage.apply("v3")
    await stage.run(30, until="shadow")
    stage.evaluations[v3] = 100, {"pass": 30, "fail": 70}
    await stage.run(20, until="RolledBack")
    entries = [entry.content for entry in stage.entries]
    assert {entry["outcome"]["cause"] for entry in entries} >= {"PhaseEntered", "GuardrailBreached"}
    for entry in entries:
        assert replay(entry["inputs"]) == entry["outcome"]
