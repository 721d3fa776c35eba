"""A release whose route the operator makes by itself, through a whole rollout."""

from __future__ import annotations

from typing import Any

from tests.support.stage import AGENT, NAMESPACE, SPEC, Stage

from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

ROUTE = Ref(kinds.HTTP_ROUTE, NAMESPACE, AGENT)
DELIVERY = {**SPEC["delivery"], "route": {"owned": {"parentRefs": [{"name": "edge"}], "port": 8080}}}


class Bare(Stage):
    """A stage where nobody made a route."""

    async def install(self, policy: dict[str, Any] | None = None) -> None:
        await super().install(policy)
        del self.cluster.objects[ROUTE]

    def reach(self) -> dict[str, tuple[float, float]]:
        return super().reach() if ROUTE in self.cluster.objects else {}

    def cohort(self) -> str:
        return super().cohort() if ROUTE in self.cluster.objects else ""


async def serving() -> tuple[Bare, str]:
    stage = Bare()
    await stage.install()
    v1 = await stage.apply("v1", delivery=DELIVERY)
    await stage.run(60, until="Promoted")
    await stage.step()
    return stage, v1


async def test_the_route_is_made_and_a_good_candidate_goes_all_the_way() -> None:
    stage, v1 = await serving()
    assert stage.reach()[v1] == (1.0, 0.0)
    v2 = await stage.apply("v2", delivery=DELIVERY)
    await stage.run(400, until="Promoted")
    await stage.step()
    assert stage.reach()[v2] == (1.0, 0.0)


async def test_a_route_deleted_at_rest_is_back_at_the_next_look() -> None:
    stage, v1 = await serving()
    await stage.cluster.delete(ROUTE)
    await stage.step()
    assert stage.reach()[v1] == (1.0, 0.0)


async def test_a_route_deleted_in_mid_rollout_is_made_again_for_stable_alone() -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2", delivery=DELIVERY)
    await stage.run(300, until="half")
    await stage.apply("v2", delivery=DELIVERY, paused=True)
    await stage.step()
    assert stage.reach()[v2][0] == 0.5
    await stage.cluster.delete(ROUTE)
    await stage.step()
    assert stage.reach() == {v1: (1.0, 0.0), v2: (0.0, 0.0)}


async def test_another_hostname_is_taken_back_and_costs_the_candidate_nothing() -> None:
    stage, _ = await serving()
    v2 = await stage.apply("v2", delivery=DELIVERY)
    await stage.run(300, until="half")
    await stage.apply("v2", delivery=DELIVERY, paused=True)
    await stage.step()
    await stage.cluster.merge(ROUTE, {"spec": {"hostnames": ["elsewhere.example.com"]}})
    await stage.step()
    assert "hostnames" not in stage.cluster.objects[ROUTE]["spec"]
    assert stage.reach()[v2][0] == 0.5


async def test_a_deleted_release_leaves_its_route_to_those_whom_stable_serves() -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2", delivery=DELIVERY)
    await stage.run(300, until="half")
    await stage.cluster.delete(Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT))
    for _ in range(10):
        await stage.step()
    assert Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT) not in stage.cluster.objects
    assert stage.reach() == {v1: (1.0, 0.0), v2: (0.0, 0.0)}
