"""What real agents did is undone after a rollback, and sinks hear of it: all parts real."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from standardwebhooks import Webhook
from tests.support.receiver import Receiver
from tests.support.world import AGENT, World, world

from agentrelease.core.compensation import CLOCKS_APART
from agentrelease.edges import kinds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from agentrelease.engine.ports import Object
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


async def compensated(here: World, revision: str) -> dict[str, Any]:
    """Kill the operator before all is undone, and return the account when the next one is through."""
    await here.kill_operator()
    await here.start_operator()

    def over(obj: Object) -> bool:
        account = (obj.get("status") or {}).get("compensation") or {}
        return account.get("state") not in (None, "Collecting", "Undoing")

    obj = await here.until_object(kinds.AGENT_REVISION, revision, over, "everything is undone")
    account: dict[str, Any] = obj["status"]["compensation"]
    assert account["state"] == "Done", account
    (condition,) = obj["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Compensated", "True")
    return account


def undone_once(hook: Receiver, revision: str, account: dict[str, Any]) -> list[str]:
    """Check that each effect came under its own key, as many as the account says; return their times."""
    got = [(json.loads(one.body), one.headers["idempotency-key"]) for one in hook.got]
    calls = [call for call, key in got if call["revision"] == revision and call["key"] == key]
    assert {call["effect"]["class"] for call in calls} <= {"write", "irreversible"}
    keys = {call["key"] for call in calls}
    assert len(keys) == len({call["effect"]["id"] for call in calls}) == account["undone"] > 0
    return [call["effect"]["at"] for call in calls]


async def test_what_agents_did_is_undone_after_a_rollback_and_after_a_return_from_what_was_promoted(
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
    undone_once(hook, v2, await compensated(here, v2))

    phases = [
        {"name": "half", "weight": 50, "autonomy": "limited-action", "minSamples": 20},
        {"name": "all", "weight": 100, "autonomy": "limited-action", "minSamples": 20},
    ]
    v3 = await here.apply("v3-fixed.yaml", rollback={"compensations": compensations}, phases=phases)
    served = await here.promoted(v3)
    assert served.status.stable is not None
    await here.misbehave(v3, violations=0.95)
    await here.in_phase("RolledBack")
    times = undone_once(hook, v3, await compensated(here, v3))
    promoted = datetime.fromisoformat(served.status.stable.since) - timedelta(seconds=CLOCKS_APART)
    assert all(datetime.fromisoformat(at) >= promoted for at in times)

    told = [Webhook(SECRET).verify(got.body, dict(got.headers)) for got in sink.got]
    types = [event["type"].removeprefix("dev.agentrelease.") for event in told]
    for kind in ("release.promoted", "phase.entered", "rollback.started", "release.rolledback"):
        assert kind in types
    assert types[-1] == "compensation.completed"
    assert all(
        event["source"].endswith(f"/namespaces/{here.namespace}/agentreleases/{AGENT}") for event in told
    )
