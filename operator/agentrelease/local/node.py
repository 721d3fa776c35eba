"""A small node: it runs the Pods of one API server as processes of this machine. It is not a kubelet.

It binds pending Pods to itself (there is no scheduler), gives each a loopback address, and keeps kubelets'
promises about ConfigMap volumes, readiness, restarts, termination messages and graceful deletion. It runs no
images, isolates nothing and limits nothing, and asks no liveness probes: for demos and tests with code one
trusts. Processes are expected to listen on their own Pod's address (downward API `status.podIP`), since all
of them share one machine. Children die with the node.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import structlog

from agentrelease.local.addresses import Addresses
from agentrelease.local.background import Background, until_stopped
from agentrelease.local.containers import RestartPauses
from agentrelease.local.kubeapi import UNREACHABLE, KubeApi, collection
from agentrelease.local.pods import Home, RunningPod
from agentrelease.local.reflector import Reflector
from agentrelease.local.reports import StatusReporter

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Node"]

Json = dict[str, Any]

_log = structlog.get_logger()
_RETRY_SECONDS = 0.5
_STOP_SECONDS = 2.0
_OVER = {"Succeeded", "Failed"}
_GONE = {404, 409}  # deleted meanwhile, or its name taken by another object


class Node:
    """Runs the Pods of `namespaces` (all, if None) while its context is open; then ends their processes.

    Several nodes can share an API server if their namespaces differ.
    """

    def __init__(
        self,
        kubeconfig: Path,
        *,
        namespaces: Collection[str] | None = None,
        name: str = "local",
        directory: Path | None = None,
        pauses: RestartPauses | None = None,
    ) -> None:
        self.name = name
        self._kubeconfig, self._directory = kubeconfig, directory
        self._namespaces: list[str | None] = list(namespaces) if namespaces else [None]
        self._pauses = pauses or RestartPauses()
        self._changed = asyncio.Event()
        self._running: dict[str, RunningPod] = {}
        self._reporting: dict[str, asyncio.Task[None]] = {}
        self._ending: set[tuple[str, bool]] = set()  # uid, and whether by force
        self._stack = contextlib.AsyncExitStack()
        self._api: KubeApi
        self._session: aiohttp.ClientSession
        self._addresses: Addresses
        self._background: Background
        self._root: Path
        self._pods: list[Reflector]
        self._config: list[Reflector]
        self._reporter: StatusReporter

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self._root = self._directory or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="node-"))
            )
            (self._root / "logs").mkdir(parents=True, exist_ok=True)
            self._addresses = stack.enter_context(Addresses())
            self._api = await stack.enter_async_context(KubeApi(self._kubeconfig))
            self._session = await stack.enter_async_context(aiohttp.ClientSession())
            self._reporter = StatusReporter(self._api)
            # Ends after the reports do: a successor must find the Pods as they were when they ran.
            stack.push_async_callback(self._end)
            self._background = await stack.enter_async_context(Background())
            wake = self._changed.set
            self._pods = [Reflector(self._api, collection("v1", "pods", ns), wake) for ns in self._namespaces]
            self._config = [
                Reflector(self._api, collection("v1", "configmaps", ns), self._config_changed)
                for ns in self._namespaces
            ]
            for mirror in [*self._pods, *self._config]:
                self._background.start(mirror.run())
            self._background.start(self._register())
            self._background.start(self._serve())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def log_file(self, namespace: str, pod: str, container: str) -> Path:
        """Where a container's output is; it stays until the node ends."""
        return self._root / "logs" / f"{namespace}_{pod}_{container}.log"

    async def failed(self) -> None:
        """Wait for what should not happen, a fault of ours, and raise it."""
        await self._background.failed()

    async def _serve(self) -> None:
        for mirror in [*self._pods, *self._config]:
            await mirror.synced.wait()
        while True:
            await self._changed.wait()
            self._changed.clear()
            pods = [pod for mirror in self._pods for pod in mirror.objects.values()]
            try:
                for pod in pods:
                    await self._attend(pod)
            except UNREACHABLE as error:
                _log.warning("node will try again", error=str(error).splitlines()[0])
                await asyncio.sleep(_RETRY_SECONDS)
                self._changed.set()
            there = {pod["metadata"]["uid"] for pod in pods}
            for uid in self._running.keys() - there:
                self._finish(self._running[uid].pod, grace_seconds=0, forced=True)
            self._ending = {end for end in self._ending if end[0] in there | self._running.keys()}

    async def _attend(self, pod: Json) -> None:
        """Bring one Pod nearer to what its object says."""
        meta, spec = pod["metadata"], pod["spec"]
        uid, leaving = meta["uid"], "deletionTimestamp" in meta
        if not spec.get("nodeName") and not leaving:
            await self._bind(meta)
        elif spec.get("nodeName") != self.name:
            return
        elif leaving:
            self._finish(pod, grace_seconds=meta.get("deletionGracePeriodSeconds", 30))
        elif uid not in self._running and pod.get("status", {}).get("phase") not in _OVER:
            self._begin(pod)

    async def _bind(self, meta: Json) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": self.name}
        body: Json = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"]},
            "target": target,
        }
        try:
            await self._api.create(f"{_path(meta)}/binding", body)
        except UNREACHABLE as error:
            if getattr(error, "status", None) not in _GONE:
                raise

    def _begin(self, pod: Json) -> None:
        meta = pod["metadata"]

        def config_map(name: str) -> Json | None:
            found = (mirror.objects.get((meta["namespace"], name)) for mirror in self._config)
            return next((obj for obj in found if obj is not None), None)

        home = Home(
            node=self.name,
            address=self._addresses.next(),
            directory=self._root / "pods" / meta["uid"],
            logs=self._root / "logs",
            config_map=config_map,
            session=self._session,
            pauses=self._pauses,
        )
        dirty = asyncio.Event()
        running = RunningPod(pod, home, dirty.set)
        self._running[meta["uid"]] = running
        self._background.watch(running.start())
        self._reporting[meta["uid"]] = self._background.start(self._reporter.follow(running, dirty))

    def _finish(self, pod: Json, grace_seconds: float, *, forced: bool = False) -> None:
        """Begin a Pod's end, once; a deletion by force overtakes one that is still polite."""
        end = (pod["metadata"]["uid"], forced)
        if end not in self._ending:
            self._ending.add(end)
            self._background.start(self._remove(pod, grace_seconds))

    async def _remove(self, pod: Json, grace_seconds: float) -> None:
        """End a Pod's processes, say so, and let the object go."""
        meta = pod["metadata"]
        running = self._running.get(meta["uid"])
        if running is not None:
            await running.stop(grace_seconds)
            await self._reporter.write(running)
        while True:
            try:
                await self._api.delete(_path(meta), grace_seconds=0, uid=meta["uid"])
                break
            except UNREACHABLE as error:
                if getattr(error, "status", None) in _GONE:
                    break
                await asyncio.sleep(_RETRY_SECONDS)
        self._running.pop(meta["uid"], None)
        if (reporting := self._reporting.pop(meta["uid"], None)) is not None:
            reporting.cancel()
        self._reporter.forget(meta["uid"])
        shutil.rmtree(self._root / "pods" / meta["uid"], ignore_errors=True)

    def _config_changed(self) -> None:
        for running in self._running.values():
            running.config_changed()

    async def _register(self) -> None:
        """Show up under `kubectl get nodes`; nothing here depends on it."""
        body: Json = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name}}
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "LocalProcesses",
            "message": "runs Pods as processes",
        }
        with contextlib.suppress(*UNREACHABLE):
            await self._api.create(collection("v1", "nodes"), body)
        with contextlib.suppress(*UNREACHABLE):
            path = f"{collection('v1', 'nodes')}/{self.name}/status"
            await self._api.patch(path, {"status": {"conditions": [ready]}}, strategy="strategic-merge")

    async def _end(self) -> None:
        await asyncio.gather(*(running.stop(_STOP_SECONDS) for running in self._running.values()))


def _path(meta: Json) -> str:
    return f"{collection('v1', 'pods', meta['namespace'])}/{meta['name']}"


async def main(arguments: list[str]) -> None:
    """Run a node until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="agentrelease.local.node", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", action="append", help="only this namespace (repeatable)")
    parser.add_argument("--name", default="local")
    parser.add_argument("--directory", type=Path, help="for volumes and logs; a temporary one by default")
    await until_stopped(serve(parser.parse_args(arguments)))


async def serve(chosen: argparse.Namespace) -> None:
    """Run pods; raises what stops it from doing so."""
    node = Node(chosen.kubeconfig, namespaces=chosen.namespace, name=chosen.name, directory=chosen.directory)
    async with node:
        await node.failed()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
