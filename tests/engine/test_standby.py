"""A process that does not lead, beside one that does: it may take back, but nothing that was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.memory_cluster import no_fault
from tests.support.stage import AGENT, KEY, NAMESPACE, Stage

from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from agentrelease.engine.reconcile import Reconciler

LEVERS = (Ref(kinds.CONFIG_MAP, NAMESPACE, "support-flags"), Ref(kinds.HTTP_ROUTE, NAMESPACE, AGENT))


async def stands_by(stage: Stage, standby: Reconciler, lever: Ref) -> None:
    """Let a standby look, while the leader makes a whole look just before the standby reads a lever."""
    epoch, stage.epoch = stage.epoch, None

    async def between(verb: str, ref: Ref) -> None:
        if (verb, ref) == ("get", lever):
            stage.cluster.before, stage.epoch = no_fault, epoch
            await stage.operator.reconcile(KEY)
            stage.epoch = None

    stage.cluster.before = between
    await standby.reconcile(KEY)
    stage.cluster.before, stage.epoch = no_fault, epoch


@pytest.mark.parametrize("lever", LEVERS, ids=["flags", "route"])
async def test_a_standby_that_reads_while_the_leader_raises_takes_nothing_back(lever: Ref) -> None:
    stage = Stage(rate=60)
    await stage.install()
    standby, stage.operator = stage.operator, stage.new_operator()
    for prompt in ("v1", "v2"):
        revision = await stage.apply(prompt)
        for _ in range(300):
            await stands_by(stage, standby, lever)
            await stage.step(looks=0)  # the leader looks only while the standby does
            status = (await stage.release()).status
            if status.phase == "Promoted" and status.stable and status.stable.revision == revision:
                break
        assert status.stable is not None
        assert status.stable.revision == revision
    assert stage.level(revision) is Autonomy.FULL_ACTION
    assert not {"LoweredFromOutside", "DriftUndone", "StatusLost"} & set(stage.told.causes)


async def test_a_standby_takes_back_what_somebody_raised() -> None:
    stage = Stage(rate=60)
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2")
    await stage.run(300, until="canary-10")
    await stage.step()
    stage.epoch = None
    await stage.set_weights({f"{AGENT}-blue": 0, f"{AGENT}-green": 100})
    await stage.operator.reconcile(KEY)
    assert stage.reach()[v2][0] == pytest.approx(0.1)
