"""The real Prometheus between a run's page and the judgement, while the run goes on and after it is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from tests.core.conftest import guardrail
from tests.support.gateway import eventually

from agentrelease.core import offline, runs
from agentrelease.core.guardrails import Kind, MetricVerdict, Offline
from agentrelease.core.offline import Runs, judge
from agentrelease.core.series import Wanted
from agentrelease.edges.prometheus import Prometheus
from agentrelease.local import prometheus
from agentrelease.local.ports import Ports
from agentrelease.local.processes import Processes
from agentrelease.local.prometheus import Scraping
from agentrelease.sdk.evaluation import Page, Results

if TYPE_CHECKING:
    from pathlib import Path

WANTED = [Wanted(name) for name in sorted(offline.READ)]
WHO = ("support", "v2", "gold-incidents", "2026-11")
GOLD = guardrail("gold", kind=Kind.OFFLINE, weight=0.0, offline=Offline("gold-incidents", 40), floor=0.9)


def lines(passed: int, failed: int) -> list[str]:
    return ['{"label": "pass"}'] * passed + ['{"label": "fail"}'] * failed


async def test_a_run_is_followed_to_its_end_and_remembered_when_its_pod_is_gone(tmp_path: Path) -> None:
    page = Page(WHO, 40, Results.of(lines(10, 0)))

    async def serve(_: web.Request) -> web.Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(page)
        return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain"})

    app = web.Application()
    app.router.add_get("/metrics", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    async with Processes() as processes:
        with Ports() as ports:
            port = ports.take()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            scraping = Scraping(targets={"job": [f"127.0.0.1:{port}"]}, interval="200ms")
            async with prometheus.serve(processes, ports, tmp_path / "prometheus", scraping) as server:
                edge = Prometheus(server.url, grid=0.5, settle=0.3, lookback=3.0)
                known: tuple[offline.Run, ...] = ()

                async def until(verdict: MetricVerdict, words: str) -> None:
                    nonlocal known
                    async with asyncio.timeout(60):
                        while True:
                            snapshot = await edge.look(WANTED, None)
                            assert not snapshot.problem
                            now = runs.seen(snapshot, "", "support", ["gold-incidents"])
                            known = runs.merged(known, now, ["v2"])
                            found = judge(GOLD, Runs("v2", "", known))
                            if found.verdict is verdict and words in found.why:
                                return
                            await asyncio.sleep(0.1)

                await until(MetricVerdict.COLLECTING, "10 of 40 cases of gold-incidents are judged")
                page = Page(WHO, 40, Results.of(lines(38, 2)))
                await until(MetricVerdict.PASS, "2 of 40 cases bad")
                await runner.cleanup()  # the Job's Pod is gone, and its series with it

                async def silent() -> bool:
                    snapshot = await edge.look(WANTED, None)
                    return not runs.seen(snapshot, "", "support", ["gold-incidents"])

                await eventually(silent, "nobody reports the run any more")
                await until(MetricVerdict.PASS, "2 of 40 cases bad")
                await edge.close()
