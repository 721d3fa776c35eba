"""The flag object is deleted, emptied or broken in mid-phase: written again, never higher than intended."""

from __future__ import annotations

import json

import pytest
from tests.support.stage import AGENT, NAMESPACE, Stage

from agentrelease.edges import kinds
from agentrelease.edges.flags.document import halts
from agentrelease.engine.ports import Ref

FLAGS = Ref(kinds.CONFIG_MAP, NAMESPACE, "support-flags")
KEY = f"{AGENT}.flagd.json"


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.install()
    await stage.apply("v1")
    await stage.run(60, until="Promoted")
    return stage


async def destroy(stage: Stage, how: str) -> None:
    if how == "deleted":
        await stage.cluster.delete(FLAGS)
        return
    stored = await stage.cluster.get(FLAGS)
    assert stored is not None
    document = json.loads(stored["data"][KEY])
    if how == "without a flag":
        del document["flags"][f"{AGENT}.tool-policy"]
    broken = {"emptied": "", "no flags": '{"flags": {}}', "garbage": "{", "key gone": None}
    text = broken.get(how, json.dumps(document))
    stored["data"] = {} if text is None else {KEY: text}
    await stage.cluster.replace(stored)


@pytest.mark.parametrize("how", ["deleted", "emptied", "no flags", "garbage", "key gone", "without a flag"])
async def test_a_destroyed_document_is_written_again_at_the_next_look(stage, how):
    revision = await stage.apply("v2")
    await stage.run(400, until="canary-10")
    await stage.run(3)
    intended = stage.level(revision)
    assert intended == "suggestion-only"
    await destroy(stage, how)
    await stage.operator.reconcile(f"{NAMESPACE}/{AGENT}")
    assert stage.level(revision) == intended
    release = await stage.run(3)
    assert release.status.candidate.phase_index >= 2
    assert "LoweredFromOutside" not in stage.told.causes


async def test_a_persons_short_halt_document_is_not_a_broken_one(stage):
    await stage.apply("v2")
    await stage.run(400, until="canary-10")
    stored = await stage.cluster.get(FLAGS)
    halt = {"state": "ENABLED", "defaultVariant": "on", "variants": {"on": True, "off": False}}
    stored["data"][KEY] = json.dumps({"flags": {f"{AGENT}.halt": halt}})
    await stage.cluster.replace(stored)
    await stage.operator.reconcile(f"{NAMESPACE}/{AGENT}")
    kept = json.loads(stage.cluster.objects[FLAGS]["data"][KEY])
    assert halts(kept, AGENT)
    await stage.run(3)
    assert halts(json.loads(stage.cluster.objects[FLAGS]["data"][KEY]), AGENT)
