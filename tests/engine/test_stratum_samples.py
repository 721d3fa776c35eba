"""Samples that a phase asks for in single strata."""

from __future__ import annotations

from copy import deepcopy

from tests.support.stage import POLICY, SPEC, Behaviour, Stage


async def test_a_phase_waits_for_samples_of_a_stratum_that_nobody_sends() -> None:
    stage = Stage(seed=7)
    policy = deepcopy(POLICY) | {"strata": {"labels": ["risk_tier"]}}
    await stage.install(policy)
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    phases = deepcopy(SPEC["phases"])
    phases[2]["strataSamples"] = [{"match": {"risk_tier": "high"}, "samples": 10}]
    await stage.apply("v2", Behaviour(completion=0.95), phases=phases)
    for _ in range(200):
        await stage.step(looks=1)
    status = (await stage.release()).status
    assert status.phase == "canary-10"
    assert "risk_tier=high" in status.reason
