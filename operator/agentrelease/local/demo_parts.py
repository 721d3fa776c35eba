"""Everything that the demo runs, started in order and ended in reverse.

The operator is a process of its own, as in production; so are the agents, Envoy, Prometheus and the API
server. Only the node and the gateway's translator, which stand in for cluster components, run in here.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from agentrelease.local import builds, controlplane, prometheus
from agentrelease.local.gateway import Gateway
from agentrelease.local.node import Node
from agentrelease.local.ports import Ports
from agentrelease.local.processes import Command, Processes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from agentrelease.local.demo_screen import Screen
    from agentrelease.local.processes import Child

NAMESPACE = "support"
_OPERATOR_NAMESPACE = "agentrelease-system"
_SETTINGS = {
    "AGENTRELEASE_EVALUATION_INTERVAL": "1",
    "AGENTRELEASE_EVIDENCE_LOOKBACK": "20",  # scrapes are a second apart
    "AGENTRELEASE_LEASE_NAMESPACE": _OPERATOR_NAMESPACE,
    "AGENTRELEASE_NAMESPACES": NAMESPACE,
    "AGENTRELEASE_LISTEN_HOST": "127.0.0.1",
    "AGENTRELEASE_LISTEN_PORT": "0",
}


class CommandFailed(RuntimeError):
    """A kubectl command of the demo failed; the message has what it said."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The real kubectl, shown as it would be typed and run against the demo's API server."""

    program: Path
    kubeconfig: Path
    screen: Screen

    async def __call__(self, *arguments: str) -> None:
        """Print and run one command; raises ``CommandFailed``."""
        self.screen.command(["kubectl", *arguments])
        own = [f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.kubeconfig.parent / 'cache'}"]
        process = await asyncio.create_subprocess_exec(
            self.program, *own, "--request-timeout=20s", *arguments,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        _, said = await process.communicate()
        if process.returncode:
            raise CommandFailed(f"kubectl {' '.join(arguments)}: {said.decode(errors='replace').strip()}")


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts, and where to reach them."""

    kubectl: Kubectl
    kubeconfig: Path
    gateway: Gateway
    prometheus_url: str
    processes: Processes
    operator: Child
    logs: Path

    @property
    def agent_url(self) -> str:
        """Where users ask the agent, through the gateway."""
        return f"{self.gateway.url}/task"

    async def failed(self) -> None:
        """Wait until any of the programs ends by itself, and raise what it left behind."""
        gateway = asyncio.create_task(self.gateway.failed())
        child = asyncio.create_task(self.processes.watch())
        try:
            await asyncio.wait({gateway, child}, return_when=asyncio.FIRST_COMPLETED)
            if gateway.done():
                gateway.result()
            raise child.result().obituary()
        finally:
            gateway.cancel()
            child.cancel()


@asynccontextmanager
async def stage(screen: Screen, logs: Path, examples: Path) -> AsyncIterator[Stage]:
    """Start everything; nothing is left when the context ends, in whatever way."""
    async with AsyncExitStack() as stack:
        processes = await stack.enter_async_context(Processes())
        screen.say("Starting etcd and kube-apiserver ...")
        plane = await controlplane.start(processes, logs / "controlplane.log")
        screen.say(f"  ready at {plane.server}")
        kubectl = Kubectl(await asyncio.to_thread(builds.kubectl), plane.kubeconfig, screen)
        for namespace in (NAMESPACE, _OPERATOR_NAMESPACE):
            await kubectl("create", "namespace", namespace)
        await kubectl("apply", "-n", NAMESPACE, "-f", str(examples / "platform.yaml"))
        screen.say("Starting the gateway (Envoy), the agents' node and Prometheus ...")
        gateway = await stack.enter_async_context(Gateway(plane.kubeconfig, namespaces=[NAMESPACE]))
        (logs / "node").mkdir()
        node = Node(plane.kubeconfig, namespaces=[NAMESPACE], directory=logs / "node")
        await stack.enter_async_context(node)
        ports = stack.enter_context(Ports())
        scraping = prometheus.Scraping(plane.kubeconfig, [NAMESPACE])
        serving = prometheus.serve(processes, ports, logs / "prometheus", scraping)
        evidence = await stack.enter_async_context(serving)
        screen.say("Starting the operator ...")
        operator = await _operator(processes, plane.kubeconfig, evidence.url, logs)
        yield Stage(kubectl, plane.kubeconfig, gateway, evidence.url, processes, operator, logs)


async def _operator(processes: Processes, kubeconfig: Path, evidence: str, logs: Path) -> Child:
    log = logs / "operator.log"
    places = {"AGENTRELEASE_KUBECONFIG": str(kubeconfig), "AGENTRELEASE_PROMETHEUS_URL": evidence}
    command = Command(
        "operator",
        [sys.executable, "-m", "agentrelease"],
        log,
        {**_SETTINGS, **places, "PYTHONUNBUFFERED": "1"},
    )
    async with aiohttp.ClientSession(trust_env=False) as session:

        async def ready() -> bool:
            port = re.search(r'"port": ?(\d+)', log.read_text()) if log.exists() else None
            if port is None:
                return False
            try:
                async with session.get(f"http://127.0.0.1:{port[1]}/readyz") as reply:
                    return reply.status == 200
            except aiohttp.ClientError:
                return False

        return await processes.start(command, ready)
