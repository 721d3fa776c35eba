"""A background task's failure is never silent."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from agentrelease.local.background import Background, until_stopped


async def failing():
    raise LookupError("lost")


async def test_the_first_error_is_raised_to_who_waits_for_it():
    async with Background() as background:
        background.start(asyncio.sleep(3600))
        background.start(failing())
        with pytest.raises(LookupError, match="lost"):
            await background.failed()


async def test_an_error_that_nobody_waited_for_is_raised_at_the_end():
    with pytest.raises(LookupError, match="lost"):
        async with Background() as background:
            await asyncio.wait([background.start(failing())])


async def test_an_error_in_the_foreground_is_not_replaced():
    async def both_fail():
        async with Background() as background:
            await asyncio.wait([background.start(failing())])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await both_fail()


async def test_the_end_cancels_what_was_started_and_only_watches_what_was_not():
    own = asyncio.create_task(asyncio.sleep(3600))
    async with Background() as background:
        background.watch(own)
        started = background.start(asyncio.sleep(3600))
    assert started.cancelled()
    assert not own.done()
    own.cancel()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_program_may_be_ended_as_soon_as_it_begins_and_cleans_up_once(number):
    done = []

    async def serve():
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0)
            done.append("cleaned up")

    await until_stopped(serve())
    assert done == ["cleaned up"]


async def test_an_error_ends_a_program_before_any_signal():
    async def serve():
        raise RuntimeError("no port left")

    with pytest.raises(RuntimeError, match="no port left"):
        await until_stopped(serve())
