"""What can go wrong at the fault proxy, and with which requests; see fault_proxy.py for how to use it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Match = Callable[["Seen"], bool]
    Action = Callable[["Exchange"], Awaitable[None]]

MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
BOOKKEEPING = ("/leases", "/events")


@dataclass
class Seen:
    """One request; ``status`` is the API server's answer, 0 where it never got there."""

    number: int
    method: str
    path: str
    agent: str
    body: bytes
    watch: bool
    status: int = 0

    @property
    def mutating(self) -> bool:
        return self.method in MUTATING


@dataclass
class Rule:
    """What to do with matching requests: pass ``skip`` of them, then act on ``times`` (None: for ever)."""

    match: Match
    act: Action
    skip: int = 0
    times: int | None = 1
    acted: int = 0

    def takes(self, seen: Seen) -> bool:
        if (self.times is not None and self.acted >= self.times) or not self.match(seen):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.acted += 1
        return True


class Point(Enum):
    """Where in a write a crash happens; after COMMITTED nobody but the API server knows of the write."""

    BEFORE = "before"
    COMMITTED = "committed"
    REPLIED = "replied"


class Exchange(Protocol):
    """One request in the hands of an action."""

    @property
    def seen(self) -> Seen:
        """What was asked."""

    async def forward(self) -> None:
        """Send the request to the API server and keep its answer; a write is committed after this."""

    async def reply(self) -> None:
        """Give the kept answer to the client; forward first where that hasn't happened."""

    async def answer(self, status: int, headers: dict[str, str], body: dict[str, Any] | str) -> None:
        """Answer in the API server's place."""

    def reset(self) -> None:
        """Break the client's connection."""


async def pass_through(exchange: Exchange) -> None:
    """Forward and reply."""
    await exchange.reply()


async def reset(exchange: Exchange) -> None:
    """Break the connection before the API server hears of the request."""
    exchange.reset()


async def lose_reply(exchange: Exchange) -> None:
    """Commit the request and break the connection instead of answering."""
    await exchange.forward()
    exchange.reset()


def answer(status: int, *, retry_after: int | None = None, message: str = "injected") -> Action:
    """Answer with a status, unasked; the API server never hears of the request."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": status, "message": message}

    async def act(exchange: Exchange) -> None:
        await exchange.answer(status, headers, body)

    return act


def say(*events: dict[str, Any]) -> Action:
    """Answer a watch with these events and its end."""
    lines = "".join(json.dumps(event) + "\n" for event in events)

    async def act(exchange: Exchange) -> None:
        await exchange.answer(200, {}, lines)

    return act


def delay(seconds: float) -> Action:
    """Forward and reply, later."""

    async def act(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await exchange.reply()

    return act


def hold(gate: asyncio.Event, arrived: asyncio.Event | None = None) -> Action:
    """Keep a request back, already sent by its client, until the gate opens; tell its arrival."""

    async def act(exchange: Exchange) -> None:
        if arrived is not None:
            arrived.set()
        await gate.wait()
        await exchange.reply()

    return act


def crash(point: Point, kill: Callable[[], Any]) -> Action:
    """Call ``kill`` at one point of a write, and break the connection if the client hasn't its answer."""

    async def act(exchange: Exchange) -> None:
        if point is not Point.BEFORE:
            await exchange.forward()
        if point is Point.REPLIED:
            await exchange.reply()
            kill()
            return
        kill()
        exchange.reset()

    return act


def everything(seen: Seen) -> bool:
    """Match every request that isn't a watch."""
    return not seen.watch


def watches(part: str = "") -> Match:
    """Match the opening of a watch by a part of its path."""
    return lambda seen: seen.watch and part in seen.path


def on(method: str, part: str) -> Match:
    """Match a method, and a part of the path."""
    return lambda seen: seen.method == method and part in seen.path and not seen.watch


def writes(agent: str = "", part: str = "") -> Match:
    """Match an agent's writes, without leases and events unless ``part`` of the path names them."""
    return lambda seen: (
        seen.mutating
        and seen.agent.startswith(agent)
        and part in seen.path
        and (bool(part) or not any(kind in seen.path for kind in BOOKKEEPING))
    )
