"""A candidate has to go while what the operator depends on is broken: all parts real.

One world serves many faults one after the other. For each: what the candidate is given never rises in any
stored state, whatever can be written goes down at once, what is missing is said, and users get nothing of
it as soon as the API server allows it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from tests.support import breakage
from tests.support.breakage import Broken, Scene, rollback_write
from tests.support.fault_proxy import proxying
from tests.support.fault_rules import Point, Rule, crash
from tests.support.gateway import eventually
from tests.support.onlooker import looking_on, nothing, unreached
from tests.support.world import AGENT, EXAMPLES, MOMENT, World, kubectl, world

from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref
from agentrelease.local.demo_exposure import OBSERVE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.fault_rules import Exchange, Seen

    from agentrelease.api.release import AgentRelease
    from agentrelease.local.controlplane import ControlPlane

ALL = {"name": "all", "weight": 100, "autonomy": "limited-action"}
INTERNAL = {"header": {"name": "x-audience", "value": "internal"}}
SHADOW = {"name": "shadow", "mirror": 100, "autonomy": "observe", "minDuration": "1h"}
COHORT = {"name": "internal", "cohort": INTERNAL, "autonomy": "suggestion-only", "minDuration": "1h"}
HALF = {"name": "half", "weight": 50, "autonomy": "limited-action", "minDuration": "1h"}
"""Points of exposure at which a good candidate stays."""

GAUGE = "agentrelease_operator_rollback_incomplete_seconds{"
ROUTE, FLAGS, FLAGS_OF = "route", "flags", "support-flags"
BY_ORDER = (
    (HALF, Broken(breakage.prometheus_stopped, "telemetry cannot show")),
    (COHORT, Broken(breakage.route_never_accepted)),
    (HALF, Broken(breakage.route_writes_fail, "the route still", ROUTE)),
    (HALF, Broken(breakage.flag_writes_fail, "the flags still allow limited-action", FLAGS)),
    (HALF, Broken(breakage.deployments_unavailable)),
    (HALF, Broken(breakage.service_deleted)),
    (SHADOW, Broken(breakage.deployment_deleted)),
)
BY_BREACH = (
    (HALF, Broken(breakage.route_never_accepted)),
    (HALF, Broken(breakage.route_writes_fail, "the route still", ROUTE)),
    (HALF, Broken(breakage.flag_writes_fail, "the flags still allow limited-action", FLAGS)),
    (HALF, Broken(breakage.status_writes_fail, told=False)),
)


@pytest.fixture
async def scene(
    control_plane: ControlPlane, namespace: Callable[[], str], tmp_path: Path
) -> AsyncIterator[Scene]:
    async with proxying(control_plane.kubeconfig, tmp_path) as proxy:
        settings = {
            "AGENTRELEASE_KUBECONFIG": str(proxy.kubeconfig),
            "AGENTRELEASE_LEASE_NAMESPACE": namespace(),
            "AGENTRELEASE_IDENTITY": "always-the-same",  # whoever starts after a kill leads at once
        }
        async with (
            world(control_plane, namespace(), tmp_path, settings=settings) as here,
            looking_on(here) as onlooker,
        ):
            v1 = await here.apply("v1.yaml", phases=[HALF, ALL])
            await here.promoted(v1)
            yield Scene(here, proxy, onlooker, v1)
            lines = here.operator_log()
    assert not [line for line in lines if "Traceback" in str(line)]
    assert not [line for line in lines if line.get("event") == "look broke"]
    assert here.traffic.totals.shadows == 0, "an answer of a mirror reached a user"


async def exposed(scene: Scene, number: int, point: dict[str, Any]) -> str:
    """Bring a new candidate to a point of exposure, in effect and measured."""
    bundle = yaml.safe_load((EXAMPLES / "v2.yaml").read_text())["spec"]["bundle"]
    bundle["memory"] = {"version": f"m{number}"}
    revision = await scene.here.apply("v2.yaml", bundle=bundle, phases=[point, ALL])
    settled = ("Collecting", "Soaking")
    await scene.here.until(
        lambda r: r.status.phase == point["name"] and r.status.verdict in settled, f"{point['name']} settled"
    )
    scene.onlooker.mark(revision)
    return revision


async def order(scene: Scene, revision: str) -> None:
    await scene.here.patch({"rollback": {"to": scene.stable, "of": revision}})


def incomplete(release: AgentRelease) -> str:
    """Return what the condition says is missing; empty while it is not true."""
    found = next(c for c in release.status.conditions if c.type == "RollbackIncomplete")
    return found.message if found.status == "True" else ""


async def goes_down(scene: Scene, revision: str, broken: Broken) -> None:
    """Whatever can be written goes down while the dependency is broken, and the rest is told."""
    onlooker = scene.onlooker
    if broken.stuck == ROUTE:
        await onlooker.until(lambda: onlooker.given(revision).autonomy == OBSERVE, "the flags go down")
        assert not unreached(onlooker.given(revision))
        await _users_meet_only_observers(scene, revision)
    elif broken.stuck == FLAGS:
        await onlooker.until(lambda: unreached(onlooker.given(revision)), "the route goes down")
        await onlooker.nobody_meets(revision)
    else:
        await onlooker.until(lambda: nothing(onlooker.given(revision)), "both go down")
    if broken.incomplete:
        await scene.here.until(lambda r: broken.incomplete in incomplete(r), f"told: {broken.incomplete}")
        await rises(scene.here)
        assert (await scene.here.release()).status.phase == "RollingBack"
    elif broken.told:
        await scene.here.in_phase("RolledBack")


async def incomplete_for(here: World) -> float:
    """Seconds for which the rollback has been incomplete, as the operator itself exports them."""
    starts = [line for line in here.operator_log() if line.get("event") == "operator starts"]
    url = f"http://127.0.0.1:{starts[-1]['port']}/metrics"
    async with aiohttp.ClientSession(trust_env=False) as session, session.get(url) as reply:
        lines = (await reply.text()).splitlines()
    (line,) = [line for line in lines if line.startswith(GAUGE)]
    return float(line.rpartition(" ")[2])


async def rises(here: World) -> None:
    """Wait until the number is above zero, and above what it was then."""

    async def above(least: float) -> float:
        return seconds if (seconds := await incomplete_for(here)) > least else 0.0

    seconds = await eventually(partial(above, 0.0), "a number says how long", MOMENT)
    await eventually(partial(above, seconds), "it rises", MOMENT)


async def none_incomplete(here: World) -> bool:
    return await incomplete_for(here) == 0.0


async def _users_meet_only_observers(scene: Scene, revision: str) -> None:
    """Answers still come from the candidate, because the route can't be written, but its hands are tied."""
    async with asyncio.timeout(MOMENT):
        while True:
            answers = [one for one in await scene.onlooker.ask() if one.revision == revision]
            if {one.autonomy for one in answers} == {"observe"}:
                break
    assert not any({"executed", "approved"} & one.dispositions for one in answers)


