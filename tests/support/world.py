"""A whole world on real parts in one namespace: gateway, node, agents, Prometheus, operator, traffic.

The API server is the run's. Everything else is this world's own, so that a test may stop it. Guardrails are
wide and phases short: the code and the statistics are production's, only the margins are a test's.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from agentrelease.api.release import AgentRelease
from agentrelease.api.vocabulary import REVISION_ANNOTATION
from agentrelease.core.bundle import digest_of, revision_name
from agentrelease.edges import kinds
from agentrelease.edges.cluster import ApiServer
from agentrelease.edges.credentials import Credentials
from agentrelease.engine.ports import Ref
from agentrelease.local import builds, prometheus
from agentrelease.local.gateway import Gateway
from agentrelease.local.node import Node
from agentrelease.local.ports import Ports
from agentrelease.local.processes import Command, Processes
from agentrelease.local.traffic import Load, Mix, Traffic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from agentrelease.engine.ports import Kind, Object
    from agentrelease.local.controlplane import ControlPlane
    from agentrelease.local.processes import Child

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "support-agent"
AGENT = "support"
MOMENT = 120.0
"""Seconds that no good run comes near; for things that take one or two."""


@dataclass
class World:
    """What a test acts on and looks at."""

    namespace: str
    cluster: ApiServer
    plane: ControlPlane
    gateway: Gateway
    traffic: Traffic
    processes: Processes
    logs: Path
    prometheus: Child
    prometheus_url: str
    operators: list[Child] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    # ---- what people do --------------------------------------------------------------------------

    async def apply(self, file: str, **changes: Any) -> str:
        """Apply a release of the examples with short phases, and return its revision."""
        wanted = yaml.safe_load((EXAMPLES / file).read_text())
        wanted["metadata"]["namespace"] = self.namespace
        for phase in wanted["spec"]["phases"]:
            phase |= {"minSamples": 20, "minDuration": "1s"}
        wanted["spec"] |= changes
        await self.kubectl_apply([wanted])
        release = await self.release()
        return revision_name(AGENT, digest_of(release.spec.bundle))

    async def kubectl_apply(self, objects: list[Object]) -> None:
        """Run the real ``kubectl apply -f -``."""
        await kubectl(self.plane, objects, "apply", "-n", self.namespace, "-f", "-")

    async def patch(self, spec: Object) -> None:
        """Merge-patch the release's spec, as a person with kubectl would."""
        await self.cluster.merge(Ref(kinds.AGENT_RELEASE, self.namespace, AGENT), {"spec": spec})

    # ---- what is seen ----------------------------------------------------------------------------

    async def release(self) -> AgentRelease:
        obj = await self.cluster.get(Ref(kinds.AGENT_RELEASE, self.namespace, AGENT))
        assert obj is not None
        return AgentRelease.from_object(obj)

    async def route_weights(self) -> dict[str, int]:
        """Service → weight in the route's base rule."""
        route = await self.cluster.get(Ref(kinds.HTTP_ROUTE, self.namespace, AGENT))
        assert route is not None
        return {ref["name"]: ref.get("weight", 1) for ref in route["spec"]["rules"][-1]["backendRefs"]}

    async def mirrors(self) -> bool:
        route = await self.cluster.get(Ref(kinds.HTTP_ROUTE, self.namespace, AGENT))
        assert route is not None
        filters = [f["type"] for rule in route["spec"]["rules"] for f in rule.get("filters") or ()]
        return "RequestMirror" in filters

    async def until(
        self, condition: Callable[[AgentRelease], object], what: str, seconds: float = MOMENT
    ) -> AgentRelease:
        """Look at the release until a condition holds; remembers every phase it meets."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            release = await self.release()
            if not self.seen or self.seen[-1] != release.status.phase:
                self.seen.append(release.status.phase)
            if condition(release):
                return release
            if loop.time() > deadline:
                status = release.status
                pytest.fail(
                    f"not within {seconds:.0f} s: {what}; {status.phase}, {status.verdict}: {status.reason}"
                )
            await asyncio.sleep(0.1)

    async def until_object(
        self, kind: Kind, name: str, condition: Callable[[Object], object], what: str
    ) -> Object:
        """Look at any object of this world until a condition holds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + MOMENT
        while True:
            obj = await self.cluster.get(Ref(kind, self.namespace, name))
            if obj is not None and condition(obj):
                return obj
            assert loop.time() < deadline, f"not within {MOMENT:.0f} s: {what}; {obj}"
            await asyncio.sleep(0.1)

    async def promoted(self, revision: str, seconds: float = 240) -> AgentRelease:
        def done(release: AgentRelease) -> bool:
            stable = release.status.stable
            return release.status.phase == "Promoted" and stable is not None and stable.revision == revision

        return await self.until(done, f"{revision} is promoted", seconds)

    async def in_phase(self, phase: str, seconds: float = MOMENT) -> AgentRelease:
        return await self.until(lambda release: release.status.phase == phase, f"phase {phase}", seconds)

    def operator_log(self) -> list[dict[str, Any]]:
        """Every line of every operator of this world, which must all be JSON."""
        return [
            json.loads(line)
            for child in self.operators
            for line in child.command.log.read_text().splitlines()
        ]

    # ---- processes ---------------------------------------------------------------------------------

    async def start_operator(self, *, leading: bool = True) -> Child:
        """Start an operator; wait until it leads and has listed the cluster, unless told not to."""
        log = self.logs / f"operator-{len(self.operators)}.log"
        environment = {
            "AGENTRELEASE_KUBECONFIG": str(self.plane.kubeconfig),
            "AGENTRELEASE_PROMETHEUS_URL": self.prometheus_url,
            "AGENTRELEASE_EVALUATION_INTERVAL": "1",
            "AGENTRELEASE_EVIDENCE_LOOKBACK": "20",
            "AGENTRELEASE_NAMESPACES": self.namespace,
            "AGENTRELEASE_LEASE_NAMESPACE": self.namespace,
            "AGENTRELEASE_LEASE_DURATION": "10",
            "AGENTRELEASE_RENEW_DEADLINE": "8",
            "AGENTRELEASE_RETRY_PERIOD": "0.5",
            "AGENTRELEASE_LISTEN_HOST": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",
            **self.settings,
        }
        command = Command("operator", [sys.executable, "-m", "agentrelease"], log, environment)

        async def leads() -> bool:
            return log.exists() and re.search(r'"event": ?"leading"', log.read_text()) is not None

        child = await self.processes.start(command, leads if leading else None, MOMENT)
        self.operators.append(child)
        return child

    async def kill_operator(self) -> None:
        """SIGKILL, as a node failure would."""
        child = self.operators[-1]
        os.killpg(child.pid, signal.SIGKILL)
        await child.process.wait()

    async def misbehave(self, revision: str, **faults: Any) -> None:
        """Make a revision's agents behave otherwise under the same name, as a provider's change would."""
        async with aiohttp.ClientSession(trust_env=False) as session:
            for address in await self.agents(revision):
                async with session.post(f"{address}/behaviour", json=faults) as reply:
                    reply.raise_for_status()

    async def agents(self, revision: str) -> list[str]:
        """Return the addresses of the pods that run a revision."""
        pods = await self.cluster.list(kinds.POD, self.namespace)
        found = [
            f"http://{pod['status']['podIP']}:8080"
            for pod in pods
            if (pod["metadata"].get("annotations") or {}).get(REVISION_ANNOTATION) == revision
            and "deletionTimestamp" not in pod["metadata"]
        ]
        assert found, f"no pod runs {revision}"
        return found

    async def stop_prometheus(self) -> None:
        await self.prometheus.stop()

    async def start_prometheus(self) -> None:
        """Start the same server again, on the same port and data."""
        command = self.prometheus.command
        self.prometheus = await self.processes.start(command)


