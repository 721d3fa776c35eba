"""The real Prometheus, killed, emptied and doubled: what was scraped counts once, whatever happens to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from agentrelease.core.series import Picked, Source, Stretch, Wanted
from agentrelease.edges.prometheus import PARALLEL, Prometheus
from agentrelease.local import prometheus
from agentrelease.local.ports import Ports
from agentrelease.local.processes import Processes
from agentrelease.local.prometheus import Scraping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from agentrelease.core.series import Snapshot
    from agentrelease.local.processes import Child

TASKS = "agentrelease_tasks_total"
BOUND = 60.0


@dataclass
class Agents:
    """Pages to scrape, one per path; each scrape shows what was served until then."""

    served: dict[str, int] = field(default_factory=dict)
    release: dict[str, str] = field(default_factory=dict)
    labels: str = ""
    scrapes: int = 0
    broken: bool = False

    def start(self, name: str, release: str, value: int = 0) -> None:
        self.served[name], self.release[name] = value, release

    async def page(self, _: web.Request) -> web.Response:
        self.scrapes += 1
        if self.broken:
            return web.Response(status=500)
        common = 'namespace="shop",agent="support"'
        lines = [
            f'{TASKS}{{{common},release={json.dumps(self.release[pod])},pod="{pod}"{extra}}} {value}'
            for pod, value in self.served.items()
            for extra in (self.labels.split("|") if self.labels else [""])
        ]
        return web.Response(text="\n".join(lines) + "\n")


@dataclass
class Rig:
    """Agents, a Prometheus that scrapes them five times a second, and the edge under test."""

    agents: Agents
    processes: Processes
    child: Child
    edge: Prometheus
    url: str

    async def kill(self) -> None:
        os.kill(self.child.pid, signal.SIGKILL)
        await self.child.stop()

    async def restart(self) -> None:
        self.child = await self.processes.start(self.child.command)

    async def look(self, since: float | None = None) -> Snapshot:
        return await self.edge.look([Wanted(TASKS)], since)

    async def seen(self, pod: str, value: float, since: float | None = None) -> Snapshot:
        """Look until the last settled sample of a pod has that value."""
        async with asyncio.timeout(BOUND):
            while True:
                snapshot = await self.look(since)
                mine = [s for s in snapshot.of(TASKS, "shop", "support") if s.labels["pod"] == pod]
                if mine and mine[0].samples[-1].value == value:
                    return snapshot
                await asyncio.sleep(0.1)

    def grown(self, snapshot: Snapshot, start: float) -> dict[str, float | None]:
        series = snapshot.of(TASKS, "shop", "support")
        return {one.labels["pod"]: one.grown(start, snapshot.end) for one in series}


@asynccontextmanager
async def rig(folder: Path, agents: Agents, lookback: float = 4.0) -> AsyncIterator[Rig]:
    app = web.Application()
    app.router.add_get("/metrics", agents.page)
    runner = web.AppRunner(app)
    await runner.setup()
    async with Processes() as processes:
        with Ports() as ports:
            port = ports.take()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            scraping = Scraping(targets={"agents": [f"127.0.0.1:{port}"]}, interval="200ms")
            async with prometheus.serve(processes, ports, folder, scraping) as server:
                edge = Prometheus(
                    server.url, grid=0.5, settle=0.3, lookback=lookback, replicas=["prometheus_replica"]
                )
                try:
                    yield Rig(agents, processes, server.child, edge, server.url)
                finally:
                    await edge.close()
                    await runner.cleanup()


async def test_a_killed_prometheus_loses_and_doubles_nothing(tmp_path):
    agents = Agents()
    agents.start("old", "support-1", 1000)
    async with rig(tmp_path, agents) as it:
        first = await it.seen("old", 1000)
        agents.served["old"] = 1007
        agents.start("new", "support-2", 0)
        before = await it.seen("new", 0, first.end)
        agents.served["new"] = 5
        await it.kill()
        agents.served["old"], agents.served["new"] = 1010, 11
        await it.restart()
        after = await it.seen("new", 11, before.end)
        grown = it.grown(after, first.end)
        assert grown["old"] == 10
        assert not it.grown(before, first.end)["new"]  # zero, or a point to count from
        assert it.grown(after, before.end)["new"] == 11


async def test_a_gap_longer_than_the_look_back_is_measured_from_the_last_sample_before(tmp_path):
    agents = Agents()
    agents.start("old", "support-1", 1000)
    async with rig(tmp_path, agents, lookback=1.0) as it:
        first = await it.seen("old", 1000)
        agents.broken = True
        await asyncio.sleep(2.5)  # the gap itself: longer than the look-back
        agents.served["old"] = 1004
        agents.broken = False
        blocks, since = 0.0, first.end
        async with asyncio.timeout(BOUND):
            while blocks < 4:
                snapshot = await it.look(since)
                blocks += it.grown(snapshot, since).get("old") or 0.0
                since = max(since, snapshot.end)
                await asyncio.sleep(0.1)
        assert blocks == 4


async def test_a_prometheus_without_its_data_counts_from_its_first_sample(tmp_path):
    agents = Agents()
    agents.start("old", "support-1", 1000)
    async with rig(tmp_path / "one", agents) as it:
        first = await it.seen("old", 1000)
    async with rig(tmp_path / "two", agents) as it:
        snapshot = await it.seen("old", 1000, first.end)
        assert not it.grown(snapshot, first.end)["old"]
        agents.served["old"] = 1003
        later = await it.seen("old", 1003, first.end)
        assert it.grown(later, first.end)["old"] == 3


async def test_a_target_that_cannot_be_scraped_is_named(tmp_path):
    agents = Agents()
    agents.start("old", "support-1", 10)
    async with rig(tmp_path, agents) as it:
        assert (await it.seen("old", 10)).down == frozenset()
        agents.broken = True
        async with asyncio.timeout(BOUND):
            while not (snapshot := await it.look()).down:  # noqa: ASYNC110  what is awaited is Prometheus'
                await asyncio.sleep(0.1)
        assert {one.target for one in snapshot.of(TASKS, "shop", "support")} == snapshot.down


async def test_series_of_two_replicas_count_once(tmp_path):
    agents = Agents(labels=',prometheus_replica="a"|,prometheus_replica="b"')
    agents.start("old", "support-1", 100)
    async with rig(tmp_path, agents) as it:
        first = await it.seen("old", 100)
        agents.served["old"] = 104
        async with asyncio.timeout(BOUND):
            grown = None
            while grown != {"old": 4}:
                grown = it.grown(await it.look(first.end), first.end)
                assert grown in ({}, {"old": None}, {"old": 0}, {"old": 4})
                await asyncio.sleep(0.1)


async def test_the_past_of_one_agent_is_read_for_its_revisions_only(tmp_path):
    agents = Agents()
    agents.start("old", "support-1", 0)
    agents.start("other", "support-2", 0)
    async with rig(tmp_path, agents) as it:
        first = await it.seen("old", 0)
        agents.served["old"] = 9
        last = await it.seen("old", 9)
        past = await it.edge.past([TASKS], Stretch("shop", "support", ("support-1",), first.end, last.end))
        assert it.grown(past, first.end) == {"old": 9}
        broken = await it.edge.past([TASKS], Stretch("shop", 'x"} or {a="', ("support-1",), 0.0, 1.0))
        assert "no agent's name" in broken.problem


async def test_days_are_read_by_a_sample_at_each_step(tmp_path: Path) -> None:
    """What a counter grew by between two steps, restarts included; of what it was before nothing is made."""
    agents = Agents()
    agents.start("old", "support-1", 40)
    async with rig(tmp_path, agents) as it:

        async def settled(value: float) -> float:
            """Return the next full second at whose end a value is known to have been scraped."""
            end = ceil((await it.seen("old", value)).at)
            async with asyncio.timeout(BOUND):
                while True:
                    if (await it.look()).end > end:
                        return float(end)
                    await asyncio.sleep(0.1)

        begin = await settled(40)
        agents.served["old"] = 49
        middle = await settled(49)
        agents.served["old"] = 3
        end = await settled(3)
        days = await it.edge.past([TASKS], Stretch("shop", "support", ("support-1",), begin, end, 1.0))
        (series,) = days.of(TASKS, "shop", "support")
        steps, count = [sample.at for sample in series.samples], round(end - begin) + 1
        assert steps[-count:] == [begin + n for n in range(count)]
        assert len(steps) <= count + 1  # releases differ in whether the one before belongs to it
        assert (series.grown(begin, middle), series.grown(middle, end)) == (9, 3)
        assert series.grown(begin - 1.0, begin) in (None, 0)
        unread = await it.edge.past(["up or"], Stretch("shop", "support", ("support-1",), begin, end, 1.0))
        assert "no metric name" in unread.problem


async def test_the_past_of_all_revisions_at_once_counts_what_looks_counted(tmp_path: Path) -> None:
    agents = Agents()
    agents.start("old", "support-1", 1000)
    async with rig(tmp_path, agents) as it:
        first = await it.seen("old", 1000)
        since, counted = first.end, dict[str, float]()

        async def looked(pod: str, value: float) -> None:
            """Count block by block, as looks do, until a pod's value has been counted."""
            nonlocal since
            async with asyncio.timeout(BOUND):
                while True:
                    snapshot = await it.look(since)
                    for name, grown in it.grown(snapshot, since).items():
                        counted[name] = counted.get(name, 0.0) + (grown or 0.0)
                    since = max(since, snapshot.end)
                    mine = [s for s in snapshot.of(TASKS, "shop", "support") if s.labels["pod"] == pod]
                    if mine and mine[0].samples[-1].value == value:
                        return
                    await asyncio.sleep(0.1)

        agents.served["old"] = 1007
        await looked("old", 1007)
        agents.start("new", "support-2", 0)
        await looked("new", 0)
        agents.served["new"], agents.served["old"] = 5, 1010
        await looked("new", 5)
        agents.served["new"] = 3  # a restart
        await looked("new", 3)
        past = await it.edge.past([TASKS, TASKS], Stretch("shop", "support", (), first.end, since))
        assert (past.problem, dict(past.unread)) == ("", {})
        assert it.grown(past, first.end) == counted == {"old": 10, "new": 8}
        assert {s.labels["release"] for s in past.of(TASKS, "shop", "support")} == {"support-1", "support-2"}
        nobody = await it.edge.past([TASKS], Stretch("shop", "elsewhere", (), first.end, since))
        assert (nobody.problem, nobody.series) == ("", {TASKS: {}})


