"""What keeps a revision and what lets it go, with the real garbage collector and namespace controller."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest
from tests.api.manifests import incident
from tests.support.world import AGENT, MOMENT, World, kubectl, world

from agentrelease.api.vocabulary import HELD_ANNOTATION, HELD_FINALIZER
from agentrelease.edges import kinds
from agentrelease.engine.ports import Object, Ref

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from agentrelease.local.controlplane import ControlPlane


@pytest.fixture
async def here(
    control_plane: ControlPlane, namespace: Callable[[], str], tmp_path: Path
) -> AsyncIterator[World]:
    elsewhere = {  # as in production: the operator's own namespace is not one that it serves
        "AGENTRELEASE_LEASE_NAMESPACE": namespace(),
        "AGENTRELEASE_LEASE_NAME": f"operator-{uuid.uuid4().hex[:8]}",
    }
    async with world(control_plane, namespace(), tmp_path, settings=elsewhere) as made:
        yield made
        lines = made.operator_log()
    assert not [line for line in lines if "Traceback" in str(line)]
    assert not [line for line in lines if line.get("event") == "look broke"]


async def stored(here: World, revision: str) -> Object | None:
    return await here.cluster.get(Ref(kinds.AGENT_REVISION, here.namespace, revision))


async def holders(here: World, revision: str) -> str:
    obj = await stored(here, revision)
    return (obj or {}).get("metadata", {}).get("annotations", {}).get(HELD_ANNOTATION, "")


async def awaited(condition: Callable[[], object], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + MOMENT
    while not await condition():  # type: ignore[misc]
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.1)


async def test_a_deleted_release_takes_along_what_nobody_holds_and_the_rest_when_the_case_is_closed(
    here: World,
) -> None:
    v1 = await here.apply("v1.yaml")
    await here.promoted(v1)
    v2 = await here.apply("v2.yaml")
    await here.in_phase("canary-10")
    case = incident("case")
    case["spec"]["revision"] = v1
    await here.kubectl_apply([case])
    both = f"stable of release {AGENT}; open incident case"

    async def held() -> bool:
        return await holders(here, v1) == both and await holders(here, v2) == f"candidate of release {AGENT}"

    await awaited(held, "both revisions say by whom they are held")
    await kubectl(here.plane, [], "delete", "arel", AGENT, "-n", here.namespace, "--cascade=foreground")

    async def left() -> bool:
        return await stored(here, v2) is None and await holders(here, v1) == "open incident case"

    await awaited(left, "only what the incident is about is left")
    obj = await stored(here, v1)
    assert obj is not None
    assert obj["metadata"]["finalizers"] == [HELD_FINALIZER]
    assert "deletionTimestamp" in obj["metadata"]
    closed = {"spec": {"closed": True}}
    await here.cluster.merge(Ref(kinds.AGENT_INCIDENT, here.namespace, "case"), closed)

    async def free() -> bool:
        return await stored(here, v1) is None

    await awaited(free, "the revision goes with its case")


async def test_a_namespace_that_is_deleted_in_mid_rollout_goes(here: World) -> None:
    v1 = await here.apply("v1.yaml")
    await here.promoted(v1)
    await here.apply("v2.yaml")
    await here.in_phase("half")
    case = incident("case")
    case["spec"]["revision"] = v1
    await here.kubectl_apply([case])
    await kubectl(here.plane, [], "delete", "namespace", here.namespace, f"--timeout={MOMENT:.0f}s")
    assert await here.cluster.raw(f"/api/v1/namespaces/{here.namespace}") is None
