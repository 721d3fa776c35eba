"""The API server as the engine sees it: get, list, heads, create, replace, merge, delete.

Objects are plain JSON. No cache, and no ``resourceVersion=0``: what ``get`` returns was true when
etcd was asked. Time-outs, retries and the classification of errors are in ``transport.py``.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlencode

from agentrelease.edges.kinds import ref_of
from agentrelease.edges.transport import JSON, MERGE_PATCH, USER_AGENT, Limits, Request, Transport, failure
from agentrelease.engine.ports import Kind, Missing, Object, Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from agentrelease.edges.credentials import Credentials

METADATA_ALONE = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
BACKGROUND = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}


class ApiServer:
    """The production ``Cluster``. Use as an async context manager, or call ``close``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    async def connect(
        cls, credentials: Credentials, *, user_agent: str = USER_AGENT, limits: Limits | None = None
    ) -> ApiServer:
        """Read the credentials; the first request opens the first connection."""
        return cls(await Transport.open(credentials, user_agent=user_agent, limits=limits or Limits()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; requests that are under way fail."""
        await self._transport.close()

    async def get(self, ref: Ref) -> Object | None:
        """Return the object as it is now; ``None`` where there is none."""
        answer = await self._transport.read(Request("GET", path_of(ref), str(ref), secret=_secret(ref.kind)))
        return None if answer.status == 404 else answer.body

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Object]:
        """Return all objects of a kind, read in chunks; ``Missing`` where the kind isn't served."""
        return [_typed(item, kind) for item in await self._items(kind, namespace, labels, JSON)]

    async def heads(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Object]:
        """Return the metadata of all objects of a kind, and nothing else of them."""
        items = await self._items(kind, namespace, labels, METADATA_ALONE)
        return [{"metadata": item["metadata"]} for item in items]

    async def _items(
        self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None, accept: str
    ) -> Sequence[Object]:
        query = {"limit": str(self._transport.limits.page)}
        if labels:
            query["labelSelector"] = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        base = path_of(Ref(kind, namespace or "", ""))
        about = f"{kind.plural}.{kind.group or 'core'} in {namespace or 'all namespaces'}"
        items: deque[Object] = deque()
        while True:
            path = f"{base}?{urlencode(query)}"
            request = Request("GET", path, about, secret=_secret(kind), accept=accept)
            answer = await self._transport.read(request)
            if answer.status == 404:
                raise failure(request, answer)
            items += answer.body.get("items") or ()
            token = answer.body.get("metadata", {}).get("continue")
            if not token:
                return tuple(items)
            query["continue"] = token

    async def create(self, obj: Object) -> Object:
        """Create; raise ``Conflict`` when the name is taken."""
        ref = ref_of(obj)
        collection = path_of(Ref(ref.kind, ref.namespace, ""))
        return await self._transport.write(
            Request("POST", collection, str(ref), obj, secret=_secret(ref.kind))
        )

    async def replace(self, obj: Object, *, subresource: str = "") -> Object:
        """PUT the whole object; its resourceVersion must still be the stored one, else ``Conflict``."""
        ref = ref_of(obj)
        if not obj["metadata"].get("resourceVersion"):
            # some kinds (ConfigMap) accept an unconditional PUT, which would hide a lost race
            raise Refused(f"PUT {ref}: the object carries no resourceVersion")
        path = path_of(ref, subresource)
        return await self._transport.write(Request("PUT", path, str(ref), obj, secret=_secret(ref.kind)))

    async def merge(self, ref: Ref, patch: Object, *, subresource: str = "") -> Object:
        """Merge-patch; put ``metadata.resourceVersion`` into the patch to make a lost race a ``Conflict``."""
        path = path_of(ref, subresource)
        return await self._transport.write(
            Request("PATCH", path, str(ref), patch, MERGE_PATCH, secret=_secret(ref.kind))
        )

    async def delete(self, ref: Ref) -> None:
        """Delete in the background; no error where there is nothing."""
        request = Request("DELETE", path_of(ref), str(ref), BACKGROUND, secret=_secret(ref.kind))
        try:
            await self._transport.write(request)
        except Missing:
            return

    async def raw(self, path: str) -> Object | None:
        """GET any path, such as ``/apis/<group>/<version>``; ``None`` where there is nothing."""
        answer = await self._transport.read(Request("GET", path, path))
        return None if answer.status == 404 else answer.body

    async def serves(self, kind: Kind) -> bool:
        """Tell whether the API server knows a kind now; an absent CRD is an answer, not an error."""
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        found = await self.raw(root) or {}
        return any(resource.get("name") == kind.plural for resource in found.get("resources") or ())


def path_of(ref: Ref, subresource: str = "") -> str:
    """Return an object's path, or its collection's where the name is empty; every segment is quoted."""
    kind = ref.kind
    parts = ["apis", kind.group, kind.version] if kind.group else ["api", kind.version]
    if kind.namespaced and ref.namespace:
        parts += ["namespaces", ref.namespace]
    parts += [part for part in (kind.plural, ref.name, subresource) if part]
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _secret(kind: Kind) -> bool:
    return kind.group == "" and kind.name == "Secret"


def _typed(item: Object, kind: Kind) -> Object:
    """Items of a list come without their type; put it back, so that a listed object is like any other."""
    return {"apiVersion": kind.api_version, "kind": kind.name, **item}
