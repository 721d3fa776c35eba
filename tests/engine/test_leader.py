"""At most one process may raise at a time; minutes of election pass in milliseconds of virtual time."""

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.support.memory_cluster import MemoryCluster

from agentrelease.edges.kinds import LEASE
from agentrelease.engine.leader import Leader
from agentrelease.engine.lease import Candidacy
from agentrelease.engine.ports import Ref, Refused, Unavailable

pytestmark = pytest.mark.looptime

REF = Ref(LEASE, "default", "agentrelease-operator")


def a_leader(cluster, name, *, clock=None, floor=lambda: 0, informed=None, seed=0):
    candidacy = Candidacy(REF, name, lease_duration=15, renew_deadline=10, retry_period=2)
    clock = clock or asyncio.get_running_loop().time
    dice = random.Random(seed).random
    return Leader(cluster, candidacy, clock=clock, random=dice, floor=floor, informed=informed)


@asynccontextmanager
async def killed(leader):
    """Run a leader that ends without releasing, as after kill -9."""
    async with leader:
        yield leader
        leader._held = None


class Outage:
    """Makes every request of one process fail, or its writes commit and lose their replies."""

    def __init__(self, cluster):
        self._cluster = cluster
        self.error = None
        self.lose_replies = False

    def __getattr__(self, verb):
        async def send(*args, **kwargs):
            if self.error:
                raise self.error
            result = await getattr(self._cluster, verb)(*args, **kwargs)
            if self.lose_replies and verb != "get":
                raise Unavailable("no answer within 5 s")
            return result

        return send


@pytest.fixture
def cluster():
    return MemoryCluster()


async def test_a_fresh_lease_is_acquired_at_once(cluster, looptime):
    async with a_leader(cluster, "a") as leader:
        assert await leader.acquired() == 1
        assert looptime == 0


async def test_a_standby_may_not_raise_while_the_holder_renews(cluster):
    async with a_leader(cluster, "a") as first, a_leader(cluster, "b") as second:
        await first.acquired()
        await asyncio.sleep(600)
        assert (first.epoch, second.epoch) == (1, None)


async def test_a_released_lease_is_taken_over_within_a_retry_and_with_a_higher_epoch(cluster, looptime):
    first, second = a_leader(cluster, "a"), a_leader(cluster, "b")
    async with AsyncExitStack() as stack:
        async with first:
            await first.acquired()
            await stack.enter_async_context(second)
            await asyncio.sleep(60)
        assert await second.acquired() == 2
        assert looptime - 60 <= 2.4


async def test_a_killed_holder_is_respected_for_the_lease_duration_and_no_longer(cluster, looptime):
    async with killed(a_leader(cluster, "a")) as first:
        await first.acquired()
        await asyncio.sleep(10)
    async with a_leader(cluster, "b") as second:
        assert await second.acquired() == 2
        assert 10 + 15 <= looptime <= 10 + 15 + 2.4


async def test_a_holder_that_cannot_renew_stops_by_itself_before_a_rival_may_start(cluster, looptime):
    outage = Outage(cluster)
    async with a_leader(outage, "a") as first:
        await first.acquired()
        async with a_leader(cluster, "b", seed=3) as second:
            await asyncio.sleep(5)
            outage.error = Unavailable("connection refused")
            while first.epoch is not None:
                assert second.epoch is None
                await asyncio.sleep(0.1)
            stopped = asyncio.get_running_loop().time()
            await second.acquired()
            assert asyncio.get_running_loop().time() > stopped + 2
            await first.lost()
            assert first.epoch is None


async def test_an_outage_shorter_than_the_deadline_costs_nothing(cluster):
    outage = Outage(cluster)
    async with a_leader(outage, "a") as leader:
        await leader.acquired()
        for _ in range(20):
            outage.error = Unavailable("connection refused")
            await asyncio.sleep(7)
            outage.error = None
            await asyncio.sleep(5)
            assert leader.epoch == 1


async def test_a_permission_that_was_taken_away_ends_the_leadership_at_the_deadline(cluster, looptime):
    outage = Outage(cluster)
    async with a_leader(outage, "a") as leader:
        await leader.acquired()
        outage.error = Refused("403 Forbidden")
        await leader.lost()
        assert looptime <= 12
        assert "403" in leader.problem


async def test_renewals_that_commit_but_lose_their_reply_keep_the_leadership_while_replies_return(cluster):
    outage = Outage(cluster)
    async with a_leader(outage, "a") as leader:
        await leader.acquired()
        for _ in range(20):
            outage.lose_replies = True
            await asyncio.sleep(5)
            outage.lose_replies = False
            await asyncio.sleep(5)
            assert leader.epoch == 1


