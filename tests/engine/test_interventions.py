"""Interventions milder than rollback: what each takes, how it is earned back, and where it ends."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from tests.support.stage import BUNDLE, POLICY, Behaviour, Stage

from agentrelease.api.vocabulary import Autonomy

GOOD, BAD = Behaviour(completion=0.92, violations=0.01), Behaviour(completion=0.60, violations=0.01)


def policy(action: str) -> dict[str, Any]:
    changed = deepcopy(POLICY)
    for metric in changed["metrics"]:
        if metric["name"] == "task-completion":
            metric["onBreach"] = action
    return changed


async def at_half(action: str) -> tuple[Stage, str]:
    """A good candidate at half of the traffic, under a policy that answers bad completion with ``action``."""
    stage = Stage(seed=7)
    await stage.install(policy(action))
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2", GOOD)
    await stage.run(400, until="half")
    await stage.step()
    return stage, v2


async def until_cause(stage: Stage, cause: str, seconds: int = 120) -> None:
    before = stage.told.causes.count(cause)
    for _ in range(seconds):
        await stage.step()
        if stage.told.causes.count(cause) > before:
            return
    raise AssertionError(f"no {cause} in {stage.told.causes[-8:]}")


async def interventions(stage: Stage) -> int:
    candidate = (await stage.release()).status.candidate
    return candidate.interventions if candidate else 0


async def intervened(stage: Stage) -> None:
    for _ in range(120):
        if await interventions(stage):
            return
        await stage.step()
    raise AssertionError("no intervention")


def turn(stage: Stage, revision: str, behaviour: Behaviour) -> None:
    stage.behaviours[revision] = behaviour


async def test_lowered_autonomy_is_earned_back_level_by_level_and_the_release_still_gets_through() -> None:
    stage, v2 = await at_half("lowerAutonomy")
    turn(stage, v2, BAD)
    await until_cause(stage, "AutonomyLowered")
    assert stage.level(v2) is Autonomy.SUGGESTION_ONLY
    assert (await stage.release()).status.phase == "half"
    turn(stage, v2, GOOD)
    await until_cause(stage, "WayBackEarned", 300)
    release = await stage.run(800, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v2
    assert stage.level(v2) is Autonomy.FULL_ACTION


TAKEN_UP = 6
"""Seconds that these agents go on as before until they have read their new flags; less than a lease."""


@pytest.mark.parametrize("action", ["lowerAutonomy", "reduceTools", "fallbackModel", "stepBack"])
async def test_what_agents_do_before_they_take_up_an_intervention_is_no_reason_for_another(
    action: str,
) -> None:
    stage, v2 = await at_half(action)
    turn(stage, v2, BAD)
    await intervened(stage)
    for _ in range(TAKEN_UP):
        await stage.step()
    turn(stage, v2, GOOD)
    for _ in range(600):
        if (await stage.release()).status.phase == "Promoted":
            break
        assert await interventions(stage) == 1
        await stage.step()
    assert (await stage.release()).status.phase == "Promoted"


async def test_what_agents_go_on_doing_after_they_took_it_up_is_a_reason_for_another() -> None:
    stage, v2 = await at_half("lowerAutonomy")
    turn(stage, v2, BAD)
    await until_cause(stage, "AutonomyLowered")
    await until_cause(stage, "AutonomyLowered")
    assert stage.level(v2) is Autonomy.OBSERVE


async def test_a_breach_that_asks_for_a_rollback_does_not_wait_until_agents_took_up_an_intervention() -> None:
    stage, v2 = await at_half("lowerAutonomy")
    turn(stage, v2, BAD)
    await until_cause(stage, "AutonomyLowered")
    turn(stage, v2, Behaviour(completion=0.92, violations=0.5))
    release = await stage.run(TAKEN_UP, until="RollingBack")
    assert release.status.candidate is not None
    assert "policy-violations" in release.status.candidate.reason


async def test_nothing_goes_to_the_next_phase_while_something_is_taken() -> None:
    stage, v2 = await at_half("lowerAutonomy")
    turn(stage, v2, BAD)
    await until_cause(stage, "AutonomyLowered")
    turn(stage, v2, GOOD)
    while (await stage.release()).status.phase == "half":
        status = (await stage.release()).status
        await stage.step()
    assert status.candidate is not None
    assert status.candidate.autonomy_cap is None


async def test_reduced_tools_leave_the_autonomy_and_come_back() -> None:
    stage, v2 = await at_half("reduceTools")
    before = tools(stage, v2)
    turn(stage, v2, BAD)
    await until_cause(stage, "ToolsReduced")
    assert stage.level(v2) is Autonomy.LIMITED_ACTION
    assert tools(stage, v2) < before
    turn(stage, v2, GOOD)
    await until_cause(stage, "WayBackEarned", 300)
    await stage.step()
    assert tools(stage, v2) == before


async def test_the_fallback_model_is_in_the_flags_and_leaves_them_again() -> None:
    stage, v2 = await at_half("fallbackModel")
    turn(stage, v2, BAD)
    await until_cause(stage, "FallbackModel")
    fallback = BUNDLE["model"]["fallback"]
    assert stage.flag("model", v2) == f"{fallback['name']}@{fallback['version']}"
    turn(stage, v2, GOOD)
    await until_cause(stage, "WayBackEarned", 300)
    await stage.step()
    assert stage.flag("model", v2) == ""


@pytest.mark.parametrize("action", ["fallbackModel", "reduceTools", "lowerAutonomy", "stepBack"])
async def test_a_candidate_that_stays_bad_loses_one_thing_after_the_other_and_is_rolled_back(
    action: str,
) -> None:
    stage, v2 = await at_half(action)
    turn(stage, v2, BAD)
    release = await stage.run(900, until="RolledBack")
    assert release.status.refused[-1].revision == v2
    assert stage.reach()[v2] == (0.0, 0.0)
    assert stage.level(v2) is Autonomy.OBSERVE


async def test_where_a_guardrail_asks_for_approval_the_next_phase_waits_for_one_after_it_recovered() -> None:
    stage, v2 = await at_half("requireApproval")
    turn(stage, v2, BAD)
    await until_cause(stage, "ApprovalRequired")
    turn(stage, v2, Behaviour(completion=0.999, violations=0.0))
    for _ in range(400):
        await stage.step()
    status = (await stage.release()).status
    assert status.phase == "half"
    assert status.candidate is not None
    assert status.candidate.approval_asked


def tools(stage: Stage, revision: str) -> set[str]:
    policy = stage.flag("tool-policy", revision)
    return {*policy["allow"], *policy["requireApproval"]}
