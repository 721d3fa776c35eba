"""The election on the real API server, whose Lease rules no stand-in can vouch for."""

import asyncio
import random

import pytest
from tests.support.fault_rules import Rule, answer, lose_reply, on

from agentrelease.edges.cluster import ApiServer
from agentrelease.edges.credentials import Credentials
from agentrelease.edges.kinds import LEASE
from agentrelease.edges.transport import Limits
from agentrelease.engine.leader import Leader
from agentrelease.engine.lease import Candidacy
from agentrelease.engine.ports import Ref

PATIENCE = 30  # seconds; no good run comes near


@pytest.fixture
def lease(namespace):
    return Ref(LEASE, namespace(), "agentrelease-operator")


def a_leader(cluster, lease, name):
    candidacy = Candidacy(lease, name, lease_duration=2, renew_deadline=1.5, retry_period=0.1)
    return Leader(cluster, candidacy, clock=asyncio.get_running_loop().time, random=random.Random(0).random)


async def test_a_fresh_lease_is_acquired_at_once_and_released_in_the_end(server, lease):
    async with a_leader(server, lease, "a") as leader:
        assert await leader.acquired() == 1
        held = await server.get(lease)
        assert held["spec"]["holderIdentity"] == "a"
    released = await server.get(lease)
    assert "holderIdentity" not in released["spec"]
    assert released["spec"]["leaseTransitions"] == 1


async def test_a_standby_takes_over_a_released_lease_with_a_higher_epoch(server, lease):
    async with asyncio.timeout(PATIENCE), a_leader(server, lease, "a") as first:
        await first.acquired()
        second = a_leader(server, lease, "b")
        async with second:
            assert second.epoch is None
            await first.__aexit__(None, None, None)
            assert await second.acquired() == 2
            assert (await server.get(lease))["spec"]["holderIdentity"] == "b"


async def test_a_leader_cut_off_from_the_api_server_stops_and_another_takes_over(proxy, server, lease):
    limits = Limits(attempt=0.5, connect=0.5)
    async with (
        asyncio.timeout(PATIENCE),
        await ApiServer.connect(Credentials(proxy.kubeconfig), limits=limits) as alone,
        a_leader(alone, lease, "a") as first,
    ):
        await first.acquired()
        async with a_leader(server, lease, "b") as second:
            proxy.cut()
            await second.acquired()
            assert (first.epoch, second.epoch) == (None, 2)
            await first.lost()


@pytest.mark.parametrize("act", [lose_reply, answer(409), answer(500), answer(429, retry_after=1)])
async def test_a_renewal_that_goes_wrong_now_and_then_keeps_the_lease(proxy, lease, act):
    proxy.add(Rule(on("PUT", "/leases"), act, skip=1, times=2))
    async with asyncio.timeout(PATIENCE):
        async with (
            await ApiServer.connect(Credentials(proxy.kubeconfig)) as cluster,
            a_leader(cluster, lease, "a") as leader,
        ):
            await leader.acquired()
            await proxy.asked(12)
            assert leader.epoch == 1
