"""The engine over a closed loop: stored levers, traffic that obeys them, evidence that follows."""

from __future__ import annotations

import pytest
from tests.support.stage import Behaviour, Stage

from agentrelease.api.vocabulary import Autonomy


async def serving(seed: int = 7) -> tuple[Stage, str]:
    stage = Stage(seed=seed)
    await stage.install()
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    return stage, v1


async def test_a_first_release_is_promoted_as_asked() -> None:
    stage, v1 = await serving()
    assert stage.level(v1) is Autonomy.FULL_ACTION
    assert stage.reach()[v1][0] == 1.0


async def test_a_good_release_goes_through_every_phase_and_is_promoted() -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2", Behaviour(completion=0.94, violations=0.005))
    seen = []
    for _ in range(400):
        await stage.step()
        phase = (await stage.release()).status.phase
        if not seen or seen[-1] != phase:
            seen.append(phase)
        if phase == "Promoted":
            break
    assert seen == ["Loading", "shadow", "internal", "canary-10", "half", "all", "full", "Promoted"]
    assert stage.reach()[v2][0] == 1.0
    assert stage.level(v2) is Autonomy.FULL_ACTION
    assert stage.level(v1) is Autonomy.OBSERVE


async def test_a_release_that_violates_more_is_rolled_back_although_it_completes_more() -> None:
    stage, v1 = await serving()
    v3 = await stage.apply("v3", Behaviour(completion=0.99, violations=0.15))
    release = await stage.run(200, until="RolledBack")
    assert stage.reach()[v3] == (0.0, 0.0)
    assert stage.level(v3) is Autonomy.OBSERVE
    assert stage.reach()[v1][0] == 1.0
    assert stage.level(v1) is Autonomy.FULL_ACTION
    assert "policy-violations" in release.status.refused[0].reason


async def test_a_forbidden_action_in_shadow_ends_the_release_within_two_looks() -> None:
    stage, _ = await serving()
    v3 = await stage.apply("v3", Behaviour(rogue=1.0))
    await stage.run(30, until="shadow")
    for _ in range(3):
        await stage.step()
    assert stage.reach()[v3] == (0.0, 0.0)
    assert (await stage.run(20, until="RolledBack")).status.refused[0].revision == v3


async def test_a_rolled_back_bundle_stays_refused_and_a_fixed_one_starts_clean() -> None:
    stage, _ = await serving()
    await stage.apply("v3", Behaviour(violations=0.3))
    await stage.run(200, until="RolledBack")
    await stage.apply("v1")
    await stage.run(10, until="Promoted")
    await stage.apply("v3")
    await stage.run(10, until="RolledBack")
    assert "RolloutStarted" not in stage.told.causes[-3:]
    v4 = await stage.apply("v4", Behaviour(completion=0.95))
    release = await stage.run(400, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v4


@pytest.mark.parametrize("phase", ["shadow", "internal", "canary-10", "half", "all", "full"])
async def test_going_back_to_the_stable_bundle_ends_a_rollout_at_once(phase: str) -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2")
    await stage.run(400, until=phase)
    await stage.apply("v1")
    await stage.step()
    assert stage.reach()[v2] == (0.0, 0.0)
    assert stage.reach()[v1][0] == 1.0
    release = await stage.run(10, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v1
    assert release.status.refused == []


@pytest.mark.parametrize("phase", ["shadow", "internal", "canary-10", "half", "all", "full"])
async def test_without_prometheus_nothing_is_raised_and_exposure_ends_when_the_budget_is_spent(
    phase: str,
) -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2")
    await stage.run(400, until=phase)
    before = stage.reach()[v2], stage.level(v2)
    stage.prometheus_up = False
    for _ in range(8):
        await stage.step()
        assert stage.reach()[v2] <= before[0]
        assert stage.level(v2) <= before[1]
    await stage.run(10)
    assert stage.reach()[v2] == (0.0, 0.0)
    assert stage.level(v2) is Autonomy.OBSERVE
    assert stage.reach()[v1][0] == 1.0
    stage.prometheus_up = True
    release = await stage.run(400, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v2
