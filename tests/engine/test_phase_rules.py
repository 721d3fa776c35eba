"""What it takes to leave a phase: its clock, which runs only while all agree, its samples, its deadline."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.stage import AGENT, NAMESPACE, SPEC, Behaviour, Stage

from agentrelease.api.vocabulary import API_VERSION, Autonomy

GOOD = Behaviour(completion=0.95, violations=0.005)
BLUE, GREEN = f"{AGENT}-blue", f"{AGENT}-green"


def with_half(**rules: Any) -> list[dict[str, Any]]:
    """The stage's phases with rules for `half`."""
    return [phase | (rules if phase["name"] == "half" else {}) for phase in SPEC["phases"]]


async def in_half(**rules: Any) -> tuple[Stage, str]:
    stage = Stage()
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2", GOOD, phases=with_half(**rules))
    await stage.run(600, until="half")
    return stage, v2


async def clock(stage: Stage) -> float:
    candidate = (await stage.release()).status.candidate
    assert candidate is not None
    return candidate.active_seconds


async def test_a_phase_lasts_its_time_although_everything_is_proven() -> None:
    stage, _ = await in_half(minDuration="25s")
    began = stage.now
    release = await stage.run(12)
    assert (release.status.phase, release.status.verdict) == ("half", "Soaking")
    await stage.run(60, until="all")
    assert stage.now - began >= 25


async def test_a_phase_waits_for_its_samples_although_its_time_is_over() -> None:
    stage, _ = await in_half(minDuration="5s", minSamples=1200)
    release = await stage.run(15)
    assert (release.status.phase, release.status.verdict) == ("half", "Collecting")
    assert "more samples are required" in release.status.reason
    await stage.run(60, until="all")


async def unaccepted(stage: Stage) -> None:
    stage.accepts_routes = False
    await stage.set_weights({BLUE: 51, GREEN: 49})  # a new generation that nobody confirms


async def lowered(stage: Stage) -> None:
    await stage.set_weights({BLUE: 99, GREEN: 1})


async def unmeasured(stage: Stage) -> None:
    stage.level = lambda _revision, _tier="low": Autonomy.OBSERVE  # agents that don't obey their flags


async def blind(stage: Stage) -> None:
    stage.prometheus_up = False


async def skewed(stage: Stage) -> None:
    stage.skew = 1000.0


async def paused(stage: Stage) -> None:
    await stage.apply("v2", phases=with_half(minDuration="60s"), paused=True, rollback={"holdBudget": "10m"})


@pytest.mark.parametrize("broken", [lowered, unaccepted, unmeasured, blind, skewed, paused])
async def test_the_clock_stands_while_intended_live_and_measured_do_not_agree(broken: Any) -> None:
    stage, _ = await in_half(minDuration="60s")
    await stage.apply("v2", phases=with_half(minDuration="60s"), rollback={"holdBudget": "10m"})
    await stage.run(8)
    assert await clock(stage) > 3
    await broken(stage)
    await stage.run(2)
    before = await clock(stage)
    release = await stage.run(10)
    assert await clock(stage) == before, release.status.reason


async def test_time_in_which_no_operator_looked_does_not_count() -> None:
    stage, _ = await in_half(minDuration="60s")
    await stage.run(8)
    before = await clock(stage)
    stage.now += 3600
    stage.operator = stage.new_operator()
    release = await stage.run(4)
    assert release.status.phase == "half"
    assert await clock(stage) <= before + 3 + 4


UNDECIDED = {"minSamples": 10_000_000, "deadline": "20s"}


async def test_a_deadline_that_holds_holds_and_a_breach_still_rolls_back() -> None:
    stage, v2 = await in_half(**UNDECIDED, onDeadline="hold")
    release = await stage.run(60)
    assert (release.status.phase, release.status.verdict) == ("half", "DeadlinePassed")
    assert stage.reach()[v2][0] == 0.5
    stage.behaviours[v2] = Behaviour(violations=0.9)
    await stage.run(60, until="RolledBack")


async def test_a_deadline_that_steps_back_goes_to_the_phase_before() -> None:
    stage, v2 = await in_half(**UNDECIDED, onDeadline="stepBack")
    release = await stage.run(60, until="canary-10")
    assert "phase half was not decided within 20s" in release.status.history[-1].reason
    assert (stage.reach()[v2][0], stage.level(v2)) == (0.1, Autonomy.SUGGESTION_ONLY)


async def test_a_deadline_that_rolls_back_refuses_the_bundle() -> None:
    stage, v2 = await in_half(**UNDECIDED, onDeadline="rollback")
    release = await stage.run(60, until="RolledBack")
    assert "was not decided within 20s" in release.status.refused[0].reason
    assert stage.reach()[v2] == (0.0, 0.0)


async def test_a_deadline_that_asks_for_an_approval_takes_it_and_the_evidence() -> None:
    stage, _ = await in_half(minSamples=3000, deadline="20s", onDeadline="requireApproval")
    release = await stage.run(30)
    assert (release.status.phase, release.status.verdict) == ("half", "ApprovalRequired")
    await _consent(stage, "half", "all")
    release = await stage.run(5)
    assert (release.status.phase, release.status.verdict) == ("half", "Collecting"), "consent is no evidence"
    await stage.run(60, until="all")


@pytest.mark.parametrize("what", ["hold", "stepBack", "rollback", "requireApproval"])
async def test_no_passed_deadline_ever_raises_anything(what: str) -> None:
    stage, v2 = await in_half(**UNDECIDED, onDeadline=what)
    for _ in range(80):
        await stage.step()
        assert stage.reach().get(v2, (0.0, 0.0))[0] <= 0.5
        assert stage.level(v2) <= Autonomy.LIMITED_ACTION


@pytest.mark.parametrize("phase", ["shadow", "internal", "canary-10", "half", "all", "full"])
async def test_a_new_bundle_finds_the_running_one_out_and_stable_where_it_was(phase: str) -> None:
    stage = Stage()
    await stage.install()
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2", GOOD)
    await stage.run(600, until=phase)
    level = stage.level(v1)
    v3 = await stage.apply("v3", GOOD)
    for _ in range(600):
        await stage.step()
        reach = stage.reach()
        release = await stage.release()
        assert reach[v1][0] == 1.0 - sum(share for one, (share, _) in reach.items() if one != v1)
        assert stage.level(v1) is level
        if v3 in reach and any(reach[v3]):
            assert v2 not in reach
            break
        assert reach.get(v2, (0.0, 0.0)) == (0.0, 0.0)
    assert release.status.phase == "shadow"


async def _consent(stage: Stage, leaves: str, enters: str) -> None:
    candidate = (await stage.release()).status.candidate
    assert candidate is not None
    spec = {
        "release": AGENT,
        "digest": candidate.digest,
        "from": leaves,
        "to": enters,
        "approver": "ann@example.com",
        "expires": datetime.fromtimestamp(stage.now + 3600, UTC).isoformat(),
    }
    metadata = {"name": "yes", "namespace": NAMESPACE}
    await stage.cluster.create(
        {"apiVersion": API_VERSION, "kind": "AgentApproval", "metadata": metadata, "spec": spec}
    )
