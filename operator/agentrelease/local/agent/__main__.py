"""``python -m agentrelease.local.agent``: read the environment, serve until told to stop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys

from aiohttp import web

from agentrelease.local.agent.server import Agent
from agentrelease.local.agent.settings import Settings


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; answers in flight get a second to finish."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    agent = Agent(settings)
    runner = web.AppRunner(agent.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port).start()
    _log(settings, "serving", host=settings.host, port=runner.addresses[0][1])
    loading = asyncio.create_task(_announce(agent, settings))
    try:
        await stop.wait()
    finally:
        loading.cancel()
        agent.close()
        await runner.cleanup()


async def _announce(agent: Agent, settings: Settings) -> None:
    while True:
        _log(settings, "loaded", releases=await agent.load())


def _log(settings: Settings, event: str, **fields: object) -> None:
    # The two lines of its life; structlog would double the start-up time by importing Rich for them.
    line = {"event": event, "agent": settings.agent, "release": settings.release, **fields}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Return the exit code: 2 for an environment that makes no sense."""
    # The flag provider logs a traceback at every look at a missing file; agentrelease_flags_age_seconds
    # says the same without them.
    logging.getLogger("openfeature").setLevel(logging.CRITICAL + 1)
    try:
        settings = Settings.from_env(os.environ)
    except ValueError as error:
        sys.stderr.write(f"agent: bad environment: {error}\n")
        return 2
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
