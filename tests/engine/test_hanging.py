"""A task that never ends is in no counter of finished tasks, and counts all the same."""

from __future__ import annotations

import pytest
from tests.support.stage import POLICY, Behaviour, Stage

WITH_DEADLINE = POLICY | {"outcomes": {"deadline": "5s"}}
GOOD = Behaviour(completion=0.94, violations=0.005)


async def serving(policy: dict[str, object], rate: int = 60) -> Stage:
    stage = Stage(rate=rate)
    await stage.install(policy)
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    return stage


async def test_a_candidate_that_hangs_on_a_fifth_of_its_tasks_and_is_perfect_otherwise_is_rolled_back():
    stage = await serving(WITH_DEADLINE)
    await stage.apply("v2", Behaviour(completion=1.0, violations=0.0, hangs=0.2))
    release = await stage.run(120, until="RolledBack")
    (refused,) = release.status.refused
    assert "is worse than" in refused.reason
    assert max(weight for _, revision, weight in stage.exposed if revision == refused.revision) < 0.5


async def test_without_a_deadline_nobody_sees_it():
    stage = await serving(POLICY)
    await stage.apply("v2", Behaviour(completion=1.0, violations=0.0, hangs=0.2))
    await stage.run(300, until="Promoted")


async def test_a_candidate_that_hangs_on_everything_is_reached_and_rolled_back():
    stage = await serving(WITH_DEADLINE)
    await stage.apply("v2", Behaviour(hangs=1.0))
    release = await stage.run(120, until="RolledBack")
    assert "is worse than" in release.status.refused[0].reason


async def test_hanging_no_more_than_stable_is_no_harm():
    stage = await serving(WITH_DEADLINE)
    stable = (await stage.release()).status.stable
    assert stable is not None
    stage.behaviours[stable.revision] = Behaviour(hangs=0.04)
    v2 = await stage.apply("v2", Behaviour(completion=0.94, violations=0.005, hangs=0.04))
    release = await stage.run(600, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v2


async def test_a_phase_is_not_left_before_its_first_tasks_were_due():
    stage = await serving(WITH_DEADLINE)
    await stage.apply("v2", GOOD)
    entered: dict[str, float] = {}
    for _ in range(300):
        await stage.step()
        status = (await stage.release()).status
        entered.setdefault(status.phase, stage.now)
        if status.phase == "Promoted" and "full" in entered:
            break
    shadow, internal, canary = (entered[phase] for phase in ("shadow", "internal", "canary-10"))
    assert internal - shadow >= 10
    assert canary - internal >= 10


async def test_an_arm_that_does_not_count_what_begins_holds_and_is_named():
    stage = await serving(WITH_DEADLINE)
    stage.missing.add("agentrelease_started_tasks_total")
    await stage.apply("v2", GOOD)
    release = await stage.run(15)
    assert release.status.phase == "shadow"
    assert "has no agentrelease_started_tasks_total" in release.status.reason


@pytest.mark.parametrize("again", [7, 23])
async def test_a_new_process_counts_as_the_old_one_would_have(again: int):
    async def ledger(restart: bool) -> str:
        stage = await serving(WITH_DEADLINE)
        await stage.apply("v2", Behaviour(completion=0.94, violations=0.005, hangs=0.02))
        for second in range(30):
            if restart and second == again:
                stage.operator = stage.new_operator()
            await stage.step()
        return (await stage.release()).status.evidence

    assert await ledger(restart=True) == await ledger(restart=False)
