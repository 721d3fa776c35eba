"""Shadow outcomes in pairs, end to end: real Envoy, demo agents, a joiner, the real Prometheus, the edge."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import httpx
from tests.local.conftest import bundle_of
from tests.support.gateway import Shop, arm, eventually
from tests.support.paired import COMPLETION

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.core import blocks, pairs
from agentrelease.core.bundle import canonical
from agentrelease.core.evidence import Cell, Count
from agentrelease.core.series import Wanted
from agentrelease.edges.prometheus import Prometheus
from agentrelease.local import prometheus
from agentrelease.local.agent.server import Agent
from agentrelease.local.agent.settings import Settings
from agentrelease.local.ports import Ports
from agentrelease.local.processes import Command, Processes
from agentrelease.local.prometheus import Scraping

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

MIRROR = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "green", "port": 80}}}
POLICY = GuardrailPolicySpec.model_validate({"metrics": [COMPLETION]})


async def test_envoy_gives_the_copy_the_id_of_the_original(control_plane, namespace):
    """What the joining rests on: one id, whether the user sent it or the gateway made it."""
    async with Shop(control_plane.kubeconfig, namespace()) as shop:
        await shop.serve({"filters": [MIRROR], "backendRefs": [arm("blue")]})
        await shop.ask(30)

        async def copied():
            return len(shop.green.asked) == 30

        await eventually(copied, "every copy has arrived")
        ids = [[asked["x-request-id"] for asked in side.asked] for side in (shop.blue, shop.green)]
        assert sorted(ids[0]) == sorted(ids[1])
        assert len(set(ids[0])) == 30


def an_agent(folder: Path, release: str, joiner: str, completion: float) -> Agent:
    bundle = folder / f"{release}.json"
    bundle.write_bytes(canonical(bundle_of()))
    env = {
        "AGENT_NAME": "support",
        "AGENT_RELEASE": release,
        "BUNDLE_PATH": str(bundle),
        "FLAGD_OFFLINE_FLAG_SOURCE_PATH": str(folder / "no-flags.json"),
        "AGENT_BEHAVIOUR": json.dumps({"completion": completion, "latency": 0.001}),
        "AGENTRELEASE_PAIRING_URL": joiner,
    }
    return Agent(Settings.from_env(env))


@contextlib.asynccontextmanager
async def joining(processes: Processes, port: int, log: Path):
    url = f"http://127.0.0.1:{port}"
    command = Command(
        "joiner",
        [sys.executable, "-m", "agentrelease.sdk.pairing"],
        log,
        {"HOST": "127.0.0.1", "PORT": str(port), "AGENTRELEASE_PAIRING_WINDOW": "600"},
    )
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:

        async def ready() -> bool:
            try:
                return (await client.get("/healthz")).is_success
            except httpx.TransportError:
                return False

        await processes.start(command, ready)
        yield url


async def test_mirrored_requests_become_pairs_that_prometheus_keeps_and_a_block_is_made_of(
    control_plane, namespace, tmp_path
):
    """Stable completes everything and the candidate nothing: every pair must say so, and no other."""
    async with contextlib.AsyncExitStack() as stack:
        ports = stack.enter_context(Ports())
        processes = await stack.enter_async_context(Processes())
        port = ports.take()
        joiner = await stack.enter_async_context(joining(processes, port, tmp_path / "joiner.log"))
        shop = Shop(control_plane.kubeconfig, namespace())
        agents = [an_agent(tmp_path, "v1", joiner, 1.0), an_agent(tmp_path, "v2", joiner, 0.0)]
        for side, agent in zip((shop.blue, shop.green), agents, strict=True):
            await agent.load()
            stack.callback(agent.close)
            side.app = with_any_path(agent)
        await stack.enter_async_context(shop)
        scraping = Scraping(targets={"joiner": [f"127.0.0.1:{port}"]}, interval="200ms")
        server = await stack.enter_async_context(
            prometheus.serve(processes, ports, tmp_path / "prometheus", scraping)
        )
        edge = Prometheus(server.url, grid=0.5, settle=0.3, lookback=60.0)
        stack.push_async_callback(edge.close)
        await shop.serve({"filters": [MIRROR], "backendRefs": [arm("blue")]})

        async def pages():
            """Pairs that the edge sees; the zeros come first, so that nothing is lost."""
            snapshot = await edge.look([Wanted(pairs.PAIRS)], None)
            return {s.labels["outcome"]: s for s in snapshot.of(pairs.PAIRS, "", "support")}

        await shop.ask(1, path="/task", x_risk_tier="high")
        await eventually(pages, "the first scrape of the two revisions")
        await shop.ask(60, path="/task", x_risk_tier="high")

        async def whole():
            snapshot = await edge.look([Wanted(pairs.PAIRS), Wanted(blocks.TASKS)], None)
            span = blocks.Span("", "support", "v2", "v1", 0.0, snapshot.end, mirrored=True)
            return snapshot, blocks.block(snapshot, POLICY, span).cells["completion-rate"]

        async def counted():
            snapshot, cells = await whole()
            total = sum(cell.candidate.n for cell in cells.values() if cell.candidate)
            return (snapshot, cells) if total >= 60 else None

        snapshot, cells = await eventually(counted, "60 pairs are in a block")
        (cell,) = cells.values()
        assert cell.candidate == Count(cell.candidate.n, cell.candidate.n)
        assert cell == Cell(cell.candidate, Count(cell.candidate.n, 0), 0.0, 0.0)
        assert 60 <= cell.candidate.n <= 61  # the first may have been there before the first scrape
        series = snapshot.of(pairs.PAIRS, "", "support")
        assert {one.labels["risk_tier"] for one in series if one.samples[-1].value} == {"high"}


def with_any_path(agent: Agent) -> web.Application:
    """The agent's own routes, for a mirror keeps the path."""
    app = agent.application()

    async def get_task(request: web.Request) -> web.StreamResponse:
        return await agent._task(request)

    app.router.add_get("/task", get_task)
    return app
