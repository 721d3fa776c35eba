"""The work queue keeps client-go's promises; hours pass in milliseconds of virtual time."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrelease.engine.queue import Backoff, Band, ShutDown, WorkQueue

pytestmark = pytest.mark.looptime


def a_queue(**changes):
    loop = asyncio.get_running_loop()
    return WorkQueue(clock=loop.time, random=changes.pop("random", lambda: 1.0), **changes)


async def nothing_comes(queue, seconds=0.0):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds + 0.001):
            await queue.get()


async def test_a_key_added_three_times_is_handed_out_once():
    queue = a_queue()
    for _ in range(3):
        queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    await nothing_comes(queue)


async def test_a_key_added_while_it_is_worked_on_comes_again_after_done_and_not_before():
    queue = a_queue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    await nothing_comes(queue, 3600)
    queue.done("a")
    assert await queue.get() == "a"


async def test_urgent_bands_go_first_and_within_a_band_the_first_come():
    queue = a_queue()
    for key, band in [
        ("r", Band.RELIST),
        ("t", Band.TICK),
        ("c1", Band.CHANGE),
        ("c2", Band.CHANGE),
        ("l", Band.LOWER),
    ]:
        queue.add(key, band)
    assert [await queue.get() for _ in range(5)] == ["l", "c1", "c2", "t", "r"]


async def test_a_key_added_twice_keeps_the_more_urgent_band():
    queue = a_queue()
    queue.add("other", Band.CHANGE)
    queue.add("a", Band.RELIST)
    queue.add("a", Band.LOWER)
    queue.add("a", Band.TICK)
    assert [await queue.get(), await queue.get()] == ["a", "other"]


async def test_a_key_that_became_urgent_while_it_was_worked_on_comes_back_urgent():
    queue = a_queue()
    queue.add("a", Band.TICK)
    await queue.get()
    queue.add("b", Band.CHANGE)
    queue.add("a", Band.TICK)
    queue.add("a", Band.LOWER)
    queue.done("a")
    assert [await queue.get(), await queue.get()] == ["a", "b"]


async def test_a_delayed_key_comes_when_it_is_due(looptime):
    queue = a_queue()
    queue.add_after("late", 20)
    queue.add_after("soon", 5)
    assert (await queue.get(), looptime) == ("soon", 5)
    assert (await queue.get(), looptime) == ("late", 20)


async def test_the_earlier_of_two_delays_wins_whichever_came_first(looptime):
    queue = a_queue()
    queue.add_after("a", 20)
    queue.add_after("a", 5)
    queue.add_after("a", 60)
    assert (await queue.get(), looptime) == ("a", 5)
    queue.done("a")
    await nothing_comes(queue, 3600)


async def test_an_add_overtakes_a_delay_and_swallows_it(looptime):
    queue = a_queue()
    queue.add_after("a", 20)
    queue.add("a")
    assert (await queue.get(), looptime) == ("a", 0)
    queue.done("a")
    await nothing_comes(queue, 3600)


async def test_an_add_reaches_a_worker_that_already_waits_for_a_later_key(looptime):
    queue = a_queue()
    queue.add_after("late", 600)
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    queue.add("now", Band.LOWER)
    assert (await worker, looptime) == ("now", 1)


async def test_backing_off_doubles_up_to_its_limit_and_starts_anew_after_forget():
    queue = a_queue(backoff=Backoff(first=0.2, longest=60))
    delays = []
    for _ in range(12):
        queue.add("a")
        await queue.get()
        delays.append(queue.retry("a"))
        queue.done("a")
    assert delays[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert delays[-2:] == [60, 60]
    queue.forget("a")
    assert queue.retry("a") == pytest.approx(0.2)


@given(failures=st.integers(1, 10**6), jitter=st.floats(0, 1, exclude_max=True))
def test_a_backoff_is_never_longer_than_its_limit_nor_negative(failures, jitter):
    assert 0 <= Backoff(0.2, 60).delay(failures, lambda: jitter) <= 60


async def test_one_keys_failures_do_not_delay_another(looptime):
    queue = a_queue()
    for _ in range(10):
        queue.retry("poison")
    queue.add("healthy")
    assert (await queue.get(), looptime) == ("healthy", 0)


async def test_after_shut_down_ready_keys_are_handed_out_and_waiting_ones_dropped():
    queue = a_queue()
    queue.add("ready")
    queue.add_after("waiting", 5)
    queue.shut_down()
    queue.add("too late")
    queue.add_after("too late", 5)
    assert await queue.get() == "ready"
    queue.done("ready")
    with pytest.raises(ShutDown):
        await queue.get()


async def test_shut_down_wakes_every_waiting_worker():
    queue = a_queue()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(1)
    queue.shut_down()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert [type(result) for result in results] == [ShutDown] * 3


async def test_drained_waits_for_the_last_key_in_work(looptime):
    queue = a_queue()
    queue.add("a")
    queue.add("b")

    async def work():
        while True:
            try:
                key = await queue.get()
            except ShutDown:
                return
            await asyncio.sleep(7)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(2)]
    await asyncio.sleep(1)
    queue.add("a")
    queue.shut_down()
    await queue.drained()
    assert looptime == 14
    await asyncio.gather(*workers)


@pytest.mark.parametrize("seed", range(20))
async def test_under_random_load_no_key_runs_twice_at_once_and_no_add_is_lost(seed):
    dice = random.Random(seed)
    queue = a_queue(random=dice.random)
    added, seen = Counter(), {}
    running = set()

    async def work():
        while True:
            try:
                key = await queue.get()
            except ShutDown:
                return
            assert key not in running
            running.add(key)
            seen[key] = added[key]
            await asyncio.sleep(dice.random())
            if dice.random() < 0.1:
                queue.retry(key)
            running.discard(key)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for _ in range(500):
        key = dice.randrange(20)
        added[key] += 1
        if dice.random() < 0.3:
            queue.add_after(key, dice.random() * 10, dice.choice(list(Band)))
        else:
            queue.add(key, dice.choice(list(Band)))
        await asyncio.sleep(dice.random() * 0.1)
    await asyncio.sleep(3600)
    queue.shut_down()
    await queue.drained()
    await asyncio.gather(*workers)
    assert seen == dict(added)
    assert (len(queue), queue.waiting, queue.processing) == (0, 0, 0)
