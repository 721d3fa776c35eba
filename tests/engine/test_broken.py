"""What the operator depends on is broken while a candidate has to go: in every phase, by itself or by order.

Three things must hold. Exposure never rises; what can be written goes down at once; and everything is down as
soon as the API server allows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.memory_cluster import no_fault
from tests.support.stage import AGENT, KEY, NAMESPACE, Behaviour, Stage

from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges import kinds
from agentrelease.engine.ports import ClusterError, Ref, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTE = Ref(kinds.HTTP_ROUTE, NAMESPACE, AGENT)
FLAGS = Ref(kinds.CONFIG_MAP, NAMESPACE, "support-flags")
RELEASE = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
PHASES = ("shadow", "internal", "canary-10", "half", "all")


def failing(stage: Stage, error: Callable[[str], ClusterError], *refs: Ref, verbs: set[str]) -> None:
    async def fail(verb: str, ref: Ref) -> None:
        if verb in verbs and (ref in refs or not refs):
            raise error(f"{verb} {ref}: injected")

    stage.cluster.before = fail


WRITES = {"create", "replace", "merge", "delete"}


def route_writes(stage: Stage) -> None:
    failing(stage, Unavailable, ROUTE, verbs=WRITES)


def route_reads(stage: Stage) -> None:
    failing(stage, Unavailable, ROUTE, verbs={"get"})


def flag_writes(stage: Stage) -> None:
    failing(stage, Unavailable, FLAGS, verbs=WRITES)


def status_writes(stage: Stage) -> None:
    failing(stage, Unavailable, RELEASE, verbs=WRITES)


def bundles(stage: Stage) -> None:
    async def fail(verb: str, ref: Ref) -> None:
        if ref.kind in (kinds.AGENT_REVISION, kinds.GUARDRAIL_POLICY):
            raise Unavailable(f"{verb} {ref}: injected")

    stage.cluster.before = fail


def namespace_terminating(stage: Stage) -> None:
    failing(stage, Refused, verbs={"create"})


def route_not_accepted(stage: Stage) -> None:
    """What a gateway says, too, when the Service of a slot is gone."""
    stage.accepts_routes = False
    for parent in stage.cluster.objects[ROUTE]["status"]["parents"]:
        for condition in parent["conditions"]:
            condition["status"] = "False"


def deployments_unavailable(stage: Stage) -> None:
    controllers = stage._controllers

    async def down() -> None:
        await controllers()
        for slot in ("blue", "green"):
            found = stage.cluster.objects[Ref(kinds.DEPLOYMENT, NAMESPACE, f"{AGENT}-{slot}")]
            found["status"] |= {"availableReplicas": 0, "unavailableReplicas": 1}

    stage._controllers = down


def no_lease(stage: Stage) -> None:
    stage.epoch = None


ROUTE_STUCK = (route_writes, route_reads)
BROKEN = (
    *ROUTE_STUCK,
    flag_writes,
    status_writes,
    bundles,
    namespace_terminating,
    route_not_accepted,
    deployments_unavailable,
    no_lease,
)


def exposure(stage: Stage, revision: str) -> tuple[float, float, bool, Autonomy]:
    weight, mirror = stage.reach()[revision]
    return weight, mirror, stage.cohort() == revision, stage.level(revision)


def down(stage: Stage, revision: str) -> bool:
    return exposure(stage, revision) == (0.0, 0.0, False, Autonomy.OBSERVE)


async def in_phase(phase: str) -> tuple[Stage, str, str]:
    """A candidate that stays in a phase, in effect and measured."""
    stage = Stage()
    await stage.install()
    v1 = await stage.apply("v1")
    await stage.run(60, until="Promoted")
    v2 = await stage.apply("v2", Behaviour(violations=0.0))
    await stage.run(300, until=phase)
    await stage.apply("v2", paused=True)
    for _ in range(3):
        await stage.step()
    return stage, v1, v2


async def never_up(stage: Stage, revision: str, seconds: int) -> None:
    """Go on, and see that no part of the exposure rises."""
    before = exposure(stage, revision)
    for _ in range(seconds):
        await stage.step()
        now = exposure(stage, revision)
        assert all(new <= old for new, old in zip(now, before, strict=True)), (before, now)
        before = now


async def go(stage: Stage, how: str, v1: str, v2: str) -> None:
    """Give the reason to go: the candidate's own doing, or an order, which needs no evidence."""
    if how == "automatic":
        stage.behaviours[v2] = Behaviour(violations=0.9)
        return
    stage.prometheus_up = False
    fault, stage.cluster.before = stage.cluster.before, no_fault
    stored = await stage.cluster.get(RELEASE)
    assert stored is not None
    stored["spec"]["rollback"] = {**stored["spec"]["rollback"], "to": v1, "of": v2}
    await stage.cluster.replace(stored)
    stage.cluster.before = fault


@pytest.mark.parametrize("how", ["automatic", "by hand"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
async def test_exposure_never_rises_and_is_nothing_as_soon_as_the_api_server_allows_it(
    broken: Callable[[Stage], None], phase: str, how: str
) -> None:
    stage, v1, v2 = await in_phase(phase)
    broken(stage)
    await go(stage, how, v1, v2)
    await never_up(stage, v2, 15)
    if broken is flag_writes:
        assert exposure(stage, v2)[:3] == (0.0, 0.0, False)
    elif broken in ROUTE_STUCK:
        assert stage.level(v2) is Autonomy.OBSERVE
    else:
        assert down(stage, v2), "nothing that the lowering needs is broken"
    stage.cluster.before = no_fault
    await never_up(stage, v2, 5)
    assert down(stage, v2)
    assert stage.reach()[v1][0] == 1.0


async def test_an_order_is_carried_out_by_one_look_whatever_else_is_broken() -> None:
    stage, v1, v2 = await in_phase("half")
    for broken in (route_not_accepted, deployments_unavailable, no_lease, bundles):
        broken(stage)
    await go(stage, "by hand", v1, v2)
    await stage.operator.reconcile(KEY)
    assert down(stage, v2)