async def is_over(scene: Scene, revision: str) -> None:
    """Nothing is given to the candidate, nobody meets it, nothing ever rose, and nothing is missing."""
    release = await scene.here.in_phase("RolledBack")
    assert incomplete(release) == ""
    await eventually(partial(none_incomplete, scene.here), "the number is zero", MOMENT)
    assert release.status.refused[-1].revision == revision
    assert nothing(scene.onlooker.given(revision))
    await scene.onlooker.nobody_meets(revision)
    scene.onlooker.fell_only(revision)


async def test_an_order_is_carried_out_whatever_is_broken(scene: Scene) -> None:
    for number, (point, broken) in enumerate(BY_ORDER):
        revision = await exposed(scene, number, point)
        async with broken.breaking(scene):
            await order(scene, revision)
            await goes_down(scene, revision, broken)
        await is_over(scene, revision)


async def test_a_breach_is_answered_whatever_is_broken(scene: Scene) -> None:
    for number, (point, broken) in enumerate(BY_BREACH):
        revision = await exposed(scene, number, point)
        async with broken.breaking(scene):
            await scene.here.misbehave(revision, violations=0.95)
            await goes_down(scene, revision, broken)
        await is_over(scene, revision)


WITHIN = ("--timeout=120s",)
WRITES = ["flags", "route", "status: RollingBack", "status: RolledBack"]
"""The writes of a rollback, in their order."""


async def test_killed_at_every_write_of_a_rollback_the_next_operator_ends_it(scene: Scene) -> None:
    for number, point in enumerate(Point):
        revision = await exposed(scene, number, HALF)
        killed = await _killed_at_every_write(scene, revision, point)
        assert [write for write in killed if write != "decision log"] == WRITES, point
        await is_over(scene, revision)


async def _killed_at_every_write(scene: Scene, revision: str, point: Point) -> list[str]:
    """Order a rollback, kill an operator at each of its writes once, and say at which."""
    here, killed = scene.here, list[str]()

    def fatal(seen: Seen) -> bool:
        return rollback_write(seen) not in {"", *killed}

    async def kill(exchange: Exchange) -> None:
        killed.append(rollback_write(exchange.seen))
        await crash(point, lambda: os.killpg(here.operators[-1].pid, signal.SIGKILL))(exchange)

    scene.proxy.add(Rule(fatal, kill, times=None))
    await order(scene, revision)
    while True:
        await here.operators[-1].process.wait()
        if "status: RolledBack" in killed:
            break
        await here.start_operator(leading=False)
    scene.proxy.clear()
    await here.start_operator()
    return killed


async def test_in_a_namespace_that_goes_away_the_candidate_goes_first(scene: Scene) -> None:
    """Route and flags are kept by somebody's finalizer, so that what happens to them can be seen."""
    here, onlooker = scene.here, scene.onlooker
    revision = await exposed(scene, 0, HALF)
    kept = [Ref(kinds.HTTP_ROUTE, here.namespace, AGENT), Ref(kinds.CONFIG_MAP, here.namespace, FLAGS_OF)]
    for ref in kept:
        await here.cluster.merge(ref, {"metadata": {"finalizers": ["example.com/kept"]}})
    await kubectl(here.plane, [], "delete", "namespace", here.namespace, "--wait=false")
    await onlooker.until(lambda: nothing(onlooker.given(revision)), "both go down")
    onlooker.fell_only(revision)
    await kubectl(here.plane, [], "wait", "--for=delete", *WITHIN, "-n", here.namespace, f"arel/{AGENT}")
    for ref in kept:
        await here.cluster.merge(ref, {"metadata": {"finalizers": None}})
    await kubectl(here.plane, [], "wait", "--for=delete", *WITHIN, f"namespace/{here.namespace}")
