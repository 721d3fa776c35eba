"""A real HTTP receiver on loopback: what it answers is set by the test, what it got is kept."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Got:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Answers with ``answers`` in turn, then with ``default``; ``0`` never answers, a string redirects."""

    def __init__(self, *answers: int | str, default: int | str = 204) -> None:
        self.answers = deque(answers)
        self.default: int | str = default
        self.got: list[Got] = []
        self.url = ""
        self._more = asyncio.Condition()
        self._runner: web.AppRunner
        self._silent = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/in"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._silent.set()
        await self._runner.cleanup()

    async def until(self, count: int) -> list[Got]:
        """Wait for so many requests; the test's own bound ends it otherwise."""
        async with asyncio.timeout(20), self._more:
            await self._more.wait_for(lambda: len(self.got) >= count)
        return self.got

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        got = Got(request.path, dict(request.headers), await request.read())
        async with self._more:
            self.got.append(got)
            self._more.notify_all()
        answer = self.answers.popleft() if self.answers else self.default
        if isinstance(answer, str):
            raise web.HTTPTemporaryRedirect(answer)
        if answer == 0:
            await self._silent.wait()
        return web.Response(status=answer or 204)
