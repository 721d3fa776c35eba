"""Releases from `kubectl apply` to their end, on real parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.gateway import eventually
from tests.support.world import MOMENT

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.chain import Link, check
from agentrelease.core.explanation import explain
from agentrelease.edges.recorder import STREAM

if TYPE_CHECKING:
    from tests.support.world import World

    from agentrelease.api.status import LogHead

PHASES = ["shadow", "internal", "canary-10", "half", "all", "full"]


async def _none_of(here: World, revision: str) -> None:
    """Nothing reaches the revision: weight zero, no mirror."""
    release = await here.release()
    assert release.status.stable is not None
    assert release.status.stable.revision != revision
    weights = await here.route_weights()
    stable = release.spec.delivery.slots[release.status.stable.slot].service
    assert weights[stable] > 0
    assert sum(weight for service, weight in weights.items() if service != stable) == 0
    assert not await here.mirrors()


async def _explained(here: World, head: LogHead | None) -> None:
    """Every decision on the operator's stdout comes out again bit for bit, and none is missing."""

    async def told_up_to_head() -> list[dict[str, Any]] | None:
        lines = [line for line in here.operator_log() if line.get("event") == STREAM]
        return lines if any(head and line["id"] == head.id for line in lines) else None

    told = await eventually(told_up_to_head, "what the status says was decided is told", MOMENT)
    links = [Link.of(line["entry"], line["hash"]) for line in told]
    assert check([link for link in links if head and link.sequence <= head.sequence], head) == ()
    assert [entry["id"] for line in told if not explain(entry := line["entry"]).reproduced] == []
    assert len(told) > 40, "four rollouts are more than forty decisions"


async def test_good_is_promoted_bad_is_rolled_back_and_stays_refused_and_its_fix_starts_clean(
    here: World,
) -> None:
    v1 = await here.apply("v1.yaml")
    await here.promoted(v1)
    here.seen.clear()

    v2 = await here.apply("v2.yaml")
    release = await here.promoted(v2)
    assert [phase for phase in here.seen if phase in PHASES] == PHASES
    assert release.status.stable is not None
    assert release.status.stable.autonomy is Autonomy.FULL_ACTION
    assert (await here.route_weights())["support-green"] > 0

    v3 = await here.apply("v3.yaml")
    release = await here.in_phase("RolledBack")
    assert "policy-violations" in release.status.refused[-1].reason
    await _none_of(here, v3)

    await here.apply("v2.yaml")
    await here.promoted(v2)
    here.seen.clear()
    await here.apply("v3.yaml")
    release = await here.until(lambda r: r.status.verdict == "Refused", "the bad bundle is refused")
    assert here.seen[-1] == "RolledBack"
    assert release.status.candidate is None

    fixed = await here.apply("v3-fixed.yaml")
    release = await here.promoted(fixed)
    await _explained(here, release.status.decision)


async def test_going_back_to_the_stable_bundle_in_mid_rollout_returns_at_once_without_a_rollout(
    here: World,
) -> None:
    v1 = await here.apply("v1.yaml")
    await here.promoted(v1)
    v2 = await here.apply("v2.yaml")
    await here.in_phase("canary-10")
    here.seen.clear()
    await here.apply("v1.yaml")
    release = await here.promoted(v1)
    await _none_of(here, v2)
    assert set(here.seen) <= {"canary-10", "RollingBack", "Promoted"}
    assert release.status.refused == []


async def test_killed_in_every_phase_the_operator_resumes_and_ends_the_same(here: World) -> None:
    await here.promoted(await here.apply("v1.yaml"))
    v2 = await here.apply("v2.yaml")
    for phase in PHASES:
        await here.in_phase(phase)
        await here.kill_operator()
        before = await here.route_weights()
        await here.start_operator()
        assert (await here.route_weights())["support-blue"] <= max(before["support-blue"], 1_000_000)
    await here.promoted(v2)
    v3 = await here.apply("v3.yaml")
    await here.in_phase("canary-10")
    await here.kill_operator()
    await here.start_operator()
    await here.in_phase("RolledBack")
    await _none_of(here, v3)


async def test_without_prometheus_no_phase_is_left_upwards_and_exposure_ends_with_the_budget(
    here: World,
) -> None:
    await here.promoted(await here.apply("v1.yaml"))
    v2 = await here.apply("v2.yaml", rollback={"holdBudget": "3s"})
    for phase in PHASES:
        await here.in_phase(phase, 240)
        await here.stop_prometheus()
        here.seen.clear()
        release = await here.in_phase("Loading")
        assert set(here.seen) <= {phase, "Loading"}, "nothing was raised without evidence"
        assert release.status.exposure.intended.autonomy is Autonomy.OBSERVE
        await _none_of(here, v2)
        await here.start_prometheus()
    await here.promoted(v2, 300)
