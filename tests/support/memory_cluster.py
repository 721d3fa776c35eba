"""A Cluster in memory, for tests in virtual time, where a real API server's clock can't follow.

It keeps the API server's rules that the engine leans on: resourceVersions that grow, uids, generations
that move with anything but metadata and status, the status subresource, finalizers, merge patches as in
RFC 7386. tests/edges/test_cluster.py holds the same table of expectations against it and against
the real API server.
"""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

from agentrelease.edges.kinds import ref_of
from agentrelease.engine.ports import Conflict, Missing, Object, Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from agentrelease.engine.ports import Kind

    Fault = Callable[[str, Ref], Awaitable[None]]

NOW = "2026-01-01T00:00:00Z"


async def no_fault(verb: str, ref: Ref) -> None:
    """Let every request through."""


def sent(value: Any) -> Any:
    """Return a copy, as it comes over the wire: nothing but what JSON has."""
    return json.loads(json.dumps(value))


class MemoryCluster:
    """``before`` and ``after`` are called around each request, and may wait or raise.

    A fault raised by ``after`` is a write that was committed and whose reply was lost.
    """

    def __init__(self) -> None:
        self.objects: dict[Ref, Object] = {}
        self.writes: list[tuple[str, Ref]] = []
        self.before: Fault = no_fault
        self.after: Fault = no_fault
        self._versions = count(1)

    async def get(self, ref: Ref) -> Object | None:
        await self.before("get", ref)
        return sent(self.objects.get(ref))

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Object]:
        await self.before("list", Ref(kind, namespace or "", ""))
        return [
            sent(obj)
            for ref, obj in sorted(self.objects.items(), key=lambda item: (item[0].namespace, item[0].name))
            if ref.kind == kind
            and namespace in (None, ref.namespace)
            and (labels or {}).items() <= obj["metadata"].get("labels", {}).items()
        ]

    async def heads(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Object]:
        return [{"metadata": obj["metadata"]} for obj in await self.list(kind, namespace, labels)]

    async def create(self, obj: Object) -> Object:
        ref = ref_of(obj)
        await self.before("create", ref)
        if ref in self.objects:
            raise Conflict(f"{ref} exists")
        made = sent(obj)
        made.pop("status", None)
        version = next(self._versions)
        made["metadata"] |= {"uid": f"uid-{version}", "generation": 1, "creationTimestamp": NOW}
        return await self._commit("create", ref, made, version)

    async def replace(self, obj: Object, *, subresource: str = "") -> Object:
        ref = ref_of(obj)
        if not obj["metadata"].get("resourceVersion"):
            raise Refused(f"{ref} carries no resourceVersion")
        await self.before("replace", ref)
        return await self._change("replace", ref, sent(obj), subresource)

    async def merge(self, ref: Ref, patch: Object, *, subresource: str = "") -> Object:
        await self.before("merge", ref)
        return await self._change("merge", ref, merged(self.objects.get(ref, {}), patch), subresource)

    async def delete(self, ref: Ref) -> None:
        await self.before("delete", ref)
        obj = self.objects.get(ref)
        if obj is None:
            return
        if obj["metadata"].get("finalizers"):
            marked = sent(obj)
            marked["metadata"].setdefault("deletionTimestamp", NOW)
            await self._commit("delete", ref, marked, next(self._versions))
            return
        del self.objects[ref]
        self.writes.append(("delete", ref))
        await self.after("delete", ref)

    async def _change(self, verb: str, ref: Ref, wanted: Object, subresource: str) -> Object:
        stored = self.objects.get(ref)
        if stored is None:
            raise Missing(f"{ref} is gone")
        if wanted["metadata"].get("resourceVersion", "") != stored["metadata"]["resourceVersion"]:
            raise Conflict(f"{ref} has been modified")
        made = stored | {"status": wanted.get("status")} if subresource else wanted | _status(stored)
        made["metadata"] = (stored if subresource else wanted)["metadata"] | _kept(stored)
        if _content(made) != _content(stored):
            made["metadata"]["generation"] += 1
        if made["metadata"].get("deletionTimestamp") and not made["metadata"].get("finalizers"):
            del self.objects[ref]
            self.writes.append((verb, ref))
            await self.after(verb, ref)
            return made
        if made == stored:
            return sent(stored)
        return await self._commit(verb, ref, sent(made), next(self._versions))

    async def _commit(self, verb: str, ref: Ref, made: Object, version: int) -> Object:
        made["metadata"]["resourceVersion"] = str(version)
        self.objects[ref] = made
        self.writes.append((verb, ref))
        await self.after(verb, ref)
        return sent(made)


def merged(target: Any, patch: Any) -> Any:
    """Return a merge patch's result, as in RFC 7386."""
    if not isinstance(patch, dict):
        return sent(patch)
    result = sent(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _status(stored: Object) -> Object:
    return {"status": stored["status"]} if "status" in stored else {}


def _kept(stored: Object) -> Object:
    names = ("uid", "generation", "creationTimestamp", "resourceVersion", "deletionTimestamp")
    return {name: stored["metadata"][name] for name in names if name in stored["metadata"]}


def _content(obj: Object) -> Object:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}
