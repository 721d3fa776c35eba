"""The demo's people, talking to real agents on loopback."""

import asyncio

import pytest
from aiohttp import web

from agentrelease.local.traffic import Load, Mix, NotLoopback, Traffic, require_loopback


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/task",
        "http://10.0.0.7/task",
        "http://127.0.0.1.example.com/task",
        "http://localhost.example.com/task",
        "http://user@198.51.100.1:80/task",
        "http://0.0.0.0/task",
        "not a url",
        "",
    ],
)
def test_it_goes_nowhere_but_to_this_machine(url):
    with pytest.raises(NotLoopback, match="loopback only"):
        Traffic(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/task", "http://127.8.0.1/task", "http://[::1]:8/x", "http://localhost/"]
)
def test_this_machine_has_several_names(url):
    require_loopback(url)


async def test_it_counts_by_release_what_the_answers_say(start_agent):
    agent = start_agent(prompts="v1", AGENT_BEHAVIOUR='{"violations": 0.2, "latency": 0.0}')
    load = Load(rate=200, duration=60, max_requests=300)
    totals = await Traffic(f"{agent.url}/task", load).run()
    served = totals.of(agent.release)
    assert (totals.sent, totals.answered, totals.failed, totals.shadows) == (300, 300, 0, 0)
    assert served.answers == 300
    page = agent.client.get("/metrics").text
    completed = [line for line in page.splitlines() if 'outcome="completed"' in line]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in completed) == served.completed
    assert 0 < served.violations < 300


async def test_a_session_keeps_its_person_and_the_mix_is_as_asked():
    async with _listener() as (url, heard):
        await Traffic(url, Load(rate=2000, max_requests=1500), Mix(turns=5)).run()
    people = {}
    for headers in heard:
        person = tuple(headers[f"x-{name}"] for name in ("audience", "risk-tier", "workflow-class"))
        assert people.setdefault(headers["x-session"], person) == person
    internal = sum(person[0] == "internal" for person in people.values()) / len(people)
    high = sum(person[1] == "high" for person in people.values()) / len(people)
    assert 0.03 < internal < 0.2
    assert 0.06 < high < 0.26


async def test_it_ends_by_the_clock():
    async with _listener() as (url, _):
        totals = await Traffic(url, Load(rate=50, duration=0.2)).run()
    assert totals.sent <= 10


async def test_it_ends_when_told_to_and_totals_can_be_read_before():
    async with _listener() as (url, heard):
        traffic = Traffic(url, Load(rate=200, duration=3600, max_requests=10**9))
        run = asyncio.create_task(traffic.run())
        async with asyncio.timeout(30):
            await heard.fifth.wait()
        assert traffic.totals.sent >= 5
        traffic.stop()
        async with asyncio.timeout(30):
            totals = await run
    assert totals.sent == len(heard)


async def test_nobody_home_is_counted_and_not_raised(unused_tcp_port):
    url = f"http://127.0.0.1:{unused_tcp_port}/task"
    totals = await Traffic(url, Load(rate=500, max_requests=20)).run()
    assert (totals.sent, totals.failed, totals.answered) == (20, 20, 0)


async def test_an_agent_that_never_answers_does_not_pile_up_requests():
    async with _listener(delay=0.5) as (url, _):
        totals = await Traffic(url, Load(rate=1000, max_requests=200, in_flight=10)).run()
    assert totals.shed > 0
    assert totals.sent + totals.shed == 200
    assert totals.answered == totals.sent


@pytest.mark.parametrize("tail", ["", "/"])
async def test_a_gateway_without_a_path_is_asked_for_tasks(tail):
    async with _listener() as (url, heard):
        totals = await Traffic(url.removesuffix("/task") + tail, Load(max_requests=1)).run()
    assert (totals.answered, len(heard)) == (1, 1)


async def test_a_route_that_matches_a_host_gets_it():
    async with _listener() as (url, heard):
        await Traffic(url, Load(max_requests=1), host="support.example").run()
    assert heard[0]["Host"] == "support.example"


class _Heard(list):
    """Headers of requests, and the moment of the fifth."""

    def __init__(self):
        super().__init__()
        self.fifth = asyncio.Event()

    def append(self, headers):
        super().append(headers)
        if len(self) >= 5:
            self.fifth.set()


class _listener:  # noqa: N801 - reads as the verb it is
    """A server that remembers the headers it heard."""

    def __init__(self, delay=0.0):
        self._delay = delay
        self._heard = _Heard()

    async def _hear(self, request):
        self._heard.append(dict(request.headers))
        await asyncio.sleep(self._delay)
        return web.json_response({"outcome": "completed"}, headers={"x-agent-release": "a"})

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/task", self._hear)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/task", self._heard

    async def __aexit__(self, *_):
        await self._runner.cleanup()
