"""A background task's failure is never silent."""

from __future__ import annotations

import asyncio

import pytest

from agentrelease.local.background import Background


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
