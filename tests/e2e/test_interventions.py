"""A regression takes as much as the policy says, before and after a promotion: on real parts.

The agents change under a fixed name, as when a provider changes a model. What they may do then is what they
say themselves, and what happened is what the operator told of its decisions.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml
from tests.support.agents import Agents
from tests.support.gateway import eventually
from tests.support.onlooker import looking_on
from tests.support.world import EXAMPLES, MOMENT

from agentrelease.api.bundle import Bundle
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import kept
from agentrelease.core.strata import granted
from agentrelease.edges import kinds
from agentrelease.edges.recorder import STREAM
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.world import World

    from agentrelease.api.release import AgentRelease
    from agentrelease.core.strata import Permission

SPEC = yaml.safe_load((EXAMPLES / "v2.yaml").read_text())["spec"]
TOOLS = Bundle.model_validate(SPEC["bundle"]).tools
DELIVERY = SPEC["delivery"] | {"flags": {"configMap": "support-flags", "leaseSeconds": 12}}
SOAK = 3
HALF = {"name": "half", "weight": 50, "autonomy": "limited-action", "minDuration": f"{SOAK}s"}
FULL = {"name": "full", "weight": 100, "autonomy": "full-action"}


async def policy_with_corrections(here: World) -> None:
    """Let corrections by people reduce the tools; escalations lower autonomy in the example's own policy."""
    ref = Ref(kinds.GUARDRAIL_POLICY, here.namespace, "agent-defaults")
    stored = await here.cluster.get(ref)
    assert stored is not None
    metrics = stored["spec"]["metrics"]
    escalations = next(one for one in metrics if one["name"] == "escalations")
    assert escalations["onBreach"] == "lowerAutonomy"
    ratio = escalations["ratio"] | {"bad": {"metric": "agentrelease_corrected_tasks_total"}}
    corrections = escalations | {"name": "corrections", "ratio": ratio, "onBreach": "reduceTools"}
    await here.cluster.merge(ref, {"spec": {"metrics": [*metrics, corrections]}})


def decisions(here: World, cause: str) -> list[dict[str, Any]]:
    """Every decision that was told and had this cause, but those that only say it again."""
    entries = [line["entry"] for line in here.operator_log() if line.get("event") == STREAM]
    return [e for e in entries if e["outcome"]["cause"] == cause and e["outcome"]["move"] != "Keep"]


def settled(interventions: int, release: AgentRelease) -> bool:
    candidate = release.status.candidate
    return (
        candidate is not None and candidate.interventions == interventions and candidate.settling_until == 0
    )


class Say:
    """What the agents of one revision said that they may do, one entry for each change."""

    def __init__(self, agents: Agents, revision: str) -> None:
        self._agents, self._revision = agents, revision
        self.heard: list[Permission] = []

    async def now(self, expected: Permission) -> bool:
        return await self._agents.may(self._revision, risk_tier="low") == expected

    async def observes(self) -> bool:
        return (await self._agents.may(self._revision)).autonomy is Autonomy.OBSERVE

    async def listen(self) -> None:
        while True:
            said = await self._agents.may(self._revision, risk_tier="low")
            if self.heard[-1:] != [said]:
                self.heard.append(said)
            await asyncio.sleep(0.2)


@asynccontextmanager
async def listening(agents: Agents, revision: str) -> AsyncIterator[Say]:
    say = Say(agents, revision)
    listener = asyncio.create_task(say.listen())
    try:
        yield say
    finally:
        listener.cancel()
        (ended,) = await asyncio.gather(listener, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError), ended


