"""Somebody who looks at one release from outside while things break, and believes nothing the operator says.

What a revision is given comes from a watch that sees every stored state of route and flags, read by Gateway
API's rules and flagd's own evaluator. What users really get comes from asking the real gateway.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tests.support.world import AGENT, MOMENT, World

from agentrelease.local.demo_exposure import OBSERVE, Reach
from agentrelease.local.demo_observer import Observer, Sighting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LEVELS = ("observe", "suggestion-only", "limited-action", "full-action")
SAMPLE = 40
"""Requests in one question to the gateway: with half of the traffic, one in a million million misses it."""


@dataclass(frozen=True)
class Answer:
    """What one user got: from which revision, at which autonomy, and what became of the actions."""

    status: int
    revision: str
    autonomy: str
    dispositions: frozenset[str]


class Onlooker:
    """Remembers everything that a revision was given since ``mark``."""

    def __init__(self, here: World, observer: Observer, session: aiohttp.ClientSession) -> None:
        self._here, self._observer, self._session = here, observer, session
        self._from = 0
        self._asked = 0

    def mark(self, revision: str) -> None:
        """Forget what was before, except where the revision stands now."""
        seen = self._observer.sightings
        standing = [number for number, one in enumerate(seen) if one.revision == revision]
        assert standing, f"{revision} was never given anything"
        self._from = standing[-1]

    def given(self, revision: str) -> Sighting:
        """Return what the revision is given now."""
        return self.all_given(revision)[-1]

    def all_given(self, revision: str) -> list[Sighting]:
        """Return all that the revision was given since the mark, one entry for each change."""
        return [one for one in self._observer.sightings[self._from :] if one.revision == revision]

    def levels(self, revision: str) -> list[str]:
        """Return the autonomy that the revision was given since the mark, one entry for each change."""
        return [level for level, _ in groupby(one.autonomy for one in self.all_given(revision))]

    async def until(self, condition: Callable[[], object], what: str, seconds: float = MOMENT) -> None:
        """Wait for a stored state of route, flags or release."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._observer.changed.clear()
                    await self._observer.changed.wait()
        except TimeoutError:
            pytest.fail(f"not within {seconds:.0f} s: {what}; last seen {self._observer.sightings[-3:]}")

    def fell_only(self, revision: str) -> None:
        """Fail if any part of what the revision was given rose since the mark, in any stored state."""
        seen = [_parts(one) for one in self.all_given(revision)]
        for before, after in pairwise(seen):
            assert all(new <= old for new, old in zip(after, before, strict=True)), (
                f"exposure rose from {before} to {after}: {self.all_given(revision)}"
            )

    async def ask(self, times: int = SAMPLE, **headers: str) -> list[Answer]:
        """Ask the gateway as so many external users, a session each."""
        numbers = range(self._asked, self._asked + times)
        self._asked += times
        return await asyncio.gather(*(self._one(number, headers) for number in numbers))

    async def nobody_meets(self, revision: str) -> None:
        """Wait until users of either audience get no answer of the revision, and ask once more."""
        async with asyncio.timeout(MOMENT):
            while await self._meets(revision):
                pass
        assert not await self._meets(revision), f"users still get answers of {revision}"

    async def users_meet(self, revision: str, autonomy: str) -> None:
        """Wait until all answers that users get of the revision are given at this autonomy."""
        async with asyncio.timeout(MOMENT):
            while {one.autonomy for one in await self.ask() if one.revision == revision} != {autonomy}:
                pass

    async def _meets(self, revision: str) -> bool:
        answers = [*await self.ask(), *await self.ask(SAMPLE // 4, **{"x-audience": "internal"})]
        return any(answer.revision == revision for answer in answers)

    async def _one(self, number: int, headers: dict[str, str]) -> Answer:
        said = {"x-session": f"onlooker-{number}", "x-audience": "external", "x-workflow-class": "billing"}
        url = f"{self._here.gateway.url}/task"
        async with self._session.post(url, json={"text": "?"}, headers=said | headers) as reply:
            body: Any = await reply.json() if reply.status == 200 else {}
            actions = frozenset(action["disposition"] for action in body.get("actions", ()))
            revision = reply.headers.get("x-agent-release", "")
            return Answer(reply.status, revision, body.get("autonomy", ""), actions)


def nothing(given: Sighting) -> bool:
    """Whether nothing leads to the revision and it may do nothing."""
    return unreached(given) and given.autonomy == OBSERVE


def unreached(given: Sighting) -> bool:
    """Whether the route sends the revision nothing."""
    return given.reach == Reach()


def _parts(one: Sighting) -> tuple[float, float, bool, int]:
    return one.reach.weight, one.reach.mirror, one.reach.cohort, LEVELS.index(one.autonomy)


@asynccontextmanager
async def looking_on(here: World) -> AsyncIterator[Onlooker]:
    """Watch the world's release until the context ends."""
    timeout = aiohttp.ClientTimeout(total=MOMENT)
    async with (
        Observer(here.plane.kubeconfig, here.namespace, AGENT) as observer,
        aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
    ):
        yield Onlooker(here, observer, session)
