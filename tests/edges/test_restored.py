"""A release that was made anew, on the real API server with its garbage collector: its revisions stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.api import manifests
from tests.support.gateway import eventually

from agentrelease.api.release import AgentRelease
from agentrelease.api.vocabulary import HELD_FINALIZER
from agentrelease.core.bundle import digest_of
from agentrelease.edges.holding import HeldRevisions
from agentrelease.edges.kinds import AGENT_RELEASE, AGENT_REVISION
from agentrelease.edges.releases import ClusterReleases
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.edges.cluster import ApiServer

STABLE, PREVIOUS, OLD = "support-aaaaaaaaaa", "support-bbbbbbbbbb", "support-cccccccccc"
HELD = {STABLE: ("stable of release support",), PREVIOUS: ("previous of release support",)}


async def made(server: ApiServer, namespace: str, name: str = "support") -> AgentRelease:
    obj = manifests.release(name)
    obj["metadata"]["namespace"] = namespace
    return AgentRelease.from_object(await server.create(obj))


async def is_leaving(server: ApiServer, ref: Ref) -> bool:
    obj = await server.get(ref)
    return obj is not None and "deletionTimestamp" in obj["metadata"]


async def test_kept_revisions_outlive_the_release_that_they_were_made_for(
    server: ApiServer, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    releases, revisions = ClusterReleases(server), HeldRevisions(server, [ns])
    refs = {name: Ref(AGENT_REVISION, ns, name) for name in (STABLE, PREVIOUS, OLD)}

    async def hold(release: AgentRelease, *names: str) -> None:
        for kept in await revisions.of(ns, "support"):
            if kept.name in names:
                await revisions.hold(kept, HELD.get(kept.name, ()), release)

    first = await made(server, ns)
    for name in refs:
        await releases.record(first, name, digest_of(first.spec.bundle))
    await hold(first, *refs)

    # another uid takes one over before the collector comes, and the rest after it
    second = await made(server, ns, "support-restored")
    await hold(second, STABLE)
    await server.delete(Ref(AGENT_RELEASE, ns, "support"))

    async def collected() -> bool:
        return await server.get(refs[OLD]) is None and await is_leaving(server, refs[PREVIOUS])

    await eventually(collected, "the collector took what nobody holds")
    await hold(second, *refs)

    assert not await is_leaving(server, refs[STABLE])
    assert {one.revision for one in await releases.kept(first)} == {STABLE, PREVIOUS}
    for name in (STABLE, PREVIOUS):
        obj = await server.get(refs[name])
        assert obj is not None
        assert HELD_FINALIZER in obj["metadata"]["finalizers"]
        assert await releases.bundle(ns, name) is not None
