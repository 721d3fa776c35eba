"""An agent that is asked seldom: silence that is usual is no disagreement, and unusual silence is one."""

from __future__ import annotations

import pytest
from tests.support.stage import Behaviour, Stage, lasting

GOOD = Behaviour(completion=0.94, violations=0.0)


@pytest.fixture
async def stage() -> Stage:
    """One task in ten seconds for a candidate of 10 %."""
    stage = Stage()
    await stage.install()
    await stage.apply("v1", GOOD)
    await stage.run(60, until="Promoted")
    await stage.apply("v2", GOOD, phases=lasting("canary-10"))
    await stage.run(400, until="canary-10")
    stage.rate = 1
    return stage


async def test_the_phases_clock_runs_although_nobody_asks_the_candidate_for_a_while(stage: Stage) -> None:
    await stage.run(60)
    before = (await stage.release()).status.candidate
    verdicts = [(await stage.run(1)).status.verdict for _ in range(120)]
    after = (await stage.release()).status.candidate
    assert before is not None
    assert after is not None
    assert "NotMeasured" not in verdicts
    assert after.active_seconds - before.active_seconds > 115


async def test_a_share_is_measured_over_enough_tasks_to_show_one(stage: Stage) -> None:
    stage.rate = 3
    measured = (await stage.run(100)).status.exposure.measured
    assert measured is not None
    assert measured.weight is not None
    assert 30.0 <= measured.seconds <= 60.0
    assert 0.0 < measured.weight < 25.0


async def test_silence_that_is_no_chance_is_a_disagreement(stage: Stage) -> None:
    stage.rate = 20
    await stage.run(60)
    candidate = (await stage.release()).status.candidate
    assert candidate is not None
    stage.refuses[candidate.revision] = 1.0
    release = await stage.run(45)
    assert release.status.verdict == "NotMeasured"
    assert "none of them with audience=external" in release.status.reason


async def test_the_forecast_of_a_seldom_asked_agent_counts_minutes_not_seconds() -> None:
    stage = Stage(rate=1)
    await stage.install()
    await stage.apply("v1", GOOD)
    await stage.run(60, until="Promoted")
    await stage.run(100)
    await stage.apply("v2", GOOD)
    release = await stage.run(60, until="shadow")
    (shadow,) = (one for one in release.status.outlook if one.phase == "shadow")
    assert shadow.seconds is not None
    assert shadow.tasks is not None
    assert 0.7 < shadow.tasks / shadow.seconds < 1.4
