"""An HTTPRoute that the operator makes and owns, on the real API server with Gateway API's own CRDs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agentrelease.api.delivery import OwnedRoute
from agentrelease.core.exposure import NOTHING, Cohort, Exposure
from agentrelease.edges.kinds import AGENT_RELEASE, HTTP_ROUTE
from agentrelease.edges.traffic.httproute import HTTPRouteTraffic
from agentrelease.engine.levers import Arm, Placement
from agentrelease.engine.ports import Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.edges.cluster import ApiServer

BLUE, GREEN = "support-blue", "support-green"
EVERYTHING = Exposure(mirror=12.5, cohort=Cohort("beta", "a(b)", cookie=True), weight=0.5)
OWNED = OwnedRoute.model_validate(
    {
        "parentRefs": [{"name": "edge", "namespace": "gateways", "sectionName": "https"}, {"name": "mesh"}],
        "hostnames": ["support.example.com", "*.support.example.com"],
        "pathPrefix": "/chat",
        "port": 80,
    }
)


def placed(namespace: str, exposure: Exposure = EVERYTHING, **more: Any) -> Placement:
    return Placement(
        namespace=namespace,
        agent="support",
        route="support",
        config_map="support-flags",
        stable=Arm("support-3f9a0c11de", BLUE, NOTHING),
        candidate=Arm("support-77aa00bb12", GREEN, exposure),
        services=(BLUE, GREEN),
        owned=OWNED,
        **more,
    )


def where(namespace: str) -> Ref:
    return Ref(HTTP_ROUTE, namespace, "support")


@pytest.fixture
def lever(server: ApiServer) -> HTTPRouteTraffic:
    return HTTPRouteTraffic(server)


async def raised(lever: HTTPRouteTraffic, placement: Placement) -> None:
    await lever.read(placement)
    await lever.raise_(placement, 1)


async def test_it_is_made_and_nothing_that_the_api_server_fills_in_is_a_difference(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    assert (await lever.read(placement)).broken
    await raised(lever, placement)
    reading = await lever.read(placement)
    assert reading.candidate == EVERYTHING
    assert reading.in_sync
    assert not reading.broken
    first = await server.get(where(placement.namespace))
    assert first is not None
    assert "ownerReferences" not in first["metadata"]  # a deleted release must not cut off its users
    await raised(lever, placement)
    assert await server.get(where(placement.namespace)) == first


@pytest.mark.parametrize(
    "edit",
    [
        {"hostnames": ["other.example.com"]},
        {"hostnames": None},
        {"parentRefs": [{"name": "edge"}]},
        {"rules": [{"backendRefs": [{"name": GREEN, "port": 80}]}]},
        {"rules": [{"backendRefs": [{"name": "elsewhere", "port": 80}]}]},
    ],
)
async def test_whatever_is_edited_is_seen_and_put_right_going_up_and_going_down(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str], edit: dict[str, Any]
) -> None:
    placement = placed(namespace())
    await raised(lever, placement)
    first = await server.get(where(placement.namespace))
    assert first is not None
    for mend in (lambda: raised(lever, placement), lambda: lever.lower(placement)):
        await server.merge(where(placement.namespace), {"spec": edit})
        assert (await lever.read(placement)).broken
        await mend()
        found = await server.get(where(placement.namespace))
        assert found is not None
        assert found["spec"] == first["spec"]


async def test_a_deleted_one_is_nothing_to_lower_and_is_made_again_by_a_raise(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await raised(lever, placement)
    await server.delete(where(placement.namespace))
    await lever.lower(placement)
    assert await server.get(where(placement.namespace)) is None
    await raised(lever, placement)
    assert (await lever.read(placement)).in_sync


async def test_a_route_that_somebody_else_made_is_never_taken_over(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    theirs = await server.create(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "support", "namespace": placement.namespace},
            "spec": {"rules": [{"backendRefs": [{"name": BLUE, "port": 80}, {"name": GREEN, "port": 80}]}]},
        }
    )
    assert "was not made for this release" in (await lever.read(placement)).claim
    with pytest.raises(Refused, match="was not made for this release"):
        await raised(lever, placement)
    await lever.lower(replace(placement, note="support-77aa00bb12: down"))
    assert "was not made for this release" in str(await lever.confirm(placement))
    assert await server.get(where(placement.namespace)) == theirs
    assert AGENT_RELEASE.group not in str(theirs)


async def test_an_owned_route_of_another_living_release_is_not_written(
    server: ApiServer, lever: HTTPRouteTraffic, namespace: Callable[[], str]
) -> None:
    placement = placed(namespace())
    await raised(lever, placement)
    other = replace(placement, agent="billing")
    assert "was not made for this release" in (await lever.read(other)).claim
    with pytest.raises(Refused):
        await raised(lever, other)
