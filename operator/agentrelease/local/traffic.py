"""Bounded demo traffic: people who talk to the agent through the gateway, on this machine only.

Open loop: requests leave at their time whether or not earlier answers came back, so a slow release
meets the same load as a quick one. It ends by itself, by count and by clock, and refuses any address
that is not loopback. ``totals`` can be read at any moment while it runs.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

import aiohttp

_RELEASE_HEADER = "x-agent-release"


class NotLoopback(ValueError):
    """The address may be somebody else's; demo traffic stays on this machine."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Who asks: shares of sessions in 0…1, and how many requests a session makes, one after the other.

    A session keeps its audience and its strata, as a person would. Where the split follows sessions,
    more than one request each makes tasks depend on each other; a policy that counts tasks as
    independent (``unit: task``) needs one.
    """

    internal: float = 0.10
    high_risk: float = 0.15
    billing: float = 0.40
    turns: int = 1


@dataclass(frozen=True, slots=True)
class Load:
    """Requests per second, and the two bounds that end it: seconds and requests."""

    rate: float = 100.0
    duration: float = 300.0
    max_requests: int = 100_000
    in_flight: int = 500
    timeout: float = 10.0


@dataclass(slots=True)
class Served:
    """What one release answered to users."""

    answers: int = 0
    completed: int = 0
    violations: int = 0
    internal: int = 0


@dataclass(slots=True)
class Totals:
    """Running counts. ``shed`` requests were never sent: too many were unanswered.

    ``shadows`` are answers that a mirror made and that a user got; there must never be one.
    """

    sent: int = 0
    failed: int = 0
    shed: int = 0
    shadows: int = 0
    releases: dict[str, Served] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Answers from any release."""
        return sum(served.answers for served in self.releases.values())

    def of(self, release: str) -> Served:
        """Return what a release served so far; zeros for one that nobody met."""
        return self.releases.get(release, Served())


class Traffic:
    """One run of traffic against the gateway at ``url``, to ``/task`` where the URL names no path.

    ``host`` is the Host header where the route asks for one.
    """

    def __init__(
        self,
        url: str,
        load: Load | None = None,
        mix: Mix | None = None,
        *,
        host: str | None = None,
        seed: int = 1,
    ) -> None:
        require_loopback(url)
        self.totals = Totals()
        self._url = url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/task"
        self._load = load or Load()
        self._mix = mix or Mix()
        self._host = host
        self._seed = seed
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End the run now; answers under way are still counted."""
        self._stopped.set()

    async def run(self) -> Totals:
        """Send until stopped or a bound is reached, wait for the last answers, return the totals."""
        loop = asyncio.get_running_loop()
        began, under_way = loop.time(), set[asyncio.Task[None]]()
        limit = min(self._load.max_requests, int(self._load.duration * self._load.rate))
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=self._load.timeout)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
            for number in range(limit):
                due = began + number / self._load.rate
                if await self._stopped_before(due) or loop.time() - began > self._load.duration:
                    break
                headers = self._headers(number // self._mix.turns)
                if len(under_way) >= self._load.in_flight:
                    self.totals.shed += 1
                    continue
                task = asyncio.create_task(self._ask(session, headers))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way)
        return self.totals

    async def _stopped_before(self, due: float) -> bool:
        wait = due - asyncio.get_running_loop().time()
        if wait <= 0:
            await asyncio.sleep(0)
            return self._stopped.is_set()
        try:
            await asyncio.wait_for(self._stopped.wait(), wait)
        except TimeoutError:
            return False
        return True

    def _headers(self, number: int) -> dict[str, str]:
        person = Random(f"{self._seed}/{number}")  # noqa: S311 - demo traffic that can be repeated
        mix = self._mix
        headers = {
            "x-session": f"session-{self._seed}-{number}",
            "x-audience": "internal" if person.random() < mix.internal else "external",
            "x-risk-tier": "high" if person.random() < mix.high_risk else "low",
            "x-workflow-class": "billing" if person.random() < mix.billing else "general",
        }
        return headers | ({"Host": self._host} if self._host else {})

    async def _ask(self, session: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        self.totals.sent += 1
        try:
            async with session.post(
                self._url, json={"text": "demo"}, headers=headers, allow_redirects=False
            ) as reply:
                body = await reply.read()
                release = reply.headers.get(_RELEASE_HEADER)
                answer: Any = json.loads(body) if reply.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            answer, release = None, None
        if not isinstance(answer, dict) or release is None:
            self.totals.failed += 1
            return
        self._count(release, answer, internal=headers["x-audience"] == "internal")

    def _count(self, release: str, answer: dict[str, Any], *, internal: bool) -> None:
        served = self.totals.releases.setdefault(release, Served())
        served.answers += 1
        served.internal += internal
        served.completed += answer.get("outcome") == "completed"
        served.violations += bool(answer.get("violation"))
        self.totals.shadows += bool(answer.get("shadow"))


def require_loopback(url: str) -> None:
    """Raise ``NotLoopback`` unless the URL's host is ``localhost`` or a loopback address."""
    host = urlsplit(url).hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise NotLoopback(f"demo traffic goes to loopback only, not to {host or url!r}")
