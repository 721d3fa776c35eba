"""An order for all agents: every kill switch goes on, nothing is raised, and nobody but a person ends it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.engine.test_rollout import serving
from tests.support.memory_cluster import MemoryCluster
from tests.support.stage import AGENT, KEY, NAMESPACE, Behaviour, Stage

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.record import inputs_of, situation_of
from agentrelease.edges import kinds
from agentrelease.edges.halt import NAME, HaltSwitch, order_of
from agentrelease.engine.halting import Order
from agentrelease.engine.ports import Ref, Unavailable

FLAGS = Ref(kinds.CONFIG_MAP, NAMESPACE, "support-flags")
ON = Order(halt=True, why="ada halted all agents: leak")
OFF = Order(halt=False)
GOOD = Behaviour(completion=0.94, violations=0.005)


def document(stage: Stage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stage.cluster.objects[FLAGS]["data"][f"{AGENT}.flagd.json"])
    return found


def halted(stage: Stage) -> bool:
    return document(stage)["flags"][f"{AGENT}.halt"]["defaultVariant"] == "on"


def by_hand(stage: Stage, variant: str) -> None:
    """Patch the kill switch as a person does."""
    obj = stage.cluster.objects[FLAGS]
    changed = document(stage)
    changed["flags"][f"{AGENT}.halt"]["defaultVariant"] = variant
    obj["data"][f"{AGENT}.flagd.json"] = json.dumps(changed)
    obj["metadata"]["resourceVersion"] += "0"


async def test_one_look_halts_an_agent_that_serves_and_the_status_says_who_ordered_it() -> None:
    stage, _ = await serving()
    stage.order = ON
    await stage.operator.reconcile(KEY)
    assert halted(stage)
    await stage.step()
    status = (await stage.release()).status
    assert (status.verdict, "ada halted all agents: leak" in status.reason) == ("Halted", True)


@pytest.mark.parametrize("phase", ["shadow", "canary-10", "half"])
async def test_a_candidate_is_halted_where_it_is_and_nothing_is_raised(phase: str) -> None:
    stage, _ = await serving()
    v2 = await stage.apply("v2", GOOD)
    await stage.run(300, until=phase)
    await stage.step()
    before = stage.reach()[v2]
    stage.order = ON
    for _ in range(30):
        await stage.step()
        assert halted(stage)
        assert stage.reach()[v2] == before or stage.reach()[v2] == (0.0, 0.0)
    assert stage.level(v2) is Autonomy.OBSERVE, "no lease is renewed meanwhile"


async def test_a_bad_candidate_is_rolled_back_all_the_same() -> None:
    stage, _ = await serving()
    v3 = await stage.apply("v3", Behaviour(rogue=1.0))
    await stage.run(30, until="shadow")
    stage.order = ON
    for _ in range(20):
        await stage.step()
    assert stage.reach()[v3] == (0.0, 0.0)
    assert (await stage.release()).status.refused[0].revision == v3
    assert halted(stage)


async def test_a_new_release_stays_without_permission_while_all_agents_are_halted() -> None:
    stage = Stage()
    await stage.install()
    stage.order = ON
    v1 = await stage.apply("v1")
    for _ in range(20):
        await stage.step()
    assert stage.level(v1) is Autonomy.OBSERVE
    assert halted(stage)
    stage.order = OFF
    await stage.run(20, until="Promoted")
    assert not halted(stage)
    assert stage.level(v1) is Autonomy.FULL_ACTION


async def test_a_standby_halts_too() -> None:
    stage, _ = await serving()
    stage.epoch, stage.order = None, ON
    await stage.operator.reconcile(KEY)
    assert halted(stage)


async def test_a_word_lets_agents_work_again_and_silence_does_not() -> None:
    stage, v1 = await serving()
    stage.order = ON
    await stage.step()
    for silence in (Order(None), Order(None, "the switch can't be read")):
        stage.order = silence
        for _ in range(5):
            await stage.step()
            assert halted(stage)
    stage.order = OFF
    await stage.run(10, until="Promoted")
    assert not halted(stage)
    assert stage.level(v1) is Autonomy.FULL_ACTION


async def test_what_a_person_halted_stays_halted_when_all_others_may_work() -> None:
    stage, _ = await serving()
    by_hand(stage, "on")
    stage.order = ON
    await stage.step()
    stage.order = OFF
    for _ in range(5):
        await stage.step()
        assert halted(stage)
    by_hand(stage, "off")
    await stage.step()
    assert not halted(stage)


async def test_after_the_halt_a_release_goes_on_where_it_was() -> None:
    stage, _ = await serving()
    v2 = await stage.apply("v2", GOOD)
    await stage.run(300, until="half")
    stage.order = ON
    for _ in range(5):
        await stage.step()
    stage.order = OFF
    await stage.run(400, until="Promoted")
    assert stage.level(v2) is Autonomy.FULL_ACTION


async def test_to_halt_raises_nothing_that_somebody_lowered() -> None:
    stage, _ = await serving()
    v2 = await stage.apply("v2", GOOD)
    await stage.run(300, until="half")
    await stage.step()
    assert stage.level(v2) is Autonomy.LIMITED_ACTION
    obj, changed = stage.cluster.objects[FLAGS], document(stage)
    levels = changed["flags"][f"{AGENT}.autonomy-level"]
    levels["targeting"] = json.loads(json.dumps(levels["targeting"]).replace('"limited"', '"observe"'))
    obj["data"][f"{AGENT}.flagd.json"] = json.dumps(changed)
    obj["metadata"]["resourceVersion"] += "0"
    lowered = stage.level(v2)
    assert lowered is Autonomy.OBSERVE
    stage.order = ON
    await stage.step()
    stage.order = OFF
    for _ in range(5):
        await stage.step()
        assert stage.level(v2) is Autonomy.OBSERVE


async def test_a_halt_that_could_not_be_written_is_told_and_tried_again() -> None:
    stage, _ = await serving()
    stage.order = ON
    broken = True

    async def fail(verb: str, ref: Ref) -> None:
        if broken and ref == FLAGS and verb != "get":
            raise Unavailable("500")

    stage.cluster.before = fail
    result = await stage.operator.reconcile(KEY)
    assert result.after is not None
    assert ("halt", "500") in stage.told.failures
    broken = False
    await stage.operator.reconcile(KEY)
    assert halted(stage)


async def test_until_the_order_is_known_nothing_is_raised() -> None:
    stage = Stage()
    await stage.install()
    stage.order = Order(None, "ConfigMap agentrelease/agentrelease-halt has not been read yet")
    await stage.apply("v1")
    for _ in range(10):
        await stage.step()
    status = (await stage.release()).status
    assert (status.candidate, status.verdict) == (None, "Halted")
    assert "has not been read yet" in status.reason


async def test_the_order_is_part_of_what_a_decision_rested_on() -> None:
    stage, _ = await serving()
    stage.order = ON
    await stage.step()
    assert stage.entries[-1].content["inputs"]["halt"] == ON.why
    situation, now = situation_of(stage.entries[-1].content["inputs"])
    assert inputs_of(situation, now)["halt"] == ON.why


# ---- the switch ------------------------------------------------------------------------------------

SWITCH = Ref(kinds.CONFIG_MAP, "agentrelease", NAME)


@pytest.mark.parametrize(
    ("data", "halt"),
    [
        (None, None),
        ({}, None),
        ({"reason": "x"}, None),
        ({"halt": "off"}, False),
        ({"halt": " OFF "}, False),
        ({"halt": "on"}, True),
        ({"halt": "true"}, True),
        ({"halt": ""}, True),
        ({"halt": "of"}, True),
    ],
)
def test_nothing_but_off_lets_agents_work(data: dict[str, str] | None, halt: bool | None) -> None:
    assert order_of({"data": data}).halt is halt


def test_who_and_why_are_told_in_one_line() -> None:
    order = order_of({"data": {"halt": "on", "by": "ada", "reason": "a\nleak " + "x" * 999}})
    assert order.why.startswith("ada halted all agents: a leak x")
    assert len(order.why) < 400


async def test_what_was_read_last_holds_while_the_api_server_is_away() -> None:
    cluster = MemoryCluster()
    switch = HaltSwitch(cluster, "agentrelease")
    assert (switch().halt, "has not been read yet" in switch().why) == (None, True)
    assert await switch.look()
    assert switch() == Order(None)
    meta = {"name": NAME, "namespace": "agentrelease"}
    await cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"halt": "on"}})
    assert await switch.look()
    assert not await switch.look()

    async def away(_verb: str, _ref: Ref) -> None:
        raise Unavailable("time-out")

    cluster.before = away
    assert not await switch.look()
    assert switch().halt is True
    other = HaltSwitch(cluster, "agentrelease")
    assert not await other.look()
    assert "can't be read: time-out" in other().why
