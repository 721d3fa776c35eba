"""``make demo``: one agent, three releases, real parts on this machine: `python -m agentrelease.local.demo`.

v1 serves, v2 earns its promotion phase by phase, v3 looks better and is taken back. What is shown is
what ``kubectl agent-release status --watch`` shows; what is measured is measured past the operator.
Exit code 0 only if v2 was promoted and v3 rolled back. ``KEEP=1`` leaves everything running at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import structlog

from agentrelease.local import artefacts, builds
from agentrelease.local.controlplane import NoControlPlane
from agentrelease.local.demo_parts import NAMESPACE, CommandFailed, stage
from agentrelease.local.demo_screen import Screen
from agentrelease.local.demo_telling import AGENT, telling
from agentrelease.local.gateway.envoy import EnvoyFailed
from agentrelease.local.processes import Died, NotReady, tail

if TYPE_CHECKING:
    from agentrelease.local.demo_parts import Stage
    from agentrelease.local.demo_summary import Summary
    from agentrelease.local.demo_telling import Telling

INTERRUPTED = 130
_EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "support-agent"
_LAST_LINES = 8
_RUNS_KEPT = 5
_BROKEN = (Died, NotReady, EnvoyFailed, CommandFailed, NoControlPlane, aiohttp.ClientError, OSError)


async def run(screen: Screen, logs: Path, examples: Path, *, keep: bool) -> int:
    """Run the whole demo; returns the exit code. Nothing is left running when it returns or raises."""
    try:
        async with stage(screen, logs, examples) as parts, telling(screen, parts, examples) as story:
            summary = await _unless_broken(story, parts)
            _print(screen, replace(summary, look=_where(parts, examples, keep=keep)), logs)
            if keep:
                await _kept(screen, parts)
    except _BROKEN as error:
        first, *rest = str(error).splitlines() or [type(error).__name__]
        screen.say(f"The demo can't go on: {first}", "red")
        for line in rest:
            screen.plain(f"  {_brief(line)}")
        screen.say(f"Logs: {logs}")
        return 1
    return 0 if summary.succeeded else 1


async def _unless_broken(story: Telling, parts: Stage) -> Summary:
    """Tell the story; a program that ends meanwhile ends it at once, instead of after a time-out."""
    told, broken = asyncio.create_task(story.tell()), asyncio.create_task(parts.failed())
    try:
        await asyncio.wait({told, broken}, return_when=asyncio.FIRST_COMPLETED)
        if broken.done():
            broken.result()
        return told.result()
    finally:
        for task in (told, broken):
            task.cancel()
        await asyncio.gather(told, broken, return_exceptions=True)


def _print(screen: Screen, summary: Summary, logs: Path) -> None:
    screen.blank()
    for line in summary.lines():
        screen.plain(line)
    if not summary.succeeded:
        screen.plain(f"The operator's last lines ({logs / 'operator.log'}):")
        for line in tail(logs / "operator.log", _LAST_LINES).splitlines():
            screen.plain(f"  {_brief(line)}")


def _brief(line: str) -> str:
    """A line of the operator's log without its numbers; a line that is no JSON as it is."""
    try:
        entry = json.loads(line)
        said = (entry.get(key) for key in ("at", "level", "event", "cause", "reason", "why"))
        return " ".join(str(word) for word in said if word)
    except (ValueError, AttributeError):
        return line


async def _kept(screen: Screen, parts: Stage) -> None:
    screen.blank()
    screen.plain("KEEP=1: everything runs on until Ctrl-C. In another terminal:")
    screen.plain(f"  export KUBECONFIG={parts.kubeconfig} PATH={Path(sys.executable).parent}:$PATH")
    screen.plain(f"  agent       {parts.agent_url}")
    screen.plain(f"  Prometheus  {parts.prometheus_url}")
    screen.plain(f"  Envoy       {parts.gateway.admin_url}")
    screen.plain(f"  operator    process {parts.operator.pid}")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()  # and for nothing else: to kill a part, such as the operator, is what this is for
    screen.say("Ending everything that was started ...")


def _where(parts: Stage, examples: Path, *, keep: bool) -> dict[str, str]:
    """Where to look next; what needs the API server only if it stays."""
    plugin, log = "kubectl agent-release", parts.logs / "operator.log"
    more = {
        "status": f"{plugin} status {AGENT} -n {NAMESPACE} --watch",
        "history": f"{plugin} history {AGENT} -n {NAMESPACE}",
        "try next": f"kubectl apply -n {NAMESPACE} -f {examples / 'v3-fixed.yaml'}",
    }
    return {
        "decisions": str(log),
        "check them": f"{plugin} log --verify --file {log}",
        "explain": f"{plugin} explain {AGENT} --all --file {log}",
        "agents' logs": str(parts.logs / "node" / "logs"),
        "this story": f"{examples}, docs/demo.md",
        **(more if keep else {"look around": "KEEP=1 make demo"}),
    }


def main() -> int:
    """Build what is missing, then run; Ctrl-C and SIGTERM end every process that was started."""
    failed = builds.main([])
    if failed:
        return failed
    logs, examples = _logs(), Path(os.path.relpath(_EXAMPLES))
    with (logs / "demo.log").open("w") as own:
        # the node and the gateway run in this process; their logs are not what people came to see
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(own))
        return asyncio.run(_interruptible(logs, examples))


async def _interruptible(logs: Path, examples: Path) -> int:
    screen, keep = Screen(), os.environ.get("KEEP", "") not in ("", "0")
    task = asyncio.create_task(run(screen, logs, examples, keep=keep))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        screen.say("Interrupted; everything that was started has ended.")
        return INTERRUPTED


def _logs() -> Path:
    """Make a directory for this run's logs, and forget all but the last few runs'."""
    place = artefacts.root() / "demo"
    logs = place / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}"
    logs.mkdir(parents=True)
    for old in sorted(place.iterdir())[:-_RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return logs


if __name__ == "__main__":
    sys.exit(main())
