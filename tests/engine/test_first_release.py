"""An agent's first release by phases: nothing to compare with, so bounds alone judge it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.stage import POLICY, SPEC, Behaviour, Stage, bounded

from agentrelease.api.vocabulary import Autonomy

ANSWERING = ["internal", "canary-10", "half", "all", "full"]
GOOD = Behaviour(completion=0.95, violations=0.001)
BY_PHASES = {"firstRelease": "phases"}


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.install(bounded())
    return stage


def served(stage: Stage) -> float:
    """The share of ordinary requests that any revision of ours answers."""
    return sum(weight for revision, (weight, _) in stage.reach().items() if revision)


async def test_a_good_one_goes_through_every_phase_that_answers_and_is_promoted(stage: Stage) -> None:
    v1 = await stage.apply("v1", GOOD, **BY_PHASES)
    seen: dict[str, tuple[float, str, Autonomy]] = {}
    for _ in range(600):
        await stage.step()
        status = (await stage.release()).status
        if status.phase in ANSWERING and status.candidate and status.candidate.confirmed_at:
            cohort = "cohort" if stage.cohort() else ""
            seen[status.phase] = (stage.reach()[v1][0], cohort, stage.level(v1))
        if status.phase == "Promoted":
            break
    assert seen == {
        "internal": (0.0, "cohort", Autonomy.SUGGESTION_ONLY),
        "canary-10": (0.1, "cohort", Autonomy.SUGGESTION_ONLY),
        "half": (0.5, "cohort", Autonomy.LIMITED_ACTION),
        "all": (1.0, "", Autonomy.LIMITED_ACTION),
        "full": (1.0, "", Autonomy.FULL_ACTION),
    }
    await stage.step()
    assert (stage.reach()[v1][0], stage.level(v1)) == (1.0, Autonomy.FULL_ACTION)
    v2 = await stage.apply("v2", GOOD, **BY_PHASES)
    release = await stage.run(600, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v2


async def test_while_it_loads_nobody_reaches_it(stage: Stage) -> None:
    await stage.apply("v1", GOOD, **BY_PHASES)
    release = await stage.run(30, until="Loading")
    assert release.status.candidate is not None
    assert release.status.candidate.slot == "green", "the route sends everybody to blue"
    assert served(stage) == 0.0


@pytest.mark.parametrize("phase", ANSWERING)
async def test_one_that_breaks_a_ceiling_goes_to_zero_and_is_not_served(stage: Stage, phase: str) -> None:
    v1 = await stage.apply("v1", GOOD, **BY_PHASES)
    await stage.run(600, until=phase)
    stage.behaviours[v1] = Behaviour(completion=0.95, violations=0.6)
    release = await stage.run(120, until="RolledBack")
    assert "policy-violations is worse than the bound of 10 %" in release.status.refused[0].reason
    assert (served(stage), stage.cohort(), stage.level(v1)) == (0.0, "", Autonomy.OBSERVE)
    assert release.status.stable is None
    await stage.run(20)
    assert served(stage) == 0.0
    v2 = await stage.apply("v2", GOOD, **BY_PHASES)
    release = await stage.run(600, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v2


async def test_without_any_bound_it_waits_unexposed_and_says_what_to_do(stage: Stage) -> None:
    stage = Stage()
    await stage.install()
    await stage.apply("v1", GOOD, **BY_PHASES)
    release = await stage.run(60)
    assert (release.status.phase, release.status.verdict) == ("Loading", "EvidenceMissing")
    assert "no guardrail has a ceiling or a floor" in release.status.reason
    assert served(stage) == 0.0
    await stage.apply("v1", firstRelease="promote")
    await stage.run(10, until="Promoted")


def evaluated() -> dict[str, Any]:
    """Guardrails of which only one has a bound: an evaluation over a fixed set."""
    gold = {"evaluator": "gold-incidents", "cases": 100}
    rest = {"name": "gold", "class": "quality", "offline": gold, "floor": 0.9, "onBreach": "rollback"}
    return POLICY | {"metrics": [*POLICY["metrics"], rest]}


async def test_an_evaluation_with_a_floor_is_a_bound_and_is_passed_before_anybody_meets_it() -> None:
    stage = Stage()
    await stage.install(evaluated())
    v1 = await stage.apply("v1", GOOD, **BY_PHASES)
    for results, said in (
        ({}, "no results of gold-incidents"),
        ({"pass": 80, "fail": 20}, "20 of 100 cases"),
    ):
        if results:
            stage.evaluations[v1] = 100, results
        release = await stage.run(30)
        assert (release.status.phase, release.status.verdict) == ("Loading", "EvidenceMissing")
        assert said in release.status.reason
        assert served(stage) == 0.0
    stage.evaluations[v1] = 100, {"pass": 95, "fail": 5}
    release = await stage.run(600, until="half")
    whole = {one.name: one.verdict for one in release.status.metrics if not one.stratum}
    assert (whole["gold"], whole["task-completion"]) == ("pass", "unjudged")
    await stage.run(600, until="Promoted")


@pytest.mark.parametrize("phase", ANSWERING)
async def test_bounds_that_are_taken_away_in_mid_rollout_let_nothing_pass(stage: Stage, phase: str) -> None:
    v1 = await stage.apply("v1", GOOD, **BY_PHASES)
    await stage.run(600, until=phase)
    before = stage.reach()[v1][0]
    await stage.write_policy(POLICY)
    for _ in range(30):
        await stage.step()
        assert stage.reach()[v1][0] <= before
    release = await stage.release()
    assert release.status.phase == "Loading"
    assert served(stage) == 0.0


async def test_a_raise_from_outside_is_taken_back_before_anything_is_stable_too(stage: Stage) -> None:
    v1 = await stage.apply("v1", GOOD, **BY_PHASES)
    await stage.run(600, until="canary-10")
    await stage.run(2)
    await stage.set_weights({"support-blue": 0, "support-green": 100})
    await stage.operator.reconcile("shop/support")
    assert stage.reach()[v1][0] == pytest.approx(0.1)


async def test_a_withdrawal_whose_route_could_not_be_written_is_finished_later(stage: Stage) -> None:
    phases = [phase | {"minDuration": "60s" if phase["name"] == "half" else "0s"} for phase in SPEC["phases"]]
    v1 = await stage.apply("v1", GOOD, phases=phases, **BY_PHASES)
    await stage.run(600, until="half")
    await stage.run(2)
    stage.refuse_writes("HTTPRoute")
    stage.behaviours[v1] = Behaviour(violations=0.9)
    await stage.run(60, until="RollingBack")
    assert stage.reach()[v1][0] == 0.5
    stage.refuse_writes("")
    await stage.run(30, until="RolledBack")
    assert served(stage) == 0.0


async def test_a_first_phase_that_only_mirrors_is_passed_over_and_the_approval_says_so(stage: Stage) -> None:
    phases = [
        phase | ({"approval": "required"} if phase["name"] == "internal" else {}) for phase in SPEC["phases"]
    ]
    await stage.apply("v1", GOOD, phases=phases, **BY_PHASES)
    release = await stage.run(30)
    assert release.status.verdict == "AwaitingApproval"
    assert "the start → internal needs an AgentApproval" in release.status.reason
