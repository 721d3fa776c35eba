"""What real agents did is undone after a rollback, and sinks hear of it: all parts real."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import yaml
from standardwebhooks import Webhook
from tests.support.receiver import Receiver
from tests.support.world import AGENT, MOMENT, World, world

from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from agentrelease.local.controlplane import ControlPlane

SECRET = b"of the administrator"


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with Receiver(503, 500) as receiver:
        yield receiver


@pytest.fixture
async def sink() -> AsyncIterator[Receiver]:
    async with Receiver(500) as receiver:
        yield receiver


@pytest.fixture
async def here(
    control_plane: ControlPlane, namespace: Callable[[], str], tmp_path: Path, hook: Receiver, sink: Receiver
) -> AsyncIterator[World]:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    file = tmp_path / "endpoints.yaml"
    known = {"hmacSecretFile": str(secret)}
    found = {
        "hooks": [{"name": "undo", "url": hook.url, **known}],
        "sinks": [{"name": "audit", "url": sink.url, **known}],
    }
    file.write_text(yaml.safe_dump(found))
    settings = {"AGENTRELEASE_ENDPOINTS_FILE": str(file)}
    async with world(control_plane, namespace(), tmp_path, settings=settings) as made:
        yield made
        lines = made.operator_log()
    assert not [line for line in lines if "Traceback" in str(line)]
    assert SECRET.decode() not in json.dumps(lines)


async def test_every_action_of_a_rolled_back_candidate_is_undone_although_the_operator_was_killed(
    here: World, hook: Receiver, sink: Receiver
) -> None:
    compensations = [{"effect": "write", "hook": "undo"}, {"effect": "irreversible", "hook": "undo"}]
    v1 = await here.apply("v1.yaml", rollback={"compensations": compensations})
    await here.promoted(v1)
    v2 = await here.apply("v2.yaml", rollback={"compensations": compensations})
    await here.in_phase("all", 240)
    await here.patch({"rollback": {"to": v1, "of": v2}})
    await here.in_phase("RolledBack")
    await hook.until(3)
    await here.kill_operator()
    await here.start_operator()

    ref = Ref(kinds.AGENT_REVISION, here.namespace, v2)
    deadline = asyncio.get_running_loop().time() + MOMENT
    while True:
        obj = await here.cluster.get(ref)
        assert obj is not None
        account = obj["status"]["compensation"]
        if account["state"] not in ("Collecting", "Undoing"):
            break
        assert asyncio.get_running_loop().time() < deadline, account
        await asyncio.sleep(0.2)
    assert account["state"] == "Done", account
    (condition,) = obj["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Compensated", "True")

    calls = [json.loads(got.body) for got in hook.got]
    assert {call["revision"] for call in calls} == {v2}
    assert {call["effect"]["class"] for call in calls} <= {"write", "irreversible"}
    keys = {call["key"] for call in calls}
    assert len(keys) == len({call["effect"]["id"] for call in calls}) == account["undone"] > 0
    assert all(got.headers["idempotency-key"] == json.loads(got.body)["key"] for got in hook.got)

    told = [Webhook(SECRET).verify(got.body, dict(got.headers)) for got in sink.got]
    types = [event["type"].removeprefix("dev.agentrelease.") for event in told]
    for kind in ("release.promoted", "phase.entered", "rollback.started", "release.rolledback"):
        assert kind in types
    assert types[-1] == "compensation.completed"
    assert all(
        event["source"].endswith(f"/namespaces/{here.namespace}/agentreleases/{AGENT}") for event in told
    )
