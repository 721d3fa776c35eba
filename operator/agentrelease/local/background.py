"""Tasks that serve until their context ends, and whose failure is never silent."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Background", "until_stopped"]


async def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends, or until SIGINT or SIGTERM cancels it; raises what it raises.

    The signals are taken before it begins: what it announces may be ended at once. They are taken once, so
    that impatience doesn't cut the cleaning up short.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    working, stopping = asyncio.create_task(work), asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait({working, stopping})
    if not working.cancelled():
        working.result()


class Background:
    """Tasks that are cancelled when the context ends.

    The first error of any task is raised by `failed`; if nobody asked, by the end of the context.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._failed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, raised: BaseException | None, _trace: object) -> None:
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._error is not None and raised is None:
            raise self._error

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` in the background."""
        task = asyncio.create_task(work)
        self._running.add(task)
        self.watch(task)
        return task

    def watch(self, task: asyncio.Task[None]) -> None:
        """Take the error of somebody else's task for one of ours; it isn't cancelled here."""
        task.add_done_callback(self._ended)

    async def failed(self) -> None:
        """Wait for the first error of any task, and raise it."""
        await self._failed.wait()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled() or task.exception() is None or self._failed.is_set():
            return
        self._error = task.exception()
        self._failed.set()
