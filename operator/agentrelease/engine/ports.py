"""What the engine needs from the outside, as small protocols.

The engine decides *when* and *in which order*; edges do the talking. Every protocol here has one
production implementation under ``edges/`` and is satisfied structurally, so nothing in the engine
imports a client library. Objects of the API server are plain JSON mappings at this border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agentrelease.api.bundle import Bundle
    from agentrelease.api.delivery import Slot
    from agentrelease.api.guardrail import GuardrailPolicySpec
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import ReleaseStatus
    from agentrelease.core.chain import Entry
    from agentrelease.core.decision import Decision
    from agentrelease.core.gates import Consent
    from agentrelease.core.recovery import Kept
    from agentrelease.core.series import Picked, Snapshot, Source, Stretch, Wanted
    from agentrelease.core.situation import SlotState

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
    """The API server, seven verbs. Reads are quorum reads, never from a cache."""

    async def get(self, ref: Ref) -> Object | None:
        """Return the object as it is now; ``None`` where there is none."""

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Object]:
        """Return all objects of a kind, in chunks behind the scenes."""

    async def heads(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Object]:
        """Return the metadata of all objects of a kind, and nothing else of them."""

    async def create(self, obj: Object) -> Object:
        """Create; raise ``Conflict`` when the name is taken."""

    async def replace(self, obj: Object, *, subresource: str = "") -> Object:
        """PUT the whole object; its resourceVersion must still be the stored one, else ``Conflict``."""

    async def merge(self, ref: Ref, patch: Object, *, subresource: str = "") -> Object:
        """Merge-patch; put ``metadata.resourceVersion`` into the patch to make a lost race a ``Conflict``."""

    async def delete(self, ref: Ref) -> None:
        """Delete in the background; no error where there is nothing."""


class Releases(Protocol):
    """The kinds of this product, read and written as models."""

    async def get(self, key: str) -> AgentRelease | None:
        """Return a release by ``namespace/name``; raises ``Unusable`` when it can't be understood."""

    async def write_status(self, release: AgentRelease, status: ReleaseStatus) -> AgentRelease:
        """Replace the status; ``Conflict`` when anything about the release changed since it was read."""

    async def set_finalizer(self, release: AgentRelease, *, present: bool) -> None:
        """Add or remove this operator's finalizer; ``Conflict`` as above."""

    async def record(self, release: AgentRelease, revision: str, digest: str) -> None:
        """Keep the bundle in the spec as a revision; nothing happens when it is kept already."""

    async def bundle(self, namespace: str, revision: str) -> Bundle | None:
        """Return the bundle of a revision, which never changes."""

    async def keep(self, namespace: str, revision: str, entries: Sequence[Entry]) -> None:
        """Copy decisions to a revision's status, and how it fares; ``Missing`` where there is none."""

    async def promoted(self, release: AgentRelease, revision: str) -> str | None:
        """Return the digest of a kept revision of this release that was promoted once, ``None`` of others."""

    async def kept(self, release: AgentRelease) -> Sequence[Kept]:
        """Return all kept revisions of a release and how they ended."""

    async def consents(self, namespace: str) -> Sequence[Consent]:
        """Return the approvals of a namespace; one that can't be understood is left out."""

    async def guardrails(self, release: AgentRelease) -> Sequence[GuardrailPolicySpec]:
        """Return the policies that a release names; raises ``Unusable`` when one is missing or wrong."""


class Unusable(Exception):
    """An object of ours that can't be used; the text is for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one of an agent's two bundles is: a slot, or without slots a place that all its pods read."""

    namespace: str
    agent: str
    name: str
    slot: Slot | None


class SlotLoader(Protocol):
    """The places where bundles run."""

    async def load(self, place: Place, revision: str, bundle_json: bytes) -> None:
        """Make the place hold the bundle; nothing happens when it does."""

    async def state(self, place: Place) -> SlotState:
        """Return which revision the place holds and whether it is available."""


class Evidence(Protocol):
    """The metrics source."""

    async def look(self, wanted: Iterable[Wanted], since: float | None) -> Snapshot:
        """Read counters; problems are in the answer, nothing is raised."""

    async def totals(self, picked: Iterable[Picked]) -> Mapping[tuple[Picked, Source], float]:
        """Return counters' values now, cheaply; what can't be read lacks, nothing is raised."""

    async def glance(self, metrics: Iterable[str], since: float) -> Snapshot:
        """Read counters from ``since`` until now, settled or not: some of it may still be on its way."""

    async def past(self, metrics: Iterable[str], stretch: Stretch) -> Snapshot:
        """Read one agent's counters over a stretch of the past; problems are in the answer."""


class Recorder(Protocol):
    """Where decisions are told: log, Events, metrics. Never on the safety path, never raises."""

    def decided(self, release: AgentRelease, decision: Decision, epoch: int) -> None:
        """Tell a decision that changed something or said something new."""

    def regained(self, release: AgentRelease, said: str) -> None:
        """Tell what became of evidence that a status had lost, as ``Reason: sentence``."""

    def failed(self, key: str, what: str, why: str) -> None:
        """Tell that something did not work and will be tried again."""

    def looked(self, key: str, seconds: float, result: str) -> None:
        """Tell how long one look took and how it ended."""

    def stands(self, release: AgentRelease) -> None:
        """Measure how a release stands, as it is stored."""

    def gone(self, key: str) -> None:
        """Forget a release that does not exist any more."""
