"""What a rollout will take, from what Prometheus shows of the agent."""

from __future__ import annotations

import pytest
from tests.support.stage import SPEC, Stage

PATIENT = [one | {"minSamples": 1000} for one in SPEC["phases"]]


@pytest.mark.parametrize("seconds", [3, 60])
async def test_the_traffic_of_an_agent_that_is_new_is_not_taken_for_less_than_it_is(seconds: int) -> None:
    stage = Stage(rate=100)
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    await stage.run(seconds)
    await stage.apply("v2", phases=PATIENT)
    release = await stage.run(30, until="shadow")
    shadow = release.status.outlook[0]
    assert shadow.phase == "shadow"
    assert shadow.tasks == 1000
    assert shadow.seconds == pytest.approx(10.0, rel=0.35)
