"""Programs that we start are awaited, and go when we go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.controlplane import wait_until

from agentrelease.local.processes import Command, Died, NotReady, Processes

BOUND = 180


def script(code, tmp_path, **options):
    return Command("script", [sys.executable, "-c", code], tmp_path / "log", **options)


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_a_start_returns_when_the_program_is_ready(tmp_path):
    flag = tmp_path / "flag"

    async def ready():
        return flag.exists()

    code = f"import pathlib, time; pathlib.Path({str(flag)!r}).touch(); time.sleep(600)"
    async with Processes() as processes:
        child = await processes.start(script(code, tmp_path), ready)
        assert child.running
    assert not child.running


async def test_a_program_that_ends_before_it_is_ready_is_reported_with_its_last_words(tmp_path):
    async def never():
        return False

    async with Processes() as processes:
        with pytest.raises(Died, match=r"script ended with exit code 3(?s:.*)no disk left"):
            await processes.start(script("print('no disk left', flush=True); exit(3)", tmp_path), never)


async def test_a_program_that_never_becomes_ready_is_reported_and_stopped(tmp_path):
    async def never():
        return False

    async with Processes() as processes:
        with pytest.raises(NotReady, match="script is not ready after 0 s"):
            await processes.start(script("import time; time.sleep(600)", tmp_path), never, within=0.2)


async def test_programs_stop_in_reverse_order(tmp_path):
    order = tmp_path / "order"
    code = (
        "import signal, sys\n"
        "def leave(*_):\n"
        f"    open({str(order)!r}, 'a').write(sys.argv[1]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        f"open({str(tmp_path)!r} + '/up' + sys.argv[1], 'w').close()\n"
        "signal.pause()"
    )

    async with Processes() as processes:
        for name in "ab":

            async def up(name=name):
                return (tmp_path / f"up{name}").exists()

            command = Command(name, [sys.executable, "-c", code, name], tmp_path / "log")
            await processes.start(command, up)
    assert order.read_text() == "ba"


async def test_a_program_that_ignores_the_request_is_killed(tmp_path):
    up = tmp_path / "up"

    async def ready():
        return up.exists()

    code = (
        "import signal, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(up)!r}).touch()\nwhile True: signal.pause()"
    )
    async with Processes() as processes:
        child = await processes.start(script(code, tmp_path, stop_seconds=0.2), ready)
    assert child.process.returncode == -signal.SIGKILL


async def test_the_first_program_to_end_by_itself_is_found(tmp_path):
    async with Processes() as processes:
        await processes.start(script("import time; time.sleep(600)", tmp_path))
        brief = await processes.start(script("exit(4)", tmp_path))
        assert await processes.watch() is brief
        assert "exit code 4" in str(brief.obituary())


def test_children_die_with_a_parent_that_is_killed(tmp_path):
    code = f"""
import asyncio, pathlib, sys
from agentrelease.local.processes import Command, Processes

async def main():
    async with Processes() as processes:
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
        child = await processes.start(Command("child", sleeper, pathlib.Path({str(tmp_path / "log")!r})))
        print(child.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: gone(child), BOUND, "the child has ended")