@asynccontextmanager
async def world(
    plane: ControlPlane,
    namespace: str,
    logs: Path,
    *,
    rate: float = 60.0,
    settings: dict[str, str] | None = None,
    scrape: float = 1.0,
    lasting: float = 750.0,
) -> AsyncIterator[World]:
    """Start everything in a namespace; nothing is left when the context ends.

    ``settings`` are the operator's, ``scrape`` is seconds between two scrapes, and ``lasting`` is seconds
    after which requests end at the latest.
    """
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(await ApiServer.connect(Credentials(plane.kubeconfig)))
        await kubectl(plane, _platform(scrape), "apply", "-n", namespace, "-f", "-")
        processes = await stack.enter_async_context(Processes())
        ports = stack.enter_context(Ports())
        gateway = await stack.enter_async_context(Gateway(plane.kubeconfig, namespaces=[namespace]))
        (logs / "node").mkdir()
        await stack.enter_async_context(
            Node(plane.kubeconfig, namespaces=[namespace], directory=logs / "node")
        )
        scraping = prometheus.Scraping(plane.kubeconfig, [namespace], interval=f"{scrape * 1000:.0f}ms")
        serving = prometheus.serve(processes, ports, logs / "prometheus", scraping)
        evidence = await stack.enter_async_context(serving)
        load = Load(rate=rate, duration=lasting, max_requests=round(rate * lasting))
        traffic = Traffic(gateway.url, load, Mix(internal=0.2, high_risk=0.3))
        made = World(
            namespace, cluster, plane, gateway, traffic, processes, logs, evidence.child, evidence.url
        )
        made.settings = settings or {}
        await made.start_operator()
        running = asyncio.create_task(traffic.run())
        try:
            yield made
        finally:
            traffic.stop()
            await running


async def kubectl(plane: ControlPlane, objects: list[Object], *arguments: str) -> None:
    """Run kubectl with objects on its standard input; fails with what it said."""
    program = await asyncio.to_thread(builds.kubectl)
    process = await asyncio.create_subprocess_exec(
        program,
        f"--kubeconfig={plane.kubeconfig}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(yaml.safe_dump_all(objects).encode())
    assert process.returncode == 0, said.decode()


def _platform(scrape: float) -> list[Object]:
    objects = list(yaml.safe_load_all((EXAMPLES / "platform.yaml").read_text()))
    for wanted in objects:
        if wanted["kind"] == "GuardrailPolicy":
            _widen(wanted["spec"], scrape)
    return objects


def _widen(spec: dict[str, Any], scrape: float) -> None:
    """Leave what matters for tests: a dozen tasks exclude harm, and gross violations are found in a dozen.

    ``scrape`` is seconds between two scrapes, in which no evidence can be newer.
    """
    spec["strata"] = {"labels": [], "required": []}
    spec["staleAfter"], spec["blindAfter"] = f"{max(4.0, 3 * scrape):g}s", f"{max(20.0, 9 * scrape):g}s"
    for metric in spec["metrics"]:
        if "tolerance" in metric:
            metric |= {"maxHarm": {"absolute": 0.45}, "alpha": 0.2}
            metric.pop("maxHarmStratum", None)
