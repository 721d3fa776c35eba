"""Loading a bundle into a slot, with the real Deployment controller."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client

from agentrelease.api.delivery import Slot
from agentrelease.core.situation import SlotState
from agentrelease.edges.kinds import CONFIG_MAP, DEPLOYMENT
from agentrelease.edges.slots import Slots
from agentrelease.engine.ports import Missing, Place, Ref

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentrelease.edges.cluster import ApiServer
    from agentrelease.engine.ports import Object

FIRST, SECOND = "support-3f9a0c11de", "support-77aa00bb12"
GREEN = Slot(service="support-green", deployment="support-green")


def place(namespace: str) -> Place:
    return Place(namespace, "support", "green", GREEN)


def deployment(namespace: str, replicas: int = 2) -> Object:
    labels = {"app": "support", "slot": "green"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": GREEN.deployment, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": {"team": "support"}},
                "spec": {"containers": [{"name": "agent", "image": "agent"}]},
            },
        },
    }


@pytest.fixture
def slots(server: ApiServer) -> Slots:
    return Slots(server)


async def load(slots: Slots, namespace: str, revision: str, bundle: bytes = b'{"model":1}') -> None:
    await slots.load(place(namespace), revision, bundle)


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    """Wait for a condition; a minute is far beyond what any run needs."""
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 - the API server has no event for it
            await asyncio.sleep(0.05)


def make_ready(admin: Any, namespace: str) -> None:
    """Be the kubelet: say that every pod is ready."""
    core = client.CoreV1Api(admin)
    for pod in core.list_namespaced_pod(namespace).items:
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        with suppress(client.ApiException):  # the pod was replaced meanwhile; the next look finds the new one
            core.patch_namespaced_pod_status(
                pod.metadata.name, namespace, {"status": {"phase": "Running", "conditions": [ready]}}
            )


async def test_a_slot_without_a_deployment_can_not_be_loaded_and_says_so(
    slots: Slots, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    with pytest.raises(Missing, match="slot green of support"):
        await load(slots, ns, FIRST)
    state = await slots.state(place(ns))
    assert (state.revision, state.available) == (None, False)
    assert "does not exist" in state.problem


async def test_a_slot_is_available_only_when_all_its_pods_run_the_revision(
    server: ApiServer, slots: Slots, namespace: Callable[[], str], admin: Any
) -> None:
    ns = namespace()
    await server.create(deployment(ns))
    await load(slots, ns, FIRST)
    state = await slots.state(place(ns))
    assert (state.revision, state.available) == (FIRST, False)
    assert state.problem

    async def available() -> bool:
        make_ready(admin, ns)
        return (await slots.state(place(ns))).available

    await until(available)
    assert await slots.state(place(ns)) == SlotState(FIRST, available=True)
    await load(slots, ns, SECOND)
    after = await slots.state(place(ns))
    assert (after.revision, after.available) == (SECOND, False)
    await until(available)
    assert await slots.state(place(ns)) == SlotState(SECOND, available=True)


async def test_loading_the_same_again_writes_nothing(
    server: ApiServer, slots: Slots, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    await server.create(deployment(ns, replicas=0))
    await load(slots, ns, FIRST)
    refs = (Ref(CONFIG_MAP, ns, "support-green-bundle"), Ref(DEPLOYMENT, ns, GREEN.deployment))
    generation = (await read(server, refs[1]))["metadata"]["generation"]
    version = (await read(server, refs[0]))["metadata"]["resourceVersion"]
    await load(slots, ns, FIRST)
    assert (await read(server, refs[1]))["metadata"]["generation"] == generation
    assert (await read(server, refs[0]))["metadata"]["resourceVersion"] == version


async def test_the_bundle_is_stored_byte_for_byte_and_other_keys_and_annotations_stay(
    server: ApiServer, slots: Slots, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    await server.create(deployment(ns, replicas=0))
    bundle = Ref(CONFIG_MAP, ns, "support-green-bundle")
    await server.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": bundle.name, "namespace": ns},
            "data": {"other": "stays"},
        }
    )
    text = '{"a":"ü","b":"\\u0000"}'
    await load(slots, ns, FIRST, text.encode())
    assert (await read(server, bundle))["data"] == {"other": "stays", "bundle.json": text}
    template = (await read(server, Ref(DEPLOYMENT, ns, GREEN.deployment)))["spec"]["template"]
    assert template["metadata"]["annotations"] == {"team": "support", "agentrelease.dev/revision": FIRST}


async def test_a_slot_scaled_to_zero_is_not_available(
    server: ApiServer, slots: Slots, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    await server.create(deployment(ns, replicas=0))

    async def seen() -> bool:
        return "scaled to zero" in (await slots.state(place(ns))).problem

    await until(seen)
    assert not (await slots.state(place(ns))).available


async def read(server: ApiServer, ref: Ref) -> Object:
    found = await server.get(ref)
    assert found is not None
    return found
