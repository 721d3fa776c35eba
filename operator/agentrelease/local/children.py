"""Child processes that don't outlive us.

A child gets a session of its own, so that a terminal's Ctrl-C reaches only us and we end the children in
order; and the kernel kills it when we die in whatever way (`setpriv --pdeathsig`, from Debian's essential
util-linux).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["end", "spawn", "sweep"]


async def spawn(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, watches_us: bool = False
) -> Process:
    """Start `command` with both outputs appended to `log`; raises OSError if the program can't be found.

    A program that `watches_us` ends by itself when we do, and is spared the kernel's SIGKILL.
    """
    setpriv = None if watches_us else shutil.which("setpriv")
    program = shutil.which(command[0], path=env.get("PATH"))
    if program is None:
        raise FileNotFoundError(f"no such program: {command[0]}")
    prefix = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    with log.open("ab") as sink:
        return await asyncio.create_subprocess_exec(
            *prefix,
            program,
            *command[1:],
            env=dict(env),
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )


async def end(process: Process, grace_seconds: float) -> int:
    """End the child and its descendants: SIGTERM, after `grace_seconds` SIGKILL.

    Gives the exit code (negative: signal). A child that had ended before is left alone: its process id may be
    somebody else's by now.
    """
    if process.returncode is not None:
        return process.returncode
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace_seconds):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        _signal(process, signal.SIGKILL)
    return await process.wait()


def sweep(process: Process) -> None:
    """Kill what a child has left behind. Only for the moment in which it has ended."""
    _signal(process, signal.SIGKILL)


def _signal(process: Process, number: signal.Signals) -> None:
    """Signal the child's whole session group; what has ended already is no error."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
