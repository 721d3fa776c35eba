"""A proxy between clients and the real API server that goes wrong on request.

    async with proxying(upstream_kubeconfig, directory) as proxy:
        ...  # give proxy.kubeconfig to the process or client under test

Clients talk plain HTTP to it on loopback; it talks to the API server with the credentials of
``upstream_kubeconfig`` whatever clients present, so one proxy is one identity. Without rules it
passes everything through, streams included.

Rules, from ``fault_rules``. The first rule that matches a request decides what happens to it::

    proxy.add(Rule(writes("agentrelease-operator"), lose_reply, skip=2))      # the third write
    proxy.add(Rule(on("PATCH", "/httproutes/"), answer(409), times=None))     # for ever
    proxy.add(Rule(everything, answer(429, retry_after=1), times=5))
    proxy.add(Rule(writes(), crash(Point.COMMITTED, process.kill), skip=n))   # a crash point
    proxy.add(Rule(writes(), hold(event)))                                    # until event.set()

An action is ``async (Exchange) -> None``; write your own from ``exchange.forward()``, ``.reply()``,
``.answer()``, ``.reset()``. ``proxy.clear()`` removes all rules.

Outages. ``proxy.cut()`` resets all open connections and every new one, until ``proxy.mend()``.

Watches. Rules see their opening (``watches``, ``say``). ``proxy.freeze()`` leaves them open and
swallows all they would say, also of those opened later; ``proxy.thaw()`` lets the next events
through. What was swallowed is lost.

Counting. ``proxy.seen`` has every request in order with its outcome; ``proxy.written(agent)`` the
mutating ones that reached the API server, of one user agent, without leases and events;
``await proxy.asked(n)`` waits for n more requests.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from tests.support.fault_rules import Seen, pass_through, writes

from agentrelease.edges.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.fault_rules import Rule

HOP_BY_HOP = frozenset(
    {"connection", "transfer-encoding", "content-length", "content-encoding", "host", "keep-alive"}
)
NOT_SENT = HOP_BY_HOP | {"authorization"}


@dataclass
class Handled:
    """The Exchange that actions get."""

    seen: Seen
    proxy: FaultProxy
    request: web.Request
    upstream: tuple[int, dict[str, str], bytes] | None = None
    response: web.StreamResponse | None = None

    async def forward(self) -> None:
        self.upstream = await self.proxy.ask(self.seen, self.request)

    async def reply(self) -> None:
        if self.upstream is None:
            await self.forward()
        assert self.upstream is not None
        status, headers, body = self.upstream
        await self._send(web.Response(status=status, headers=headers, body=body))

    async def answer(self, status: int, headers: dict[str, str], body: dict[str, Any] | str) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        await self._send(
            web.Response(text=text, status=status, headers=headers, content_type="application/json")
        )

    def reset(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()

    async def _send(self, response: web.Response) -> None:
        self.response = response
        await response.prepare(self.request)
        await response.write_eof()


class FaultProxy:
    """See the module's text; made by ``proxying``."""

    def __init__(self, session: aiohttp.ClientSession, upstream: str) -> None:
        self._session = session
        self._upstream = upstream
        self._rules: list[Rule] = []
        self._cut = False
        self._frozen = False
        self._asked = asyncio.Condition()
        self._open: dict[int, web.Request] = {}
        self.seen: list[Seen] = []
        self.url = ""
        self.kubeconfig: Path

    def add(self, rule: Rule) -> Rule:
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        self._rules.clear()

    def cut(self) -> None:
        self._cut = True
        for request in self._open.values():
            if request.transport is not None:
                request.transport.abort()

    def mend(self) -> None:
        self._cut = False

    def freeze(self) -> None:
        self._frozen = True

    def thaw(self) -> None:
        self._frozen = False

    def written(self, agent: str = "") -> list[Seen]:
        counted = writes(agent)
        return [seen for seen in self.seen if counted(seen) and 200 <= seen.status < 300]

    async def asked(self, more: int) -> None:
        wanted = len(self.seen) + more
        async with self._asked:
            await self._asked.wait_for(lambda: len(self.seen) >= wanted)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take one request of a client."""
        exchange = Handled(await self._note(request), self, request)
        if self._cut:
            exchange.reset()
            return web.Response()
        self._open[exchange.seen.number] = request
        try:
            rule = next((rule for rule in self._rules if rule.takes(exchange.seen)), None)
            if rule is None and exchange.seen.watch:
                return await self._stream(exchange)
            await (rule.act if rule else pass_through)(exchange)
        except aiohttp.ClientConnectionError:
            exchange.reset()  # the API server itself is away
        finally:
            del self._open[exchange.seen.number]
        return exchange.response or web.Response()

    async def ask(self, seen: Seen, request: web.Request) -> tuple[int, dict[str, str], bytes]:
        """Ask the API server."""
        async with self._send(seen, request) as response:
            seen.status = response.status
            return response.status, _passed(response.headers), await response.read()

    async def _stream(self, exchange: Handled) -> web.StreamResponse:
        async with self._send(exchange.seen, exchange.request) as upstream:
            exchange.seen.status = upstream.status
            response = web.StreamResponse(status=upstream.status, headers=_passed(upstream.headers))
            await response.prepare(exchange.request)
            async for chunk in upstream.content.iter_any():
                if not self._frozen:
                    await response.write(chunk)
            await response.write_eof()
            return response

    def _send(self, seen: Seen, request: web.Request) -> Any:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in NOT_SENT}
        headers["Accept-Encoding"] = "identity"
        url = f"{self._upstream}{request.rel_url.raw_path_qs}"
        return self._session.request(seen.method, url, headers=headers, data=seen.body or None)

    async def _note(self, request: web.Request) -> Seen:
        watch = request.query.get("watch") in ("1", "true")
        seen = Seen(
            number=len(self.seen) + 1,
            method=request.method,
            path=request.rel_url.raw_path_qs,
            agent=request.headers.get("User-Agent", ""),
            body=await request.read(),
            watch=watch,
        )
        self.seen.append(seen)
        async with self._asked:
            self._asked.notify_all()
        return seen


@asynccontextmanager
async def proxying(upstream_kubeconfig: Path, directory: Path) -> AsyncIterator[FaultProxy]:
    """Run a proxy on a free loopback port and write a kubeconfig for its clients into the directory."""
    configuration = await Credentials(upstream_kubeconfig).load()
    tls = _tls(configuration)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=2)
    connector = aiohttp.TCPConnector(limit=0, ssl=tls)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        proxy = FaultProxy(session, configuration.host)
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            proxy.kubeconfig = _kubeconfig(proxy.url, directory)
            yield proxy
        finally:
            await runner.cleanup()


def _tls(configuration: Any) -> Any:
    from kubernetes.aio.client.rest import RESTClientObject

    return RESTClientObject(configuration).ssl_context


def _kubeconfig(url: str, directory: Path) -> Path:
    path = directory / "fault-proxy.kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxy", "cluster": {"server": url}}],
        "users": [{"name": "proxy", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        "current-context": "proxy",
    }
    path.write_text(json.dumps(content))
    return path


def _passed(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