async def test_totals_and_a_glance_show_what_a_look_will_only_count_with_its_block(tmp_path: Path) -> None:
    agents = Agents()
    agents.start("one", "v1", 5)
    agents.start("two", "v1", 2)
    agents.start("three", 'v"2\\', 9)
    async with rig(tmp_path, agents) as here:
        before = await here.seen("three", 9)
        all_tasks, of_one = Picked(TASKS), Picked(TASKS, (("pod", "one"),))
        v1, v2 = Source("shop", "support", "v1"), Source("shop", "support", 'v"2\\')
        odd, nowhere = Picked(TASKS, (("release", 'v"2\\'),)), Picked("agentrelease_actions_total")
        totals = await here.edge.totals([all_tasks, of_one, odd, nowhere])
        assert totals == {(all_tasks, v1): 7, (all_tasks, v2): 9, (of_one, v1): 5, (odd, v2): 9}
        agents.served["one"] = 6
        async with asyncio.timeout(BOUND):
            while True:
                if (await here.edge.totals([of_one]))[of_one, v1] == 6:
                    break
                await asyncio.sleep(0.02)
        glance = await here.edge.glance([TASKS], before.end)
        assert glance.problem == ""
        assert here.grown(glance, before.end)["one"] == 1


async def test_a_look_never_stands_in_line_behind_the_past(tmp_path: Path) -> None:
    agents = Agents()
    agents.start("old", "support-1", 5)
    async with rig(tmp_path, agents) as it, held(it.url, 'release="support-1"') as (url, waiting):
        await it.seen("old", 5)
        edge = Prometheus(url, grid=0.5, settle=0.3, lookback=4.0)
        names = [f"agentrelease_{number}_total" for number in range(20)]
        past = asyncio.create_task(edge.past(names, Stretch("shop", "support", ("support-1",), 1.0, 2.0)))
        await asyncio.wait_for(waiting.get(), BOUND)
        snapshot = await asyncio.wait_for(edge.look([Wanted(TASKS)], None), BOUND)
        assert (snapshot.problem, len(snapshot.of(TASKS, "shop", "support"))) == ("", 1)
        assert await edge.totals([Picked(TASKS)])
        assert waiting.qsize() < PARALLEL - 1  # of the past; each ends after a while, and another comes
        past.cancel()
        await edge.close()


@asynccontextmanager
async def held(server: str, text: str) -> AsyncIterator[tuple[str, asyncio.Queue[str]]]:
    """Stand before a server and never answer queries with a text; those that have come are in the queue."""
    waiting: asyncio.Queue[str] = asyncio.Queue()

    async def handle(request: web.Request) -> web.Response:
        body = await request.post()
        if text in str(body["query"]):
            waiting.put_nowait(str(body["query"]))
            await asyncio.Event().wait()
        async with session.post(f"{server}{request.path}", data=dict(body)) as answer:
            return web.json_response(await answer.json())

    app = web.Application()
    app.router.add_post("/api/v1/query", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    async with aiohttp.ClientSession(trust_env=False) as session:
        await runner.setup()
        with Ports() as ports:
            port = ports.take()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            try:
                yield f"http://127.0.0.1:{port}", waiting
            finally:
                await runner.cleanup()


async def test_a_dead_prometheus_has_nothing_to_tell_between_looks(tmp_path: Path) -> None:
    async with rig(tmp_path, Agents()) as here:
        await here.kill()
        assert await here.edge.totals([Picked(TASKS)]) == {}
        assert "unreachable" in (await here.edge.glance([TASKS], 0.0)).problem
