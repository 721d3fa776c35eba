"""Of several releases that name one object, the first claim holds, and nobody else writes there."""

from __future__ import annotations

import asyncio
import random
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from tests.api.manifests import release
from tests.support.memory_cluster import MemoryCluster

from agentrelease.api.delivery import Slot
from agentrelease.core.exposure import NOTHING, Exposure
from agentrelease.edges.flags.featureflag import FeatureFlagFlags
from agentrelease.edges.kinds import AGENT_RELEASE, CONFIG_MAP, DEPLOYMENT, HTTP_ROUTE
from agentrelease.edges.slots import Slots
from agentrelease.edges.traffic.httproute import HTTPRouteTraffic
from agentrelease.engine.levers import Arm, Placement
from agentrelease.engine.ports import Conflict, Place, Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.edges.cluster import ApiServer
    from agentrelease.engine.ports import Cluster, Object

BLUE, GREEN = "support-blue", "support-green"
CANARY = Exposure(weight=5)


def placed(agent: str, namespace: str, exposure: Exposure = CANARY) -> Placement:
    """Two releases of these differ in nothing but their name: they want the same slots on the same route."""
    return Placement(
        namespace=namespace,
        agent=agent,
        route="support",
        config_map=f"{agent}-flags",
        stable=Arm(f"{agent}-3f9a0c11de", BLUE, NOTHING),
        candidate=Arm(f"{agent}-77aa00bb12", GREEN, exposure),
        services=(BLUE, GREEN),
        objects={"featureflag": "support"},
        note=f"{agent}-77aa00bb12: down",
    )


def named(agent: str, namespace: str) -> Object:
    found: Object = release(agent)
    found["metadata"]["namespace"] = namespace
    found["spec"]["delivery"]["flags"]["featureFlag"] = "support"
    return found


def route(namespace: str) -> Object:
    refs = [{"name": BLUE, "port": 80, "weight": 1}, {"name": GREEN, "port": 80, "weight": 0}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "support", "namespace": namespace},
        "spec": {"parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": refs}]},
    }


def holders(stored: Object | None) -> set[str]:
    assert stored is not None
    notes = stored["metadata"].get("annotations", {})
    return {value for key, value in notes.items() if key.startswith("claim.agentrelease.dev/")}


async def contend(cluster: Cluster, namespace: str, agents: list[str]) -> list[str]:
    """Let every agent try to take the route at once, and again until it has it or is told whose it is."""

    async def one(agent: str) -> str | None:
        lever = HTTPRouteTraffic(cluster)
        placement = placed(agent, namespace)
        while not (await lever.read(placement)).claim:
            try:
                await lever.raise_(placement, 1)
            except Conflict:
                continue
            except Refused:
                return None
            return agent
        return None

    return [agent for agent in await asyncio.gather(*map(one, agents)) if agent]


async def test_of_a_thousand_claims_at_once_exactly_one_holds() -> None:
    cluster = MemoryCluster()
    agents = [f"agent-{number}" for number in range(1000)]
    for agent in agents:
        await cluster.create(named(agent, "ns"))
    await cluster.create(route("ns"))
    order = random.Random(7)

    async def shuffled(verb: str, ref: Ref) -> None:
        for _ in range(order.randrange(4)):
            await asyncio.sleep(0)

    cluster.before = shuffled
    assert len(await contend(cluster, "ns", agents)) == 1
    cluster.before = unhurried
    assert len(holders(await cluster.get(Ref(HTTP_ROUTE, "ns", "support")))) == 1


async def unhurried(verb: str, ref: Ref) -> None: ...


async def test_one_of_many_claims_holds_on_the_real_api_server(
    server: ApiServer, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    agents = [f"agent-{number}" for number in range(20)]
    await asyncio.gather(*(server.create(named(agent, ns)) for agent in agents))
    await server.create(route(ns))
    winners = await contend(server, ns, agents)
    assert holders(await server.get(Ref(HTTP_ROUTE, ns, "support"))) == set(winners)
    assert len(winners) == 1


async def two() -> tuple[MemoryCluster, HTTPRouteTraffic]:
    cluster = MemoryCluster()
    for agent in ("first", "second"):
        await cluster.create(named(agent, "ns"))
    await cluster.create(route("ns"))
    lever = HTTPRouteTraffic(cluster)
    await lever.read(placed("first", "ns"))
    await lever.raise_(placed("first", "ns"), 1)
    return cluster, lever


async def test_the_second_is_told_and_can_neither_raise_nor_lower_what_is_not_its_own() -> None:
    cluster, lever = await two()
    before = deepcopy(cluster.objects[Ref(HTTP_ROUTE, "ns", "support")])
    second = placed("second", "ns", NOTHING)
    reading = await lever.read(second)
    assert reading.claim == f"Service {BLUE} in HTTPRoute ns/support belongs to AgentRelease first"
    assert (reading.candidate, reading.in_sync) == (None, False)
    with pytest.raises(Refused, match="belongs to AgentRelease first"):
        await lever.raise_(second, 9)
    await lever.lower(second)
    assert "belongs to" in str(await lever.confirm(second))
    assert cluster.objects[Ref(HTTP_ROUTE, "ns", "support")] == before
    assert (await lever.read(placed("first", "ns"))).candidate == CANARY


@pytest.mark.parametrize("end", ["deleted", "moved to other slots", "moved to another route"])
async def test_a_claim_falls_with_its_reason(end: str) -> None:
    cluster, lever = await two()
    ref = Ref(AGENT_RELEASE, "ns", "first")
    match end:
        case "deleted":
            await cluster.delete(ref)
        case "moved to other slots":
            slots = {"blue": {"service": "b"}, "green": {"service": "g"}}
            await cluster.merge(ref, {"spec": {"delivery": {"slots": slots}}})
        case _:
            await cluster.merge(ref, {"spec": {"delivery": {"route": {"httpRoute": "another"}}}})
    second = placed("second", "ns")
    assert not (await lever.read(second)).claim
    await lever.raise_(second, 1)
    assert holders(cluster.objects[Ref(HTTP_ROUTE, "ns", "support")]) == {"second"}


async def test_a_featureflag_belongs_to_one_release_as_a_whole() -> None:
    cluster, _ = await two()
    lever = FeatureFlagFlags(cluster)
    await lever.lower(placed("first", "ns"))
    second = placed("second", "ns")
    assert "belongs to AgentRelease first" in (await lever.read(second)).claim
    with pytest.raises(Refused):
        await lever.raise_(second, 1)
    await lever.lower(second)
    assert (await lever.read(placed("first", "ns"))).in_sync


async def test_a_slot_belongs_to_one_release_and_its_bundle_is_not_overwritten() -> None:
    cluster, _ = await two()
    deployment = {"metadata": {"name": GREEN, "namespace": "ns"}, "spec": {"template": {}}}
    await cluster.create({"apiVersion": "apps/v1", "kind": "Deployment"} | deployment)
    slots, slot = Slots(cluster), Slot(service=GREEN, deployment=GREEN)
    await slots.load(Place("ns", "first", "green", slot), "first-77aa00bb12", b"{}")
    with pytest.raises(Refused, match="belongs to AgentRelease first"):
        await slots.load(Place("ns", "second", "green", slot), "second-77aa00bb12", b"[]")
    stored: Any = cluster.objects[Ref(DEPLOYMENT, "ns", GREEN)]
    template = stored["spec"]["template"]["metadata"]["annotations"]
    assert template == {"agentrelease.dev/revision": "first-77aa00bb12"}
    assert Ref(CONFIG_MAP, "ns", "second-green-bundle") not in cluster.objects
