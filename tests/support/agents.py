"""What the agents of a world say themselves that they may do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.strata import Permission

if TYPE_CHECKING:
    import aiohttp
    from tests.support.world import World


class Agents:
    """The agents' own word, from their pods and through the gateway."""

    def __init__(self, here: World, http: aiohttp.ClientSession) -> None:
        self._here = here
        self._http = http

    async def may(self, revision: str, **asked: str) -> Permission:
        """What the revision's pod says that such a request may do."""
        (pod,) = await self._here.agents(revision)
        async with self._http.get(f"{pod}/whoami", params=asked) as answer:
            said = await answer.json()
        assert said["release"] == revision
        tools = said["tools"]
        return Permission(
            Autonomy(said["autonomy"]), frozenset(tools["allow"]), frozenset(tools["requireApproval"])
        )

    async def answers(self, revision: str, tier: str, audience: str) -> set[str]:
        """Levels that the revision's answers name, of a hundred conversations through the gateway."""

        async def ask(number: int) -> dict[str, Any]:
            told = {"x-session": f"{tier}-{audience}-{number}", "x-risk-tier": tier, "x-audience": audience}
            async with self._http.post(self._here.gateway.url + "/task", headers=told) as answer:
                said: dict[str, Any] = await answer.json()
                return said

        answers = await asyncio.gather(*(ask(number) for number in range(100)))
        return {said["autonomy"] for said in answers if said.get("release") == revision}
