"""One Pod as local processes: volumes, init containers in order, containers side by side, one status."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentrelease.local.containers import Container, Files, RestartPauses
from agentrelease.local.environment import ConfigMissing, Place, ProcessSpec, process_of
from agentrelease.local.volumes import Volumes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import aiohttp

__all__ = ["Home", "RunningPod"]

Json = dict[str, Any]

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Home:
    """What a node gives a Pod: address, directories, ConfigMaps by name, the session that probes use."""

    node: str
    address: str
    directory: Path
    logs: Path
    config_map: Callable[[str], Json | None]
    session: aiohttp.ClientSession
    pauses: RestartPauses


class RunningPod:
    """Runs a Pod from `start` to its natural end or `stop`; calls `changed` whenever `status()` differs."""

    def __init__(self, pod: Json, home: Home, changed: Callable[[], None]) -> None:
        self.pod = pod
        self._home, self._changed = home, changed
        self._started_at = _now()
        self._volumes = Volumes(home.directory / "volumes", pod["spec"].get("volumes", []))
        self._config_changed = asyncio.Event()
        spec, policy = pod["spec"], pod["spec"].get("restartPolicy", "Always")
        init_policy = "OnFailure" if policy == "Always" else policy
        self._init = [self._container(c, init_policy) for c in spec.get("initContainers", [])]
        self._main = [self._container(c, policy) for c in spec["containers"]]
        self._initialized = not self._init
        self._stopped = False
        self._work: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Begin; the task ends when nothing runs any more."""
        self._work = asyncio.create_task(self._run())
        return self._work

    def config_changed(self) -> None:
        """Look at the ConfigMaps again."""
        self._config_changed.set()

    async def stop(self, grace_seconds: float) -> None:
        """End everything, in at most `grace_seconds` and a moment."""
        self._stopped = True
        self._changed()  # no longer ready, from now on
        await asyncio.gather(*(c.stop(grace_seconds) for c in [*self._init, *self._main]))
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def status(self) -> Json:
        """Give the Pod's status as a node reports it (conditions to be dated by the caller)."""
        ready = bool(self._main) and all(c.ready for c in self._main) and not self._stopped
        conditions = {"Initialized": self._initialized, "ContainersReady": ready, "Ready": ready}
        return {
            "phase": self._phase(),
            "hostIP": "127.0.0.1",
            "podIP": self._home.address,
            "podIPs": [{"ip": self._home.address}],
            "startTime": self._started_at,
            "conditions": [
                {"type": kind, "status": "True" if holds else "False"} for kind, holds in conditions.items()
            ],
            "initContainerStatuses": [c.status() for c in self._init],
            "containerStatuses": [c.status() for c in self._main],
        }

    def _phase(self) -> str:
        ended = [c.state["terminated"]["exitCode"] for c in self._main if "terminated" in c.state]
        init = [c.state["terminated"]["exitCode"] for c in self._init if "terminated" in c.state]
        restarts = self.pod["spec"].get("restartPolicy", "Always") == "Always" and not self._stopped
        over = self._work is not None and self._work.done()
        if any(init) and over:
            return "Failed"
        if len(ended) == len(self._main) and (over or self._stopped) and not restarts:
            return "Failed" if any(ended) else "Succeeded"
        begun = any("waiting" not in c.state or c.last_state for c in self._main)
        return "Running" if begun else "Pending"

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            await self._until_configured()
            following = group.create_task(self._follow_config())
            address, session = self._home.address, self._home.session
            self._initialized = await self._initialize(address, session)
            if self._initialized:
                await asyncio.gather(*(c.run(address, session) for c in self._main))
            following.cancel()
        asyncio.get_running_loop().call_soon(self._changed)  # once this task is done, which `status` looks at

    async def _initialize(self, address: str, session: aiohttp.ClientSession) -> bool:
        for container in self._init:
            if await container.run(address, session):
                return False
        return True

    async def _until_configured(self) -> None:
        """Wait until every volume and every variable has what it refers to."""
        while True:
            self._config_changed.clear()
            try:
                self._volumes.refresh(self._home.config_map)
                for container in [*self._init, *self._main]:
                    self._resolve(container.declared)
            except ConfigMissing as missing:
                for container in [*self._init, *self._main]:
                    container.wait_for(str(missing))
                await self._config_changed.wait()
            else:
                return

    async def _follow_config(self) -> None:
        while True:
            await self._config_changed.wait()
            self._config_changed.clear()
            # What has lost a key that the Pod needs keeps its last good content, as with kubelets.
            with contextlib.suppress(ConfigMissing):
                self._volumes.refresh(self._home.config_map)

    def _container(self, declared: Json, policy: str) -> Container:
        home, meta = self._home, self.pod["metadata"]
        directory = home.directory / declared["name"]
        directory.mkdir(parents=True, exist_ok=True)
        log = home.logs / f"{meta['namespace']}_{meta['name']}_{declared['name']}.log"
        return Container(
            declared=declared,
            files=Files(directory, log, directory / "termination-message"),
            policy=policy,
            pauses=home.pauses,
            resolve=lambda: self._resolve(declared),
            changed=self._changed,
        )

    def _resolve(self, declared: Json) -> ProcessSpec:
        message = self._home.directory / declared["name"] / "termination-message"
        mounts = self._volumes.mounts(declared)
        mounts[declared.get("terminationMessagePath", "/dev/termination-log")] = str(message)
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        place = Place(self._home.address, self._home.node, mounts, inherited)
        return process_of(declared, self.pod, place, self._home.config_map)


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
