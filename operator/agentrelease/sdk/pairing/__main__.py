"""``python -m agentrelease.sdk.pairing``: run the joiner of one namespace.

Its environment: ``HOST`` (0.0.0.0), ``PORT`` (8090), ``AGENTRELEASE_PAIRING_WINDOW`` (seconds, 60),
``AGENTRELEASE_PAIRING_CAPACITY`` (requests, 100000) and ``AGENTRELEASE_PAIRING_OUTCOMES`` (names with commas
between them).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from agentrelease.sdk.pairing.joiner import OUTCOMES, Joiner
from agentrelease.sdk.pairing.server import application

if TYPE_CHECKING:
    from collections.abc import Mapping


def joiner_of(env: Mapping[str, str]) -> Joiner:
    """Return the joiner that an environment asks for; raises ``ValueError``."""
    window = float(env.get("AGENTRELEASE_PAIRING_WINDOW", "60"))
    capacity = int(env.get("AGENTRELEASE_PAIRING_CAPACITY", "100000"))
    if not (window > 0 and capacity > 0):
        raise ValueError("window and capacity must be greater than 0")
    named = env.get("AGENTRELEASE_PAIRING_OUTCOMES", ",".join(OUTCOMES)).split(",")
    outcomes = tuple(dict.fromkeys(name.strip() for name in named if name.strip()))
    if not outcomes:
        raise ValueError("AGENTRELEASE_PAIRING_OUTCOMES names nothing to judge by")
    return Joiner(outcomes=outcomes, window=window, capacity=capacity)


async def serve(joiner: Joiner, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    runner = web.AppRunner(application(joiner), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    sys.stdout.write(json.dumps({"event": "serving", "host": host, "port": runner.addresses[0][1]}) + "\n")
    sys.stdout.flush()
    try:
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> int:
    """Return the exit code: 2 for an environment that makes no sense."""
    env = os.environ
    try:
        joiner, port = joiner_of(env), int(env.get("PORT", "8090"))
    except ValueError as error:
        sys.stderr.write(f"pairing: bad environment: {error}\n")
        return 2
    asyncio.run(serve(joiner, env.get("HOST", "0.0.0.0"), port))  # noqa: S104 - a Pod's only address
    return 0


if __name__ == "__main__":
    sys.exit(main())
