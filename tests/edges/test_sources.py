"""Evidence from real counters: the SDK's page and Envoy's, scraped by a real Prometheus."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import lacking, routing
from agentrelease.core.assess import Requirements, Verdict, assess
from agentrelease.core.blocks import block, metrics_read
from agentrelease.core.evidence import Concurrent, Count
from agentrelease.core.ledger import Ledger
from agentrelease.core.plan import compile_plan
from agentrelease.core.series import Wanted
from agentrelease.core.span import Services, Span
from agentrelease.edges.prometheus import Prometheus
from agentrelease.local import prometheus
from agentrelease.local.gateway.envoy import Envoy
from agentrelease.local.gateway.translate import ROUTES
from agentrelease.local.ports import Ports
from agentrelease.local.processes import Processes
from agentrelease.local.prometheus import Scraping
from agentrelease.sdk import AgentMetrics, Identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BOUND = 60.0
GRID = 0.5
TASKS = {"metric": "agentrelease_tasks_total"}
COMPLETION = {
    "name": "task-completion",
    "class": "quality",
    "ratio": {"good": TASKS | {"match": {"outcome": "completed"}}, "of": TASKS},
    "tolerance": {"absolute": 0.03},
    "maxHarm": {"absolute": 0.15},
    "onBreach": "rollback",
}
HANGS = {"outcomes": {"deadline": "1s"}, "staleAfter": "5s", "metrics": [COMPLETION]}
ROUTED = {
    "router": {
        "requests": {"metric": "envoy_cluster_upstream_rq_total"},
        "retries": {"metric": "envoy_cluster_upstream_rq_retry"},
        "service": {"envoy_cluster_name": "{namespace}/{service}/8080"},
    },
    "metrics": [{"name": "unanswered", "class": "quality", "missing": {}, "onBreach": "rollback"}],
}


class Agents:
    """Two releases in one process, counted by the real SDK; a request without a release begins no task."""

    def __init__(self) -> None:
        self.metrics = {name: AgentMetrics(Identity("support", name, "sha256:0")) for name in ("new", "old")}
        self.hung: list[Any] = []

    async def page(self, _: web.Request) -> web.Response:
        pages = [metrics.render().decode() for metrics in self.metrics.values()]
        second = [line for line in pages[1].splitlines() if not line.startswith("#")]
        text = "\n".join([*pages[0].splitlines(), *second]) + "\n"
        return web.Response(text=text.replace('agent="support"', 'agent="support",namespace="shop"'))

    async def task(self, request: web.Request) -> web.Response:
        if "x-lost" not in request.headers:
            self.work("new", 1)
        return web.Response()

    def work(self, release: str, tasks: int, *, hang: bool = False) -> None:
        for _ in range(tasks):
            task = self.metrics[release].task("billing", "low", "external")
            task.__enter__()
            if hang:
                self.hung.append(task)
            else:
                task.completed()
                task.__exit__(None, None, None)


@asynccontextmanager
async def serving(agents: Agents) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/metrics", agents.page)
    app.router.add_get("/task", agents.task)
    runner = web.AppRunner(app)
    await runner.setup()
    with Ports() as ports:
        port = ports.take()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield port
        finally:
            await runner.cleanup()


@asynccontextmanager
async def watching(folder: Path, targets: dict[str, str], **paths: str) -> AsyncIterator[Prometheus]:
    async with Processes() as processes:
        with Ports() as ports:
            scraping = Scraping(
                targets={job: [address] for job, address in targets.items()}, interval="200ms", paths=paths
            )
            async with prometheus.serve(processes, ports, folder, scraping) as server:
                edge = Prometheus(server.url, grid=GRID, settle=0.3, lookback=4.0)
                try:
                    yield edge
                finally:
                    await edge.close()


def wanted(spec: GuardrailPolicySpec) -> list[Wanted]:
    reach = lacking.reach(spec.outcomes.deadline.seconds) if spec.outcomes else 0.0
    names = [
        Wanted(name, reach) for name in sorted(metrics_read(spec) | {"agentrelease_started_tasks_total"})
    ]
    if spec.router is None:
        return names
    labels: dict[str, set[str]] = {}
    for service in ("support-green", "support-blue"):
        for label, value in routing.labels_of(spec.router, "shop", service).items():
            labels.setdefault(label, set()).add(value)
    picked = tuple((label, tuple(sorted(values))) for label, values in labels.items())
    return [*names, *(Wanted(name, routing.RECENT, picked) for name in routing.counters(spec.router))]


class Watch:
    """A ledger that takes block after block, as the operator does."""

    def __init__(self, edge: Prometheus, policy: dict[str, Any]) -> None:
        self.edge = edge
        self.spec, self.plan = compile_plan([GuardrailPolicySpec.model_validate(policy)], GRID)
        self.ledger: Ledger | None = None

    async def look(self) -> Ledger:
        since = self.ledger.through if self.ledger else None
        snapshot = await self.edge.look(wanted(self.spec), since)
        assert not snapshot.problem
        assert not snapshot.unread
        if self.ledger is None:
            self.ledger = Ledger.new(self.plan, snapshot.end)
        elif snapshot.end > self.ledger.through:
            services = Services("support-green", "support-blue")
            span = Span("shop", "support", "new", "old", self.ledger.through, snapshot.end, step=GRID)
            span = Span(**{f: getattr(span, f) for f in Span.__slots__} | {"services": services})
            one = block(snapshot, self.spec, span)
            self.ledger = self.ledger.absorb(self.plan, one, Autonomy.OBSERVE, Concurrent())
        return self.ledger

    async def until(self, name: str, candidate: Count) -> Ledger:
        """Look until the candidate's counts are these; fails when they overshoot or never come."""
        loop, state = asyncio.get_running_loop(), None
        until = loop.time() + BOUND
        while loop.time() < until:
            ledger = await self.look()
            state = ledger.metrics[name].strata.get("")
            if state is not None:
                assert state.candidate.x <= candidate.x
                if state.candidate == candidate:
                    return ledger
            await asyncio.sleep(0.1)
        pytest.fail(f"{name} is {state}, not {candidate}")


