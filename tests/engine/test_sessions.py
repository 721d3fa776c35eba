"""Sessions in flight on a rolled-back candidate: actions are cut at once, answers drained for a time."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.stage import AGENT, NAMESPACE, SPEC, Behaviour, Stage

from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

GOOD = Behaviour(completion=0.95, violations=0.005)
FORGETFUL = Behaviour(completion=0.2, violations=0.005)
ROUTE = Ref(kinds.HTTP_ROUTE, NAMESPACE, AGENT)
SESSIONS = {"cookie": "agent-release", "drainFor": "20s"}
PHASES = [phase | {"minDuration": "60s"} if phase["name"] == "half" else phase for phase in SPEC["phases"]]


async def in_half(**sessions: Any) -> tuple[Stage, str, str]:
    stage = Stage()
    await stage.install()
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    rollback = {"holdBudget": "10s"} | ({"sessions": sessions} if sessions else {})
    v2 = await stage.apply("v2", GOOD, phases=PHASES, rollback=rollback)
    await stage.run(600, until="half")
    await stage.run(3)
    return stage, v1, v2


def kept(stage: Stage) -> str:
    """What a request has to carry to reach the candidate by a rule of its own; empty without such a rule."""
    rules = stage.cluster.objects[ROUTE]["spec"]["rules"]
    return "" if len(rules) < 2 else rules[0]["matches"][0]["headers"][-1]["value"]


async def test_answers_are_drained_for_their_time_and_actions_are_cut_at_once() -> None:
    stage, v1, v2 = await in_half(**SESSIONS)
    stage.behaviours[v2] = FORGETFUL
    await stage.run(120, until="RollingBack")
    began = stage.now
    assert stage.reach()[v1][0] == 1.0, "no new session reaches it"
    assert kept(stage) == rf"^(.*; ?)?agent\-release={v2.replace('-', chr(92) + '-')}(;.*)?$"
    assert stage.level(v2) is Autonomy.OBSERVE
    assert stage.flag("tool-policy", v2)["allow"] == ["kb.search"], "reading is no action"
    drained = 0
    while (await stage.release()).status.phase == "RollingBack":
        release = await stage.run(1)
        drained += bool(kept(stage))
        if release.status.verdict == "Draining":
            conditions = {c.type: c.status for c in release.status.conditions}
            assert conditions["RollbackIncomplete"] == "False"
            assert stage.flag("tool-policy", v2)["allow"] == ["kb.search"], "its lease is renewed"
        assert stage.now - began < 60
    assert 18 <= drained <= 22
    assert (await stage.release()).status.phase == "RolledBack"
    assert (kept(stage), stage.reach()[v1][0]) == ("", 1.0)


@pytest.mark.parametrize(
    ("sessions", "behaviour"),
    [
        ({}, FORGETFUL),
        (SESSIONS | {"answers": "cut"}, FORGETFUL),
        (SESSIONS, Behaviour(violations=0.9)),
        (SESSIONS, Behaviour(completion=0.1, violations=0.9)),
    ],
    ids=["no marker", "cut", "unsafe", "unsafe and worse"],
)
async def test_without_a_marker_by_policy_and_where_it_is_unsafe_sessions_are_cut(
    sessions: dict[str, Any], behaviour: Behaviour
) -> None:
    stage, v1, v2 = await in_half(**sessions)
    stage.behaviours[v2] = behaviour
    await stage.run(120, until="RollingBack")
    assert (kept(stage), stage.reach()[v1][0], stage.level(v2)) == ("", 1.0, Autonomy.OBSERVE)
    await stage.run(10, until="RolledBack")


async def test_going_back_to_stable_ends_sessions_at_once() -> None:
    stage, v1, _ = await in_half(**SESSIONS)
    await stage.apply("v1", phases=PHASES, rollback={"sessions": SESSIONS})
    await stage.operator.reconcile(f"{NAMESPACE}/{AGENT}")
    assert (kept(stage), stage.reach()[v1][0]) == ("", 1.0)


@pytest.mark.parametrize("change", [{"answers": "cut"}, None], ids=["cut", "taken out"])
async def test_a_person_can_end_the_draining(change: dict[str, Any] | None) -> None:
    stage, _, v2 = await in_half(**SESSIONS)
    stage.behaviours[v2] = FORGETFUL
    await stage.run(120, until="RollingBack")
    assert kept(stage)
    rollback = {} if change is None else {"sessions": SESSIONS | change}
    await stage.apply("v2", phases=PHASES, rollback=rollback)
    await stage.operator.reconcile(f"{NAMESPACE}/{AGENT}")
    assert kept(stage) == ""
    await stage.run(10, until="RolledBack")


async def test_a_new_operator_ends_what_the_old_one_began_to_drain() -> None:
    stage, v1, v2 = await in_half(**SESSIONS)
    stage.behaviours[v2] = FORGETFUL
    await stage.run(120, until="RollingBack")
    stage.operator = stage.new_operator()
    stage.epoch = None  # nobody leads: lowering needs no leader
    for _ in range(25):
        await stage.step()
    assert (kept(stage), stage.reach()[v1][0]) == ("", 1.0)
    stage.epoch = 2
    await stage.run(10, until="RolledBack")


async def test_a_rollback_whose_author_died_before_the_status_knew_cuts() -> None:
    stage, v1, v2 = await in_half(**SESSIONS)
    stage.behaviours[v2] = FORGETFUL
    stage.refuse_writes("AgentRelease")
    for _ in range(60):
        await stage.step()
        if kept(stage).count("agent"):
            break
    assert stage.reach()[v1][0] == 1.0
    stage.refuse_writes("")
    stage.prometheus_up = False
    stage.operator = stage.new_operator()
    await stage.run(3)
    assert (kept(stage), stage.reach()[v1][0], stage.level(v2)) == ("", 1.0, Autonomy.OBSERVE)