async def test_an_acquisition_whose_reply_was_lost_is_completed_with_a_higher_epoch(cluster):
    outage = Outage(cluster)
    outage.lose_replies = True
    async with a_leader(outage, "a") as leader:
        await asyncio.sleep(1)
        outage.lose_replies = False
        assert await leader.acquired() == 2


async def test_a_process_that_was_stopped_for_a_minute_knows_at_its_first_look(cluster):
    paused = [0.0]
    loop = asyncio.get_running_loop()
    async with a_leader(cluster, "a", clock=lambda: loop.time() + paused[0]) as leader:
        await leader.acquired()
        paused[0] = 60
        assert leader.epoch is None


async def test_a_rival_that_took_over_ends_the_leadership_at_the_next_renewal(cluster, looptime):
    async with a_leader(cluster, "a") as leader:
        await leader.acquired()
        lease = await cluster.get(REF)
        lease["spec"] |= {"holderIdentity": "rival", "leaseTransitions": 9}
        await cluster.replace(lease)
        await leader.lost()
        assert leader.epoch is None
        assert looptime <= 2
    assert (await cluster.get(REF))["spec"]["holderIdentity"] == "rival"


async def test_two_processes_with_the_same_identity_do_not_both_lead(cluster):
    async with a_leader(cluster, "same") as first:
        await first.acquired()
        async with a_leader(cluster, "same") as second:
            assert await second.acquired() == 2
            await first.lost()
            await asyncio.sleep(60)
            assert (first.epoch, second.epoch) == (None, 2)


async def test_a_deleted_lease_ends_the_leadership_and_a_new_one_starts_above_all_epochs_seen(cluster):
    async with a_leader(cluster, "a") as first:
        await first.acquired()
        await cluster.delete(REF)
        await first.lost()
    async with a_leader(cluster, "b", floor=lambda: 41) as second:
        assert await second.acquired() == 42


async def test_nobody_stands_before_the_epochs_on_the_objects_are_known(cluster, looptime):
    listed, floor = asyncio.Event(), [0]
    async with a_leader(cluster, "a", floor=lambda: floor[0], informed=listed) as leader:
        await asyncio.sleep(30)
        assert (leader.epoch, cluster.writes) == (None, [])
        floor[0] = 41
        listed.set()
        assert await leader.acquired() == 42


async def test_lost_is_lost_even_when_the_lease_becomes_free_again(cluster):
    outage = Outage(cluster)
    async with a_leader(outage, "a") as leader:
        await leader.acquired()
        outage.error = Unavailable("connection refused")
        await leader.lost()
        outage.error = None
        await asyncio.sleep(600)
        assert leader.epoch is None


async def test_leaving_releases_the_lease_even_when_a_renewal_was_on_its_way(cluster):
    slow = asyncio.Event()

    async def after(verb, ref):
        if verb == "replace" and not slow.is_set():
            slow.set()
            await asyncio.sleep(3)

    async with a_leader(cluster, "a") as leader:
        await leader.acquired()
        cluster.after = after
        await slow.wait()
    assert "holderIdentity" not in (await cluster.get(REF))["spec"]


@pytest.mark.parametrize("seed", range(3))
async def test_under_random_outages_and_kills_never_two_lead_and_epochs_only_grow(cluster, seed):
    dice = random.Random(seed)
    leaders, epochs = {}, []

    async def live(name):
        while True:
            outage = Outage(cluster)
            life = killed if dice.random() < 0.5 else lambda leader: leader
            leaders[name] = a_leader(outage, f"{name}-{dice.random()}", seed=dice.random())
            async with life(leaders[name]) as leader:
                for _ in range(dice.randrange(60)):
                    outage.error = Unavailable("away") if dice.random() < 0.4 else None
                    await asyncio.sleep(1 + dice.random())
                    leading = [other.epoch for other in leaders.values() if other.epoch is not None]
                    assert len(leading) <= 1
                    epochs.extend(epoch for epoch in leading if epoch not in epochs)
                    if leader._task.done():
                        break

    lives = [asyncio.create_task(live(name)) for name in "abc"]
    done, _ = await asyncio.wait(lives, timeout=900, return_when=asyncio.FIRST_EXCEPTION)
    for task in lives:
        task.cancel()
    await asyncio.wait(lives)
    assert not done, done
    assert len(epochs) > 5
    assert epochs == sorted(epochs)
