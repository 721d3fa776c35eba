"""Who holds a revision, on the API server: an annotation in words, and a finalizer."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agentrelease.api.vocabulary import HELD_ANNOTATION, HELD_FINALIZER, RELEASE_LABEL
from agentrelease.core.holders import SEPARATOR, Case
from agentrelease.edges.kinds import AGENT_INCIDENT, AGENT_REVISION
from agentrelease.edges.releases import owner_of
from agentrelease.engine.holding import Kept
from agentrelease.engine.ports import Missing, Ref

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.release import AgentRelease
    from agentrelease.engine.ports import Cluster, Object


class HeldRevisions:
    """Revisions in the namespaces that are served; none named means all. Only metadata is read."""

    def __init__(self, cluster: Cluster, namespaces: Sequence[str] = ()) -> None:
        self._cluster = cluster
        self._namespaces: Sequence[str | None] = tuple(namespaces) or (None,)

    async def named(self) -> set[str]:
        found = set()
        for namespace in self._namespaces:
            for head in await self._cluster.heads(AGENT_REVISION, namespace):
                meta = head["metadata"]
                if owner := (meta.get("labels") or {}).get(RELEASE_LABEL):
                    found.add(f"{meta['namespace']}/{owner}")
        return found

    async def of(self, namespace: str, release: str) -> list[Kept]:
        heads = await self._cluster.heads(AGENT_REVISION, namespace, {RELEASE_LABEL: release})
        return [_kept(head["metadata"]) for head in heads]

    async def cases(self, namespace: str) -> list[Case]:
        found = await self._cluster.list(AGENT_INCIDENT, namespace)
        return [
            Case(obj["metadata"]["name"], str(obj["spec"].get("revision", "")))
            for obj in found
            if not obj["spec"].get("closed", False)
        ]

    async def hold(self, kept: Kept, by: Sequence[str], release: AgentRelease | None) -> None:
        words = SEPARATOR.join(by)
        finalizers = [name for name in kept.finalizers if name != HELD_FINALIZER]
        if by and (HELD_FINALIZER in kept.finalizers or not kept.deleting):  # too late for a new one
            finalizers.append(HELD_FINALIZER)
        adopts = release is not None and kept.owner != release.uid and not kept.deleting
        if kept.held_by == words and set(finalizers) == set(kept.finalizers) and not adopts:
            return
        patch: dict[str, Any] = {
            "metadata": {
                "resourceVersion": kept.version,
                "annotations": {HELD_ANNOTATION: words or None},
                "finalizers": finalizers,
            }
        }
        if adopts and release is not None:  # of an earlier release of that name, with which it would go
            patch["metadata"]["ownerReferences"] = [owner_of(release)]
        with suppress(Missing):  # it went meanwhile
            await self._cluster.merge(Ref(AGENT_REVISION, kept.namespace, kept.name), patch)


def _kept(meta: Object) -> Kept:
    return Kept(
        namespace=meta["namespace"],
        name=meta["name"],
        version=meta["resourceVersion"],
        held_by=(meta.get("annotations") or {}).get(HELD_ANNOTATION, ""),
        finalizers=tuple(meta.get("finalizers") or ()),
        deleting="deletionTimestamp" in meta,
        owner=next((one["uid"] for one in meta.get("ownerReferences") or ()), ""),
    )


__all__ = ["HeldRevisions"]
