"""The connection to the API server, and what it leaves behind."""

from __future__ import annotations

import asyncio

import pytest
from kubernetes.aio.dynamic.exceptions import DynamicApiError

from agentrelease.local.kubeapi import KubeApi, collection


@pytest.mark.parametrize(
    ("where", "path"),
    [
        (("v1", "pods"), "/api/v1/pods"),
        (("v1", "pods", "shop"), "/api/v1/namespaces/shop/pods"),
        (("apps/v1", "deployments", "shop"), "/apis/apps/v1/namespaces/shop/deployments"),
    ],
)
def test_a_collections_path_follows_its_group_and_namespace(where, path):
    assert collection(*where) == path


async def test_a_refusal_carries_the_http_code_and_the_servers_words(control_plane):
    async with KubeApi(control_plane.kubeconfig) as api:
        with pytest.raises(DynamicApiError, match="not found") as refused:
            await api.get(f"{collection('v1', 'namespaces')}/nobody")
    assert refused.value.status == 404


async def test_a_delete_by_uid_spares_the_namesake(control_plane, namespace):
    here = namespace()
    async with KubeApi(control_plane.kubeconfig) as api:
        path = collection("v1", "configmaps", here)
        await api.create(path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}})
        with pytest.raises(DynamicApiError) as refused:
            await api.delete(f"{path}/it", uid="another-uid")
        assert refused.value.status == 409
        assert (await api.get(f"{path}/it"))["metadata"]["name"] == "it"


async def test_no_connection_outlives_its_owner_even_if_requests_were_cancelled(control_plane):
    watching = asyncio.Event()

    async def watch(api):
        path = collection("v1", "namespaces")
        version = (await api.get(path))["metadata"]["resourceVersion"]
        watching.set()
        async for _ in api.watch(path, version):
            pass

    async with KubeApi(control_plane.kubeconfig) as api:
        task = asyncio.create_task(watch(api))
        await watching.wait()
        asking = asyncio.create_task(api.get(collection("v1", "pods")))
        await api.get(collection("v1", "nodes"))
        for cancelled in (task, asking):
            cancelled.cancel()
        await asyncio.gather(task, asking, return_exceptions=True)
        opened = list(api._sockets)
    assert opened
    assert all(connection.fileno() == -1 for connection in opened)
