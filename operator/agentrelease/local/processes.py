"""The programs of one demo or test run: started in order, awaited, stopped in reverse order.

* A start returns when the program is ready, or raises with the end of its log.
* A stop is SIGTERM, then after a bound SIGKILL, to the child's own session. Nothing else is ever
  signalled.
* Children die with us, in whatever way we go: the kernel sees to it (`children.spawn`), or the program
  itself, if it watches us.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from agentrelease.local.children import end, spawn

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable, Mapping, Sequence

__all__ = ["Child", "Command", "Died", "NotReady", "Processes", "tail"]

_POLL_SECONDS = 0.05
_TAIL_LINES = 20


class Died(RuntimeError):
    """A program ended that shouldn't have; the message has its exit code and the end of its log."""


class NotReady(RuntimeError):
    """A program runs but did not become ready in time; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `environment` is added to ours; `log` gets both outputs; `watches_us` is `spawn`'s."""

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = field(default_factory=Path.cwd)
    stop_seconds: float = 10.0
    watches_us: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """A running program."""

    command: Command
    process: Process

    @property
    def pid(self) -> int:
        """Its process id, which is also its session's."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    async def stop(self) -> int:
        """End it, if it still runs; gives the exit code (negative: signal)."""
        return await end(self.process, self.command.stop_seconds)

    def obituary(self) -> Died:
        """Say that and how it ended."""
        code, log = self.process.returncode, self.command.log
        return Died(f"{self.command.name} ended with exit code {code}; the end of {log}:\n{tail(log)}")


class Processes:
    """Programs that are stopped together, last started first."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(
        self, command: Command, ready: Callable[[], Awaitable[bool]] | None = None, within: float = 30.0
    ) -> Child:
        """Start a program; return once `ready` says so. Raises Died, NotReady, FileNotFoundError."""
        environment = {**os.environ, **command.environment}
        process = await spawn(
            command.arguments,
            env=environment,
            cwd=command.directory,
            log=command.log,
            watches_us=command.watches_us,
        )
        child = Child(command, process)
        self._stack.push_async_callback(child.stop)
        self._children.append(child)
        if ready is not None:
            await _await_ready(child, ready, within)
        return child

    async def watch(self) -> Child:
        """Return the first child that ends by itself, now or later."""
        waits = {asyncio.create_task(child.process.wait()): child for child in self._children}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return waits[done.pop()]


async def _await_ready(child: Child, ready: Callable[[], Awaitable[bool]], within: float) -> None:
    try:
        async with asyncio.timeout(within):
            while not await ready():
                if not child.running:
                    raise child.obituary()
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        name, log = child.command.name, child.command.log
        raise NotReady(f"{name} is not ready after {within:.0f} s; the end of {log}:\n{tail(log)}") from None


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Give the last lines of a log file, or nothing."""
    if not log.exists():
        return ""
    with log.open(errors="replace") as file:
        return "".join(deque(file, maxlen=lines))
