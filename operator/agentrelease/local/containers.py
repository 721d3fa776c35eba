"""One container as a local process: start, watch, restart after a pause, stop.

And what its status says meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from agentrelease.local.children import end, spawn, sweep
from agentrelease.local.environment import ConfigMissing, ProcessSpec

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Container", "Files", "RestartPauses"]

Json = dict[str, Any]

_UNREADY_POLL_SECONDS = 0.1
_MESSAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class RestartPauses:
    """Seconds before a restart: doubling from `first` to `longest`.

    Kubelets take 10 and 300; a demo can't wait.
    """

    first: float = 0.5
    longest: float = 30.0

    def before(self, restart: int) -> float:
        return min(self.first * 2.0 ** min(restart, 30), self.longest)


@dataclass(frozen=True, slots=True)
class Files:
    """Where a container's process runs, writes its output, and leaves its last message."""

    directory: Path
    log: Path
    message: Path


@dataclass(slots=True)
class Container:
    """A container of one Pod. `run` returns its last exit code when it won't be started again."""

    declared: Json
    files: Files
    policy: str
    pauses: RestartPauses
    resolve: Callable[[], ProcessSpec]
    changed: Callable[[], None]
    restarts: int = 0
    ready: bool = False
    state: Json = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last_state: Json = field(default_factory=dict)
    _process: Process | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, address: str, session: aiohttp.ClientSession) -> int:
        """Run to the end that the restart policy allows, or until `stop`."""
        while True:
            code = await self._once(address, session)
            if (
                self._stopping.is_set()
                or self.policy == "Never"
                or (self.policy == "OnFailure" and code == 0)
            ):
                return code
            self.last_state = self.state
            self._become({"waiting": {"reason": "CrashLoopBackOff", "message": f"ended with code {code}"}})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self.pauses.before(self.restarts))
            if self._stopping.is_set():
                self._become(self.last_state)
                return code
            self.restarts += 1

    async def stop(self, grace_seconds: float) -> None:
        """End the process and start no other; a `preStop` sleep comes first, and counts as grace."""
        self._stopping.set()
        if self._process is None or self._process.returncode is not None:
            return
        hook = (self.declared.get("lifecycle") or {}).get("preStop") or {}
        pause = min(hook.get("sleep", {}).get("seconds", 0), grace_seconds / 2)
        if pause:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), pause)
        await end(self._process, grace_seconds - pause)

    def wait_for(self, message: str) -> None:
        """Show what the container waits for."""
        self._become({"waiting": {"reason": "CreateContainerConfigError", "message": message}})

    def status(self) -> Json:
        name, image = self.declared["name"], self.declared.get("image", "")
        identity = f"process://{self._process.pid}" if self._process is not None else ""
        return {
            "name": name,
            "image": image,
            "imageID": "",
            "containerID": identity,
            "ready": self.ready,
            "started": "running" in self.state,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last_state,
        }

    async def _once(self, address: str, session: aiohttp.ClientSession) -> int:
        started = _now()
        self.files.message.unlink(missing_ok=True)
        try:
            spec = self.resolve()
            env = dict(spec.env) | {"TERMINATION_MESSAGE_PATH": str(self.files.message)}
            self._process = await spawn(spec.command, env=env, cwd=self.files.directory, log=self.files.log)
        except (OSError, ConfigMissing) as error:
            return self._ended(128, started, reason="StartError", message=str(error))
        if self._stopping.is_set():  # `stop` came while we were starting, and had no process to end
            await end(self._process, 0)
        self._become({"running": {"startedAt": started}})
        probing = asyncio.create_task(self._probe(address, session))
        try:
            code = await self._process.wait()
        except asyncio.CancelledError:
            await end(self._process, 0)
            raise
        finally:
            probing.cancel()
        sweep(self._process)
        return self._ended(code if code >= 0 else 128 - code, started)

    def _ended(self, code: int, started: str, *, reason: str = "", message: str = "") -> int:
        self.ready = False
        self._become(
            {
                "terminated": {
                    "exitCode": code,
                    "reason": reason or ("Error" if code else "Completed"),
                    "message": message or self._message(code),
                    "startedAt": started,
                    "finishedAt": _now(),
                }
            }
        )
        return code

    def _message(self, code: int) -> str:
        """Read what the process left for us.

        With FallbackToLogsOnError, the end of its log after a failure.
        """
        if self.files.message.exists():
            return self.files.message.read_bytes()[:_MESSAGE_BYTES].decode(errors="replace")
        if code and self.declared.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            return self.files.log.read_bytes()[-2048:].decode(errors="replace")
        return ""

    async def _probe(self, address: str, session: aiohttp.ClientSession) -> None:
        """Follow the readiness probe.

        Until the first success it is asked often: nobody likes to wait for a demo.
        """
        probe = self.declared.get("readinessProbe") or {}
        if "httpGet" not in probe:
            self._set_ready(value=True)
            return
        url, headers = _request(probe["httpGet"], address, self.declared)
        limit = aiohttp.ClientTimeout(total=probe.get("timeoutSeconds", 1))
        good = bad = 0
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        while True:
            if await _answers(session, url, headers, limit):
                good, bad = good + 1, 0
            else:
                good, bad = 0, bad + 1
            if good >= probe.get("successThreshold", 1):
                self._set_ready(value=True)
            elif bad >= probe.get("failureThreshold", 3):
                self._set_ready(value=False)
            await asyncio.sleep(probe.get("periodSeconds", 10) if self.ready else _UNREADY_POLL_SECONDS)

    def _set_ready(self, *, value: bool) -> None:
        if self.ready != value:
            self.ready = value
            self.changed()

    def _become(self, state: Json) -> None:
        self.state = state
        self.changed()


async def _answers(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str], limit: aiohttp.ClientTimeout
) -> bool:
    try:
        async with session.get(url, headers=headers, timeout=limit, allow_redirects=False) as answer:
            return 200 <= answer.status < 400
    except (aiohttp.ClientError, TimeoutError):
        return False


def _request(http_get: Json, address: str, container: Json) -> tuple[str, dict[str, str]]:
    named = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
    port = named.get(http_get["port"], http_get["port"])
    headers = {header["name"]: header["value"] for header in http_get.get("httpHeaders", [])}
    return f"http://{http_get.get('host', address)}:{port}{http_get.get('path', '/')}", headers


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
