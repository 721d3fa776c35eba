"""``status --watch`` and ``--wait``: read the object again and again until it says what is awaited."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from rich.live import Live

from agentrelease.cli.halting import is_halted
from agentrelease.cli.orders import Impossible, fetch, read
from agentrelease.cli.view import headline, view
from agentrelease.engine.ports import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.api.release import AgentRelease
    from agentrelease.cli.session import Session

HALTED = "HALTED"
UNREACHABLE = "API SERVER UNREACHABLE"
_INTERVAL = 0.5
_FRAMES_PER_LOOK = 2


async def watch(session: Session, name: str) -> None:
    """Show a release until the person ends it; on a pipe one line whenever something changed."""
    if not session.console.is_terminal:
        await _lines(session, name)
        return
    with Live(console=session.console, auto_refresh=False, screen=True) as live:
        release, notes = await _look_closely(session, name)
        while True:
            for _ in range(_FRAMES_PER_LOOK):
                live.update(view(release, time.time(), session.console.height, notes), refresh=True)
                await asyncio.sleep(_INTERVAL / _FRAMES_PER_LOOK)
            try:
                release, notes = await _look_closely(session, name)
            except Unavailable:
                # what was last known stays on the screen, and must not be taken for the present
                notes = notes if notes[-1:] == (UNREACHABLE,) else (*notes, UNREACHABLE)


async def until(
    session: Session, name: str, done: Callable[[AgentRelease], bool], *, seconds: float, what: str
) -> AgentRelease:
    """Wait until a release says so; ``Impossible`` names what was awaited and where it stands."""
    deadline = time.monotonic() + seconds
    while True:
        release = await _look(session, name)
        if done(release):
            return release
        if time.monotonic() > deadline:
            raise Impossible(
                f"--timeout: {what} did not show within {seconds:g} s; the order stands, and the release "
                f"is at {headline(release)}: {release.status.reason or 'no reason given'}"
            )
        await asyncio.sleep(_INTERVAL)


async def _look(session: Session, name: str) -> AgentRelease:
    return read(await fetch(session.cluster, session.namespace, name))


async def _look_closely(session: Session, name: str) -> tuple[AgentRelease, tuple[str, ...]]:
    obj = await fetch(session.cluster, session.namespace, name)
    return read(obj), (HALTED,) if await is_halted(session.cluster, obj) else ()


async def _lines(session: Session, name: str) -> None:
    said = ""
    while True:
        release = await _look(session, name)
        status = release.status
        line = f"{headline(release)}: {status.verdict}: {status.reason}"
        if line != said:
            session.say(f"{time.strftime('%H:%M:%S', time.gmtime())} {line}")
            said = line
        await asyncio.sleep(_INTERVAL)
