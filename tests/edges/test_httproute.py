"""A user's HTTPRoute as a lever, on the real API server with Gateway API's own CRDs."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agentrelease.api.vocabulary import EPOCH_ANNOTATION, LOWERED_ANNOTATION
from agentrelease.core.exposure import NOTHING, Cohort, Exposure
from agentrelease.edges.kinds import HTTP_ROUTE
from agentrelease.edges.traffic.httproute import HTTPRouteTraffic
from agentrelease.engine.levers import Arm, Placement, Reading
from agentrelease.engine.ports import Conflict, Missing, Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.edges.cluster import ApiServer
    from agentrelease.engine.ports import Object

STABLE, CANDIDATE = "support-3f9a0c11de", "support-77aa00bb12"
BLUE, GREEN = "support-blue", "support-green"
EVERYTHING = Exposure(mirror=100, cohort=Cohort("x-audience", "internal"), weight=0.5)


def placed(namespace: str, exposure: Exposure = EVERYTHING, *, note: str = "", **more: Any) -> Placement:
    return Placement(
        namespace=namespace,
        agent="support",
        route="support",
        config_map="support-flags",
        stable=Arm(STABLE, BLUE, NOTHING),
        candidate=Arm(CANDIDATE, GREEN, exposure),
        services=(BLUE, GREEN),
        note=note,
        **more,
    )


def where(namespace: str) -> Ref:
    return Ref(HTTP_ROUTE, namespace, "support")


def users_route(namespace: str, rules: list[Object] | None = None) -> Object:
    """A route with everything that a person may have put into it."""
    main = {
        "name": "chat",
        "matches": [{"path": {"type": "PathPrefix", "value": "/chat"}}],
        "filters": [
            {
                "type": "RequestHeaderModifier",
                "requestHeaderModifier": {"set": [{"name": "x-a", "value": "b"}]},
            }
        ],
        "timeouts": {"request": "300s"},
        "backendRefs": [{"name": BLUE, "port": 80, "weight": 1}, {"name": GREEN, "port": 80, "weight": 0}],
    }
    docs = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/docs"}}],
        "backendRefs": [{"name": "docs", "port": 8080}],
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": "support",
            "namespace": namespace,
            "annotations": {"team": "support"},
            "labels": {"app": "support"},
        },
        "spec": {
            "parentRefs": [{"name": "edge"}],
            "hostnames": ["support.example.com"],
            "rules": [docs, main] if rules is None else rules,
        },
    }


@pytest.fixture
def lever(server: ApiServer) -> HTTPRouteTraffic:
    return HTTPRouteTraffic(server)


async def stored(server: ApiServer, namespace: str) -> Object:
    found = await server.get(where(namespace))
    assert found is not None
    return found


async def raised(lever: HTTPRouteTraffic, placement: Placement, epoch: int = 1) -> None:
    await lever.read(placement)
    await lever.raise_(placement, epoch)


async def test_a_missing_route_exposes_nothing_and_can_be_lowered_but_not_raised(
    lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    assert await lever.read(placement) == Reading()
    await lever.lower(placement)
    assert await lever.read(placement) == Reading()
    with pytest.raises(Missing):
        await lever.raise_(placement, 1)
    assert "does not exist" in str(await lever.confirm(placement))


async def test_a_route_without_our_services_is_never_written(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    before = await server.create(users_route(ns, [{"backendRefs": [{"name": "docs", "port": 8080}]}]))
    placement = placed(ns, note=f"{CANDIDATE}: down")
    await lever.lower(placement)
    assert (await lever.read(placement)).candidate is None
    with pytest.raises(Refused, match="no rule has a backend"):
        await lever.raise_(placement, 1)
    assert await stored(server, ns) == before


async def test_all_that_is_raised_is_read_back_as_asked(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await server.create(users_route(placement.namespace))
    await raised(lever, placement, epoch=4)
    everywhere = frozenset(placement.services)
    assert await lever.read(placement) == Reading(
        candidate=EVERYTHING, epoch=4, in_sync=True, served=everywhere
    )
    odd = placed(placement.namespace, Exposure(mirror=1 / 3, weight=100 / 3))
    await raised(lever, odd, epoch=4)
    assert (await lever.read(odd)).candidate == Exposure(mirror=1 / 3, weight=100 / 3)


async def test_what_the_api_server_adds_is_no_difference(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await server.create(users_route(placement.namespace))
    await raised(lever, placement)
    first = await stored(server, placement.namespace)
    await lever.raise_(placement, 1)
    await lever.lower(placement)
    assert await stored(server, placement.namespace) == first


async def test_after_all_is_over_the_users_route_is_as_it_was_but_for_weights(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    before = await server.create(users_route(ns))
    await raised(lever, placed(ns), epoch=2)
    await lever.lower(placed(ns, NOTHING, note=f"{CANDIDATE}: over"))
    after = await stored(server, ns)
    expected = deepcopy(before["spec"])
    for ref, weight in zip(expected["rules"][1]["backendRefs"], (10_000, 0), strict=True):
        ref["weight"] = weight
    assert after["spec"] == expected
    assert after["metadata"]["annotations"] == {
        "team": "support",
        EPOCH_ANNOTATION: "2",
        f"claim.agentrelease.dev/{BLUE}": "support",
        f"claim.agentrelease.dev/{GREEN}": "support",
        LOWERED_ANNOTATION: f"{CANDIDATE}: over",
    }
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert (await lever.read(placed(ns, NOTHING))).lowered == f"{CANDIDATE}: over"


async def test_somebody_elses_edit_between_read_and_raise_is_a_conflict(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await server.create(users_route(placement.namespace))
    await lever.read(placement)
    await server.merge(where(placement.namespace), {"spec": {"hostnames": ["other.example.com"]}})
    with pytest.raises(Conflict):
        await lever.raise_(placement, 1)
    assert (await lever.read(placement)).candidate == NOTHING


async def test_an_older_epoch_may_lower_and_not_raise(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await server.create(users_route(placement.namespace))
    await raised(lever, placement, epoch=7)
    with pytest.raises(Refused, match="epoch 7"):
        await raised(lever, placed(placement.namespace, Exposure(weight=50)), epoch=6)
    await lever.lower(placed(placement.namespace, NOTHING))
    reading = await lever.read(placement)
    assert (reading.candidate, reading.epoch) == (NOTHING, 7)


async def test_lowering_wins_against_a_pipeline_that_writes_the_weight_back_all_the_time(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    await server.create(users_route(ns))
    stop, lowered = asyncio.Event(), asyncio.Event()

    async def fight(name: str) -> int:
        writes = 0
        while not stop.is_set():
            writes += 1
            await server.merge(where(ns), {"metadata": {"labels": {name: str(writes)}}})
        return writes

    writers = [asyncio.create_task(fight(name)) for name in ("one", "two", "three")]
    try:
        for _ in range(3):
            await lever.lower(placed(ns))  # raises exposure here, so that there is something to lower
            await lever.lower(placed(ns, NOTHING, note=f"{CANDIDATE}: enough"))
            assert (await lever.read(placed(ns, NOTHING))).candidate == NOTHING
        lowered.set()
    finally:
        stop.set()
        written = await asyncio.gather(*writers)
    assert lowered.is_set()
    assert all(written)


async def test_a_route_that_is_full_of_rules_refuses_a_cohort_and_nothing_is_written(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    refs = [{"name": BLUE, "port": 80, "weight": 1}, {"name": GREEN, "port": 80, "weight": 0}]
    rules = [
        {"matches": [{"path": {"type": "PathPrefix", "value": f"/{n}"}}], "backendRefs": refs}
        for n in range(16)
    ]
    before = await server.create(users_route(ns, rules))
    with pytest.raises(Refused):
        await raised(lever, placed(ns))
    assert await stored(server, ns) == before


def accepted(name: str, generation: int, **statuses: str) -> Object:
    said = {"Accepted": "True", "ResolvedRefs": "True"} | statuses
    return {
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name},
        "controllerName": "example.com/gateway",
        "conditions": [
            {
                "type": kind,
                "status": status,
                "reason": "Said",
                "message": "",
                "observedGeneration": generation,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind, status in said.items()
        ],
    }


async def said(server: ApiServer, namespace: str, *parents: Object) -> None:
    route = await stored(server, namespace)
    await server.replace(route | {"status": {"parents": list(parents)}}, subresource="status")


async def test_only_every_gateways_word_on_this_generation_confirms(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    route = users_route(placement.namespace)
    route["spec"]["parentRefs"].append({"name": "mesh"})
    await server.create(route)
    assert "weights" in str(await lever.confirm(placement))
    await raised(lever, placement)
    now = (await stored(server, placement.namespace))["metadata"]["generation"]
    assert "edge says nothing" in str(await lever.confirm(placement))
    await said(server, placement.namespace, accepted("edge", now))
    assert "mesh says nothing" in str(await lever.confirm(placement))
    await said(server, placement.namespace, accepted("edge", now), accepted("mesh", now - 1))
    assert "older generation" in str(await lever.confirm(placement))
    await said(
        server, placement.namespace, accepted("edge", now), accepted("mesh", now, PartiallyInvalid="True")
    )
    assert "PartiallyInvalid" in str(await lever.confirm(placement))
    await said(server, placement.namespace, accepted("edge", now), accepted("mesh", now))
    assert await lever.confirm(placement) is None


async def test_a_git_pipeline_that_applies_its_old_weights_again_is_seen_and_put_right(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    weights = placed(ns, Exposure(weight=5))
    created = await server.create(users_route(ns))
    await raised(lever, weights)
    upward = deepcopy(created["spec"]["rules"])
    upward[1]["backendRefs"][1]["weight"] = 3
    await server.merge(where(ns), {"spec": {"rules": upward}})
    reading = await lever.read(weights)
    assert reading.candidate == Exposure(weight=75.0)
    assert not reading.in_sync
    await lever.lower(weights)
    assert (await lever.read(weights)).candidate == Exposure(weight=5)


async def test_two_agents_share_a_route_without_touching_each_others_rules(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    theirs = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/billing"}}],
        "backendRefs": [{"name": "billing-a", "port": 80}, {"name": "billing-b", "port": 80, "weight": 0}],
    }
    route = users_route(ns)
    route["spec"]["rules"].append(theirs)
    await server.create(route)
    support = placed(ns)
    billing = replace(
        support,
        agent="billing",
        services=("billing-a", "billing-b"),
        stable=Arm("billing-3f9a0c11de", "billing-a", NOTHING),
        candidate=Arm("billing-77aa00bb12", "billing-b", EVERYTHING),
    )
    await raised(lever, support)
    await raised(lever, billing)
    assert (await lever.read(support)).in_sync
    await lever.lower(replace(billing, candidate=None, note="billing-77aa00bb12: bad"))
    await raised(lever, support)
    assert (await lever.read(support)).candidate == EVERYTHING
    assert (await lever.read(billing)).lowered == "billing-77aa00bb12: bad"
