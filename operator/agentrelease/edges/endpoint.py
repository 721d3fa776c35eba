"""A small HTTP server for probes and metrics: ``/healthz``, ``/readyz``, ``/metrics``.

``/healthz`` says whether this process can still work (else it should be restarted), ``/readyz``
whether it has seen the cluster. A standby is ready: it could take over. Neither depends on
Prometheus nor on holding the Lease, so an outage elsewhere restarts nobody.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@dataclass(frozen=True, slots=True)
class Probes:
    """Questions that the endpoint asks at each request; an empty list of problems means well."""

    sick: Callable[[], list[str]]
    unready: Callable[[], list[str]]
    metrics: Callable[[], bytes]


@asynccontextmanager
async def serving(probes: Probes, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the block lasts and yield the port; port 0 takes a free one.

    Raises ``OSError`` when the port is taken.
    """
    app = web.Application()
    app.router.add_get("/healthz", _asking(probes.sick))
    app.router.add_get("/readyz", _asking(probes.unready))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=probes.metrics(), content_type="text/plain", charset="utf-8")

    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _asking(problems: Callable[[], list[str]]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        found = problems()
        return web.Response(text="\n".join(found or ["ok"]) + "\n", status=503 if found else 200)

    return answer
