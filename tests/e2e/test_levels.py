"""What the agents themselves say they may do, phase by phase, and while somebody destroys their flags."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml
from tests.support.agents import Agents
from tests.support.gateway import eventually
from tests.support.world import AGENT, EXAMPLES, MOMENT, World, kubectl

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.strata import granted
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentrelease.api.phase import Phase
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.strata import Permission

HIGH = {"match": {"risk_tier": "high"}, "autonomy": "suggestion-only"}
FLAGS, DOCUMENT = "support-flags", f"{AGENT}.flagd.json"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def phases(duration: str) -> list[dict[str, Any]]:
    """The example's phases; what is of high risk stays at suggestions."""
    found = yaml.safe_load((EXAMPLES / "v2.yaml").read_text())["spec"]["phases"]
    for phase in found:
        phase |= {"minSamples": 20, "minDuration": duration}
        if phase["autonomy"] in ("limited-action", "full-action"):
            phase["strata"] = [HIGH]
    return found


def intended(release: AgentRelease, phase: Phase, tier: str) -> Permission:
    """What the phase means, from the spec alone."""
    levels = [one.autonomy for one in phase.strata if one.match == {"risk_tier": tier}]
    return granted(release.spec.bundle.tools, min([phase.autonomy, *levels]))


async def test_in_every_phase_the_agent_itself_has_the_level_and_the_tools_of_that_phase(
    here: World, http: aiohttp.ClientSession
) -> None:
    agents = Agents(here, http)
    await here.promoted(await here.apply("v1.yaml"))
    v2 = await here.apply("v2.yaml", phases=phases("3s"))
    for phase in (await here.release()).spec.phases:
        release = await here.until(
            lambda r, name=phase.name: r.status.phase == name and r.status.candidate.active_seconds > 0,
            f"the clock of {phase.name} runs",
            240,
        )
        await here.patch({"paused": True})
        for tier in ("low", "high"):
            assert await agents.may(v2, risk_tier=tier) == intended(release, phase, tier), (phase.name, tier)
        least = min(intended(release, phase, tier).autonomy for tier in ("low", "high"))
        assert (await agents.may(v2)).autonomy is least, "who doesn't say its risk gets the least"
        if phase.mirror is None:
            who = "internal" if phase.cohort else "external"
            said = {tier: await agents.answers(v2, tier, who) for tier in ("low", "high")}
            assert said == {tier: {intended(release, phase, tier).autonomy} for tier in said}, phase.name
        assert (await here.release()).status.phase == phase.name, "it all was in this phase"
        await here.patch({"paused": False})
    release = await here.promoted(v2)
    last = release.spec.phases[-1]
    for tier in ("low", "high"):
        assert await agents.may(v2, risk_tier=tier) == intended(release, last, tier)


async def destroy(here: World, how: str) -> None:
    """What a person does with kubectl to the flags."""
    if how == "deleted":
        await kubectl(here.plane, [], "delete", "configmap", FLAGS, "-n", here.namespace)
        return
    text = {"emptied": "", "garbage": "{", "no flags": '{"flags": {}}'}[how]
    patch = json.dumps({"data": {DOCUMENT: text}})
    arguments = ("patch", "configmap", FLAGS, "-n", here.namespace, "--type=merge", f"--patch={patch}")
    await kubectl(here.plane, [], *arguments)


async def written_after(here: World, version: str) -> bool:
    """Whether the flags are whole again, in another write than that one."""
    stored = await here.cluster.get(Ref(kinds.CONFIG_MAP, here.namespace, FLAGS))
    if stored is None or stored["metadata"]["resourceVersion"] == version:
        return False
    try:
        return f"{AGENT}.autonomy-level" in json.loads(stored["data"][DOCUMENT])["flags"]
    except ValueError:
        return False


async def test_destroyed_flags_are_written_again_and_nobody_ever_has_more_than_intended(
    here: World, http: aiohttp.ClientSession
) -> None:
    agents = Agents(here, http)
    await here.promoted(await here.apply("v1.yaml"))
    long = [
        phase | {"minDuration": "30m"} if phase["name"] == "canary-10" else phase for phase in phases("1s")
    ]
    for phase in long:
        phase.pop("deadline", None)
        phase.pop("onDeadline", None)
    v2 = await here.apply("v2.yaml", phases=long)
    await here.until(
        lambda r: r.status.phase == "canary-10" and r.status.candidate.active_seconds > 0, "canary-10"
    )
    said: list[Autonomy] = []

    async def may(level: Autonomy) -> bool:
        said.append((await agents.may(v2, risk_tier="low")).autonomy)
        return said[-1] is level

    for how in ("deleted", "emptied", "garbage", "no flags"):
        stored = await here.cluster.get(Ref(kinds.CONFIG_MAP, here.namespace, FLAGS))
        assert stored is not None
        version = stored["metadata"]["resourceVersion"]
        await destroy(here, how)
        await eventually(partial(written_after, here, version), f"the flags are whole again: {how}", MOMENT)
        await eventually(partial(may, Autonomy.SUGGESTION_ONLY), f"the level is back: {how}", MOMENT)
    assert (await here.release()).status.phase == "canary-10"

    await here.kill_operator()
    await destroy(here, "garbage")
    await eventually(partial(may, Autonomy.OBSERVE), "the lease ends what nobody renews", MOMENT)
    await here.start_operator()
    await eventually(partial(may, Autonomy.SUGGESTION_ONLY), "a new operator writes them again", MOMENT)
    assert max(said) is Autonomy.SUGGESTION_ONLY
