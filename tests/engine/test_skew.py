"""Agents whose clock is off: leases end by the agent's clock, so a large difference must not pass unseen."""

from __future__ import annotations

import pytest
from tests.engine.test_rollout import serving
from tests.support.stage import Behaviour


@pytest.mark.parametrize("skew", [-25.0, 25.0])
async def test_a_skew_above_the_lease_holds_the_phase_and_is_told(skew: float) -> None:
    stage, _ = await serving()
    await stage.apply("v2", Behaviour(completion=0.94))
    await stage.run(200, until="canary-10")
    stage.skew = skew
    for _ in range(120):
        await stage.step(looks=1)
    status = (await stage.release()).status
    assert status.phase == "canary-10"
    assert "25 s" in status.reason
    assert "clock" in status.reason
    stage.skew = 0.0
    await stage.run(400, until="Promoted")


@pytest.mark.parametrize("skew", [-10.0, 10.0])
async def test_a_skew_below_the_lease_is_borne(skew: float) -> None:
    stage, _ = await serving()
    stage.skew = skew
    await stage.apply("v2", Behaviour(completion=0.94))
    await stage.run(400, until="Promoted")
