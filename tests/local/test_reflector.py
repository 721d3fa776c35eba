"""A reflector's copy equals the API server's objects, through broken connections and late kinds."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.gateway import eventually
from tests.support.proxy import Proxy

from agentrelease.local.background import Background
from agentrelease.local.kubeapi import KubeApi, collection
from agentrelease.local.reflector import Reflector


@pytest.fixture
async def direct(control_plane):
    async with KubeApi(control_plane.kubeconfig) as api:
        yield api


@pytest.fixture
async def proxied(control_plane, tmp_path):
    async with Proxy(control_plane) as proxy, KubeApi(proxy.kubeconfig(tmp_path)) as api:
        yield proxy, api


async def put(api, namespace, name, text):
    path = collection("v1", "configmaps", namespace)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": text}}
    try:
        await api.patch(f"{path}/{name}", body)
    except Exception as error:
        if getattr(error, "status", None) != 404:
            raise
        await api.create(path, body)


def copy_is(reflector, **wanted):
    async def equal():
        held = {name: obj["data"]["k"] for (_, name), obj in reflector.objects.items() if "k" in obj["data"]}
        return held == wanted

    return eventually(equal, f"the copy is {wanted}")


async def test_the_copy_follows_creations_changes_and_deletions(direct, namespace):
    here, woken = namespace(), asyncio.Event()
    reflector = Reflector(direct, collection("v1", "configmaps", here), woken.set)
    await put(direct, here, "a", "1")
    async with Background() as background:
        background.start(reflector.run())
        await reflector.synced.wait()
        await copy_is(reflector, a="1")
        await put(direct, here, "b", "1")
        await put(direct, here, "a", "2")
        await copy_is(reflector, a="2", b="1")
        woken.clear()
        await direct.delete(f"{collection('v1', 'configmaps', here)}/a")
        await copy_is(reflector, b="1")
        assert woken.is_set()


async def test_what_happened_while_the_connection_was_broken_is_known_afterwards(direct, proxied, namespace):
    (proxy, api), here = proxied, namespace()
    reflector = Reflector(api, collection("v1", "configmaps", here), lambda: None)
    await put(direct, here, "changes", "1")
    await put(direct, here, "goes", "1")
    async with Background() as background:
        background.start(reflector.run())
        await copy_is(reflector, changes="1", goes="1")
        proxy.cut()
        await put(direct, here, "changes", "2")
        await put(direct, here, "comes", "1")
        await direct.delete(f"{collection('v1', 'configmaps', here)}/goes")
        proxy.mend()
        await copy_is(reflector, changes="2", comes="1")
        await put(direct, here, "comes", "2")
        await copy_is(reflector, changes="2", comes="2")


async def test_a_kind_that_is_not_served_yet_is_asked_for_until_it_is(direct, namespace):
    here, group = namespace(), "late.example"
    reflector = Reflector(direct, collection(f"{group}/v1", "lates", here), lambda: None)
    names = {"plural": "lates", "singular": "late", "kind": "Late"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"lates.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
    definitions = collection("apiextensions.k8s.io/v1", "customresourcedefinitions")
    async with Background() as background:
        background.start(reflector.run())
        assert not reflector.synced.is_set()
        await direct.create(definitions, crd)
        try:
            async with asyncio.timeout(60):
                await reflector.synced.wait()
        finally:
            await direct.delete(f"{definitions}/lates.{group}")
