"""What may not happen even once is heard between two looks; everything else waits for its block."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from tests.support.stage import KEY, POLICY, Behaviour, Stage

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.ledger import Ledger


async def in_phase(phase: str, on_breach: str = "rollback") -> tuple[Stage, str]:
    policy: dict[str, Any] = deepcopy(POLICY)
    next(m for m in policy["metrics"] if "event" in m)["onBreach"] = on_breach
    stage = Stage(seed=7)
    await stage.install(policy)
    await stage.apply("v1", Behaviour(rogue=1.0))
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2")
    await stage.run(400, until=phase)
    await stage.step()
    await stage.lookout.listen()
    return stage, v2


def executed(stage: Stage, revision: str) -> int:
    return sum(tally.executed for (one, _), tally in stage.tallies.items() if one == revision)


@pytest.mark.parametrize("phase", ["shadow", "internal", "canary-10"])
async def test_a_forbidden_action_takes_everything_away_before_its_block_has_ended(phase: str) -> None:
    stage, v2 = await in_phase(phase)
    through = stage.lookout.latest.end if stage.lookout.latest else 0.0
    stage.behaviours[v2] = Behaviour(rogue=1.0)
    stage._traffic()
    assert await stage.lookout.listen() == {KEY}
    await stage.operator.reconcile(KEY)
    assert stage.now == through  # no look was taken in between
    assert stage.reach()[v2] == (0.0, 0.0)
    assert stage.level(v2) is Autonomy.OBSERVE
    assert (await stage.run(20, until="RolledBack")).status.refused[0].revision == v2


async def test_what_was_heard_is_not_counted_again_with_its_block() -> None:
    stage, v2 = await in_phase("canary-10", on_breach="pause")
    before = executed(stage, v2)
    stage.behaviours[v2] = Behaviour(rogue=1.0)
    stage._traffic()
    heard = executed(stage, v2) - before
    await stage.lookout.listen()
    await stage.operator.reconcile(KEY)
    first = Ledger.from_json((await stage.release()).status.evidence)
    stage.behaviours[v2] = Behaviour()
    stage.now += 1.0
    await stage.lookout.look()
    await stage.operator.reconcile(KEY)
    second = Ledger.from_json((await stage.release()).status.evidence)
    assert second.through > first.through
    assert first.events == second.events == {"forbidden-action": heard}


async def test_an_action_that_is_allowed_wakes_nobody() -> None:
    stage, v2 = await in_phase("canary-10")
    stage._traffic()
    assert executed(stage, v2) == 0  # stable, at full-action, acts with every task
    assert await stage.lookout.listen() == frozenset()
    await stage.run(400, until="full")
    await stage.run(3)
    await stage.lookout.listen()
    before = executed(stage, v2)
    stage._traffic()
    assert executed(stage, v2) > before
    assert await stage.lookout.listen() == frozenset()


async def test_a_worse_rate_waits_for_its_block() -> None:
    stage, v2 = await in_phase("canary-10")
    stage.behaviours[v2] = Behaviour(violations=1.0)
    stage._traffic()
    assert await stage.lookout.listen() == frozenset()
    await stage.operator.reconcile(KEY)
    assert stage.reach()[v2][0] == pytest.approx(0.1)


async def test_where_nothing_can_be_heard_nothing_changes_and_the_next_look_finds_it() -> None:
    stage, v2 = await in_phase("canary-10")
    stage.behaviours[v2] = Behaviour(rogue=1.0)
    stage._traffic()
    stage.prometheus_up = False
    assert await stage.lookout.listen() == frozenset()
    stage.prometheus_up = True
    await stage.step()
    assert stage.level(v2) is Autonomy.OBSERVE


async def test_a_level_that_was_lowered_after_promotion_is_listened_for_as_well() -> None:
    stage = Stage(seed=7)
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    phases = [
        {"name": name, "weight": weight, "autonomy": "suggestion-only", "minSamples": 20}
        for name, weight in (("half", 50), ("all", 100))
    ]
    v2 = await stage.apply("v2", phases=phases)
    await stage.run(200, until="Promoted")
    await stage.run(5)
    await stage.lookout.listen()
    stage.behaviours[v2] = Behaviour(rogue=1.0)
    stage._traffic()
    assert await stage.lookout.listen() == {KEY}
    await stage.operator.reconcile(KEY)
    assert stage.reach()[v2][0] == 0.0 or stage.level(v2) is Autonomy.OBSERVE
