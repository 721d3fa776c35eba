"""A conversation in flight when its revision is rolled back, through the real gateway."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import aiohttp
from tests.support.gateway import eventually
from tests.support.world import MOMENT, World

COOKIE = "agent-release"


class Person:
    """Somebody who talks to the agent, with a browser's cookies."""

    def __init__(self, here: World, http: aiohttp.ClientSession, name: str) -> None:
        self._url = here.gateway.url + "/task"
        self._http = http
        self._told = {"x-session": name, "x-risk-tier": "low", "x-workflow-class": "billing"}
        self.cookies: dict[str, str] = {}

    async def turn(self) -> dict[str, Any]:
        async with self._http.post(self._url, headers=self._told, cookies=self.cookies) as answer:
            assert answer.status == 200
            self.cookies[COOKIE] = answer.cookies[COOKIE].value
            said: dict[str, Any] = await answer.json()
            return said

    async def answered_by(self, revision: str) -> bool:
        return bool((await self.turn())["release"] == revision)


async def observes(person: Person) -> bool:
    return bool((await person.turn())["autonomy"] == "observe")


async def met_by(here: World, http: aiohttp.ClientSession, revision: str) -> Person:
    """Somebody whose conversation is with this revision."""
    for number in range(500):
        person = Person(here, http, f"person-{number}")
        if await person.answered_by(revision):
            return person
    raise AssertionError(f"nobody of 500 met {revision}")


async def test_a_conversation_is_answered_for_its_time_without_any_action_and_then_goes_to_stable(
    here: World,
) -> None:
    v1 = await here.apply("v1.yaml")
    await here.promoted(v1)
    sessions = {"cookie": COOKIE, "drainFor": "12s"}
    v2 = await here.apply("v2.yaml", rollback={"sessions": sessions})
    await here.in_phase("half", 240)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        person = await met_by(here, http, v2)
        await here.patch({"paused": True, "rollback": {"to": v1, "of": v2}})
        release = await here.until(lambda r: r.status.verdict == "Draining", "sessions are drained")
        assert release.status.candidate is not None
        drained = release.status.candidate.drain_until
        await eventually(partial(observes, person), "the agent has read its flags", MOMENT)
        turns = 0
        while True:
            said, stranger = await person.turn(), await Person(here, http, "stranger").turn()
            if time.time() >= drained:
                break
            assert (said["release"], said["autonomy"]) == (v2, "observe")
            assert {action["disposition"] for action in said["actions"]} <= {"simulated"}
            assert stranger["release"] == v1
            turns += 1
        assert turns, "the conversation went on for its time"
        await eventually(partial(person.answered_by, v1), "the conversation goes on with stable", MOMENT)
        await here.in_phase("RolledBack")
        person.cookies[COOKIE] = v2
        assert await person.answered_by(v1), "the cookie alone leads nowhere any more"
