"""What the engine needs from the outside, as small protocols.

The engine decides *when* and *in which order*; edges do the talking. Every protocol here has one
production implementation under ``edges/`` and is satisfied structurally, so nothing in the engine
imports a client library. Objects of the API server are plain JSON mappings at this border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource type as the API server addresses it."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """``group/version``, or just the version for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class Ref:
    """One object's address."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.name} {self.namespace}/{self.name}"


class ClusterError(Exception):
    """The API server did not do what was asked.

    ::

        ClusterError
        ├── Conflict      409: somebody wrote in between; read again and decide again
        ├── Refused       400/403/422: the request itself is wrong or not allowed; retrying is no use
        ├── Missing       404 on a write: the object or its kind is gone
        └── Unavailable   429, 5xx, time-out, connection: nothing is known; try again later
    """


class Conflict(ClusterError): ...


class Refused(ClusterError): ...


class Missing(ClusterError): ...


class Unavailable(ClusterError):
    """Carries ``retry_after`` in seconds when the server asked for a pause."""

    retry_after: float | None = None


class Cluster(Protocol):
    """The API server, five verbs and an event. Reads are quorum reads, never from a cache."""

    async def get(self, ref: Ref) -> Object | None:
        """Return the object as it is now; ``None`` where there is none."""

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Object]:
        """Return all objects of a kind, in chunks behind the scenes."""

    async def create(self, obj: Object) -> Object:
        """Create; raise ``Conflict`` when the name is taken."""

    async def replace(self, obj: Object, *, subresource: str = "") -> Object:
        """PUT the whole object; its resourceVersion must still be the stored one, else ``Conflict``."""

    async def merge(self, ref: Ref, patch: Object, *, subresource: str = "") -> Object:
        """Merge-patch; put ``metadata.resourceVersion`` into the patch to make a lost race a ``Conflict``."""

    async def delete(self, ref: Ref) -> None:
        """Delete in the background; no error where there is nothing."""