async def ready(watch: Watch) -> None:
    """Look until both arms have been scraped, so that nothing which follows is missed."""
    async with asyncio.timeout(BOUND):
        while True:
            snapshot = await watch.edge.look(wanted(watch.spec), None)
            seen = snapshot.of("agentrelease_started_tasks_total", "shop", "support")
            routed = watch.spec.router is None or len(
                snapshot.routed.get("envoy_cluster_upstream_rq_total", ())
            )
            if {s.labels["release"] for s in seen if s.samples[0].at < snapshot.end - 1} == {
                "new",
                "old",
            } and (routed):
                break
            await asyncio.sleep(0.1)
        begun = (await watch.look()).through
        while True:  # what was on its way in the first block is not counted
            if (await watch.look()).through > begun:
                return
            await asyncio.sleep(0.1)


async def test_tasks_that_hang_are_found_at_their_deadline_and_end_the_release(tmp_path):
    agents = Agents()
    async with serving(agents) as port, watching(tmp_path, {"agents": f"127.0.0.1:{port}"}) as edge:
        watch = Watch(edge, HANGS)
        await ready(watch)
        finished, said = 0, None
        async with asyncio.timeout(BOUND):
            while said is None or said.verdict is not Verdict.ROLLBACK:
                agents.work("old", 20)
                agents.work("new", 4)
                agents.work("new", 1, hang=True)
                finished += 4
                ledger = await watch.look()
                said = assess(watch.plan, ledger, ledger.through, Requirements())
                await asyncio.sleep(0.1)
        assert said.reason.startswith("task-completion is worse than")
        hung = len(agents.hung)
        await watch.until("task-completion", Count(finished + hung, hung))
        for task in agents.hung:  # they end late after all: as what they became
            task.completed()
            task.__exit__(None, None, None)
        await watch.until("task-completion", Count(finished + 2 * hung, hung))


def cluster(name: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "name": name,
        "alt_stat_name": name.replace(".", "/"),
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


async def test_requests_that_a_real_envoy_sent_and_no_agent_began_are_missing(tmp_path):
    agents = Agents()
    async with serving(agents) as port, Envoy(tmp_path / "envoy") as envoy:
        names = ["shop.support-green.8080", "shop.support-blue.8080"]
        route = {"match": {"prefix": "/"}, "route": {"cluster": names[0]}}
        hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
        await envoy.apply({n: cluster(n, port) for n in names}, {"name": ROUTES, "virtual_hosts": hosts})
        targets = {"agents": f"127.0.0.1:{port}", "envoy": envoy.admin_url.removeprefix("http://")}
        async with watching(tmp_path, targets, envoy="/stats/prometheus") as edge:
            watch = Watch(edge, ROUTED)
            await ready(watch)
            async with aiohttp.ClientSession() as client:
                for number in range(40):
                    headers = {"x-lost": "1"} if number % 4 == 0 else {}
                    async with client.get(f"{envoy.url}/task", headers=headers) as answer:
                        assert answer.status == 200
            await watch.until("unanswered", Count(40, 10))