async def test_a_candidate_loses_tools_then_autonomy_earns_them_back_and_is_watched_once_it_serves(
    here: World,
) -> None:
    await policy_with_corrections(here)
    v1 = await here.apply("v1.yaml", delivery=DELIVERY)
    await here.promoted(v1)
    v2 = await here.apply("v2.yaml", delivery=DELIVERY, phases=[HALF, FULL])
    async with aiohttp.ClientSession() as http, looking_on(here) as onlooker:
        agents = Agents(here, http)
        await here.until(
            lambda r: r.status.phase == "half" and r.status.candidate.active_seconds > 0, "half is measured"
        )
        async with listening(agents, v2) as say:
            await _loses_one_thing_after_the_other(here, say, v2)
            await _earns_them_back(here, say, v2)
        await _is_lowered_while_it_serves_and_earns_it_back(here, Say(agents, v2), v2)
        await here.misbehave(v2, violations=0.95)
        release = await here.in_phase("RolledBack")
        assert release.status.stable is not None
        assert release.status.stable.revision == v1
        assert "after its promotion: policy-violations" in release.status.refused[-1].reason
        await onlooker.nobody_meets(v2)
        await eventually(partial(Say(agents, v2).observes), "who was returned from may do nothing", MOMENT)


async def _loses_one_thing_after_the_other(here: World, say: Say, v2: str) -> None:
    """A person's pause keeps nothing from being taken, and what is taken from coming back."""
    await here.patch({"paused": True})
    await here.misbehave(v2, corrected=0.95)
    await here.until(lambda r: r.status.candidate.interventions == 1, "tools are taken")
    await here.misbehave(v2, corrected=0.0)
    await eventually(partial(say.now, granted(kept(TOOLS, 1), Autonomy.LIMITED_ACTION)), "no refunds", MOMENT)
    await here.until(partial(settled, 1), "the first intervention is in effect")
    await here.misbehave(v2, escalated=0.95)
    await here.until(lambda r: r.status.candidate.interventions == 2, "a level is taken")
    await here.misbehave(v2, escalated=0.0)
    lowest = granted(kept(TOOLS, 1), Autonomy.SUGGESTION_ONLY)
    await eventually(partial(say.now, lowest), "only suggestions", MOMENT)
    release = await here.until(partial(settled, 2), "the second intervention is in effect")
    assert release.status.phase == "half"
    assert say.heard[-1] == lowest


async def _earns_them_back(here: World, say: Say, v2: str) -> None:
    await here.patch({"paused": False})
    await here.promoted(v2)
    limited, suggesting = Autonomy.LIMITED_ACTION, Autonomy.SUGGESTION_ONLY
    await eventually(partial(say.now, granted(TOOLS, Autonomy.FULL_ACTION)), "full action", MOMENT)
    steps = [
        granted(TOOLS, limited),
        granted(kept(TOOLS, 1), limited),
        granted(kept(TOOLS, 1), suggesting),
        granted(kept(TOOLS, 1), limited),
        granted(TOOLS, limited),
        granted(TOOLS, Autonomy.FULL_ACTION),
    ]
    assert _in_order(say.heard, steps)
    earned, entered = decisions(here, "WayBackEarned"), decisions(here, "PhaseEntered")[-1]
    assert len(earned) == 2
    for sooner, later in pairwise([*earned, entered]):
        assert _seconds(sooner, later) >= SOAK, "each step has a fresh window of its own"


def _in_order(heard: list[Permission], steps: list[Permission]) -> bool:
    """Whether what was heard are these steps, of which a slow listener may have missed some."""
    rest = iter(steps)
    return all(one in rest for one in heard)


def _seconds(sooner: dict[str, Any], later: dict[str, Any]) -> float:
    return (datetime.fromisoformat(later["at"]) - datetime.fromisoformat(sooner["at"])).total_seconds()


async def _is_lowered_while_it_serves_and_earns_it_back(here: World, say: Say, v2: str) -> None:
    def serves(release: AgentRelease, level: Autonomy) -> bool:
        stable = release.status.stable
        return stable is not None and stable.revision == v2 and stable.autonomy is level

    await here.misbehave(v2, escalated=0.95)
    await here.until(partial(serves, level=Autonomy.LIMITED_ACTION), "what serves is lowered")
    await here.misbehave(v2, escalated=0.0)
    lowered = granted(TOOLS, Autonomy.LIMITED_ACTION)
    await eventually(partial(say.now, lowered), "the agents have taken it up", MOMENT)
    release = await here.until(partial(serves, level=Autonomy.FULL_ACTION), "it is earned back")
    assert release.status.watch is not None
    assert release.status.watch.lowered == 1
    await eventually(partial(say.now, granted(TOOLS, Autonomy.FULL_ACTION)), "full action again", MOMENT)
