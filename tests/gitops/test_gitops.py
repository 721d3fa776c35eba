"""Argo CD's script and Flux's expressions, on objects that the engine really wrote."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lupa
import pytest
import yaml
from tests.support.stage import AGENT, NAMESPACE, Behaviour, Stage

from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

GITOPS = Path(__file__).parents[2] / "docs" / "gitops"
ARGO = GITOPS / "argocd" / "resource_customizations" / "agentrelease.dev" / "AgentRelease"
GATED = {"approval": "required"}


def run(script: str, obj: dict[str, Any]) -> Any:
    """Run a script as Argo CD does: one global, ``obj``, and a returned table."""
    lua = lupa.LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = table(lua, copy.deepcopy(obj))
    return plain(lua.execute((ARGO / script).read_text(encoding="utf-8")))


def table(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: table(lua, below) for key, below in value.items()})
    if isinstance(value, list):
        return lua.table_from([table(lua, below) for below in value])
    return value


def plain(value: Any) -> Any:
    if lupa.lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if keys and keys == list(range(1, len(keys) + 1)):
        return [plain(value[key]) for key in keys]
    return {key: plain(value[key]) for key in keys}


async def stored(stage: Stage) -> dict[str, Any]:
    obj = await stage.cluster.get(Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT))
    assert obj is not None
    return obj


async def serving() -> Stage:
    stage = Stage(rate=60)
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    return stage


async def test_a_release_that_nobody_looked_at_yet_is_progressing() -> None:
    stage = Stage(rate=60)
    await stage.install()
    await stage.apply("v1")
    obj = await stored(stage)
    obj.pop("status", None)
    assert run("health.lua", obj) == {"status": "Progressing", "message": "waiting for the operator"}


async def test_a_promoted_release_is_healthy_until_its_spec_changes() -> None:
    stage = await serving()
    obj = await stored(stage)
    assert run("health.lua", obj)["status"] == "Healthy"
    obj["metadata"]["generation"] += 1
    assert run("health.lua", obj) == {"status": "Progressing", "message": "waiting for the operator"}


async def test_a_good_rollout_is_progressing_in_every_phase_and_healthy_at_its_end() -> None:
    stage = await serving()
    await stage.apply("v2", Behaviour(completion=0.94, violations=0.005))
    seen = []
    for _ in range(400):
        await stage.step()
        obj = await stored(stage)
        state = (obj["status"]["phase"], run("health.lua", obj)["status"])
        if not seen or seen[-1] != state:
            seen.append(state)
        if state[0] == "Promoted":
            break
    assert {health for phase, health in seen if phase != "Promoted"} == {"Progressing"}
    assert seen[-1] == ("Promoted", "Healthy")


async def test_a_rolled_back_release_is_degraded_and_says_why() -> None:
    stage = await serving()
    await stage.apply("v3", Behaviour(completion=0.99, violations=0.15))
    await stage.run(200, until="RolledBack")
    health = run("health.lua", await stored(stage))
    assert health["status"] == "Degraded"
    assert health["message"]


async def test_a_release_that_waits_for_a_person_is_suspended() -> None:
    obj = await awaiting()
    health = run("health.lua", obj)
    assert health["status"] == "Suspended"
    assert "needs an AgentApproval" in health["message"]


async def awaiting() -> dict[str, Any]:
    stage = await serving()
    spec = (await stored(stage))["spec"]
    phases = [{**p, **(GATED if p["name"] == "half" else {})} for p in spec["phases"]]
    await stage.apply("v2", phases=phases)
    for _ in range(200):
        await stage.step()
        obj = await stored(stage)
        if obj["status"]["verdict"] == "AwaitingApproval":
            return obj
    raise AssertionError("never waited for an approval")


async def test_a_paused_rollout_is_suspended_and_a_paused_promoted_release_is_healthy() -> None:
    stage = await serving()
    obj = await stored(stage)
    obj["spec"]["paused"] = True
    assert run("health.lua", obj)["status"] == "Healthy"
    await stage.apply("v2")
    await stage.run(30, until="shadow")
    obj = await stored(stage)
    obj["spec"]["paused"] = True
    assert run("health.lua", obj)["status"] == "Suspended"


async def test_actions_pause_resume_and_roll_back_by_plain_fields() -> None:
    stage = await serving()
    promoted = await stored(stage)
    assert run("actions/discovery.lua", promoted) == {
        "pause": {"disabled": False},
        "resume": {"disabled": True},
        "rollback": {"disabled": True},
    }
    await stage.apply("v2")
    await stage.run(30, until="shadow")
    moving = await stored(stage)
    assert run("actions/discovery.lua", moving)["rollback"] == {"disabled": False}
    assert run("actions/pause/action.lua", moving)["spec"]["paused"] is True
    assert run("actions/resume/action.lua", moving)["spec"]["paused"] is False
    order = run("actions/rollback/action.lua", moving)["spec"]["rollback"]
    assert order["to"] == moving["status"]["stable"]["revision"]
    assert order["of"] == moving["status"]["candidate"]["revision"]


RECORDED = sorted((ARGO / "testdata").glob("*.yaml"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_objects_have_the_health_that_their_name_says(path: Path) -> None:
    obj = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert run("health.lua", obj)["status"].lower() == path.stem.partition("-")[0]


def test_there_is_a_recorded_object_for_every_health() -> None:
    assert {p.stem.partition("-")[0] for p in RECORDED} == {"healthy", "progressing", "degraded", "suspended"}
    listed = yaml.safe_load((ARGO / "health_test.yaml").read_text(encoding="utf-8"))["tests"]
    assert {Path(test["inputPath"]).name for test in listed} == {path.name for path in RECORDED}
    for test in listed:
        obj = yaml.safe_load((ARGO / test["inputPath"]).read_text(encoding="utf-8"))
        assert run("health.lua", obj) == test["healthStatus"]


def test_the_configmap_carries_the_same_scripts() -> None:
    data = yaml.safe_load((GITOPS / "argocd" / "argocd-cm.yaml").read_text(encoding="utf-8"))["data"]
    health = data["resource.customizations.health.agentrelease.dev_AgentRelease"]
    assert health == (ARGO / "health.lua").read_text(encoding="utf-8")
    actions = yaml.safe_load(data["resource.customizations.actions.agentrelease.dev_AgentRelease"])
    assert actions["discovery.lua"] == (ARGO / "actions/discovery.lua").read_text(encoding="utf-8")
    for definition in actions["definitions"]:
        path = ARGO / "actions" / definition["name"] / "action.lua"
        assert definition["action.lua"] == path.read_text(encoding="utf-8")
