"""The kinds of this product on the API server, read and written as models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agentrelease.api.approval import ApprovalSpec
from agentrelease.api.bundle import Bundle
from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.release import AgentRelease
from agentrelease.api.revision import RevisionStatus
from agentrelease.api.status import LogHead, Outcome
from agentrelease.api.vocabulary import API_VERSION, FINALIZER, MANAGED_BY_LABEL, OPERATOR_NAME, RELEASE_LABEL
from agentrelease.core import bundle as identity
from agentrelease.core import copies
from agentrelease.core.fitting import fitted
from agentrelease.core.gates import Consent
from agentrelease.core.recovery import Kept
from agentrelease.edges import kinds
from agentrelease.engine.ports import Cluster, Conflict, Missing, Ref, Unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.release import GuardrailRef
    from agentrelease.api.status import ReleaseStatus
    from agentrelease.core.chain import Entry
    from agentrelease.engine.ports import Object


class ClusterReleases:
    """Reads are quorum reads; every write of a status carries the resourceVersion that was read."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._bundles: dict[tuple[str, str], Bundle] = {}  # revisions never change, so they may be kept

    async def get(self, key: str) -> AgentRelease | None:
        namespace, _, name = key.partition("/")
        obj = await self._cluster.get(Ref(kinds.AGENT_RELEASE, namespace, name))
        if obj is None:
            return None
        try:
            return AgentRelease.from_object(obj)
        except ValidationError as error:
            raise Unusable(_sentence(error)) from None

    async def write_status(self, release: AgentRelease, status: ReleaseStatus) -> AgentRelease:
        status = fitted(status)
        obj = {
            "apiVersion": API_VERSION,
            "kind": "AgentRelease",
            "metadata": {
                "name": release.name,
                "namespace": release.namespace,
                "uid": release.uid,
                "resourceVersion": release.resource_version,
            },
            "spec": release.spec.to_object(),
            "status": status.to_object(),
        }
        written = await self._cluster.replace(obj, subresource="status")
        version = written["metadata"]["resourceVersion"]
        return release.model_copy(update={"status": status, "resource_version": version})

    async def set_finalizer(self, release: AgentRelease, *, present: bool) -> None:
        others = [name for name in release.finalizers if name != FINALIZER]
        wanted = [*others, FINALIZER] if present else others
        patch: dict[str, Any] = {
            "metadata": {"finalizers": wanted, "resourceVersion": release.resource_version}
        }
        await self._cluster.merge(Ref(kinds.AGENT_RELEASE, release.namespace, release.name), patch)

    async def record(self, release: AgentRelease, revision: str, digest: str) -> None:
        stable = release.status.stable
        parent = await self.bundle(release.namespace, stable.revision) if stable else None
        spec: Object = {
            "release": release.name,
            "digest": digest,
            "bundle": release.spec.bundle.to_object(),
            "layers": identity.layer_digests(release.spec.bundle),
        }
        if stable and parent is not None:
            changed = identity.changes(parent, release.spec.bundle)
            spec |= {"parent": stable.revision, "changes": [change.to_object() for change in changed]}
        obj = {
            "apiVersion": API_VERSION,
            "kind": "AgentRevision",
            "metadata": {
                "name": revision,
                "namespace": release.namespace,
                "labels": {RELEASE_LABEL: release.name, MANAGED_BY_LABEL: OPERATOR_NAME},
                "ownerReferences": [owner_of(release)],
            },
            "spec": spec,
        }
        try:
            await self._cluster.create(obj)
        except Conflict:  # the same bundle is the same revision
            await self._adopt(release, Ref(kinds.AGENT_REVISION, release.namespace, revision))

    async def _adopt(self, release: AgentRelease, ref: Ref) -> None:
        """Make a kept revision this release's own; ``Conflict`` while it is on its way out.

        It may be of an earlier release of the same name, with which it would go.
        """
        stored = await self._cluster.get(ref)
        if stored is None or "deletionTimestamp" in stored["metadata"]:
            raise Conflict(f"{ref} is being deleted; it is made anew as soon as it is gone")
        owner, meta = owner_of(release), stored["metadata"]
        if meta.get("ownerReferences") != [owner]:
            changed = {"ownerReferences": [owner], "resourceVersion": meta["resourceVersion"]}
            await self._cluster.merge(ref, {"metadata": changed})

    async def bundle(self, namespace: str, revision: str) -> Bundle | None:
        known = self._bundles.get((namespace, revision))
        if known is not None:
            return known
        obj = await self._cluster.get(Ref(kinds.AGENT_REVISION, namespace, revision))
        if obj is None:
            return None
        try:
            found = Bundle.model_validate(obj["spec"]["bundle"])
        except (ValidationError, KeyError):
            return None  # a revision that this version can't read grants nothing
        self._bundles[namespace, revision] = found
        return found

    async def promoted(self, release: AgentRelease, revision: str) -> str | None:
        obj = await self._cluster.get(Ref(kinds.AGENT_REVISION, release.namespace, revision))
        if obj is None or obj.get("spec", {}).get("release") != release.name:
            return None
        once = _revision_status(obj).outcome == Outcome.PROMOTED
        return str(obj["spec"].get("digest")) if once else None

    async def kept(self, release: AgentRelease) -> Sequence[Kept]:
        labels = {RELEASE_LABEL: release.name}
        listed = await self._cluster.list(kinds.AGENT_REVISION, release.namespace, labels)
        return [_kept(obj) for obj in listed if obj["spec"].get("release") == release.name]

    async def keep(self, namespace: str, revision: str, entries: Sequence[Entry]) -> None:
        ref = Ref(kinds.AGENT_REVISION, namespace, revision)
        obj = await self._cluster.get(ref)
        if obj is None:
            raise Missing(f"{ref} does not exist")
        status = _revision_status(obj)
        for entry in entries:
            status = copies.with_entry(status, revision, entry, copies.room_beside(obj))
        await self._cluster.replace(obj | {"status": status.to_object()}, subresource="status")

    async def consents(self, namespace: str) -> Sequence[Consent]:
        found = []
        for obj in await self._cluster.list(kinds.AGENT_APPROVAL, namespace):
            try:
                spec = ApprovalSpec.model_validate(obj["spec"])
            except ValidationError:
                continue  # what can't be read is no consent
            found.append(
                Consent(
                    name=obj["metadata"]["name"],
                    release=spec.release,
                    digest=spec.digest,
                    leaves=spec.from_ or "",
                    enters=spec.to,
                    approver=spec.approver,
                    expires=spec.expires.timestamp(),
                )
            )
        return found

    async def guardrails(self, release: AgentRelease) -> Sequence[GuardrailPolicySpec]:
        return [await self._policy(release.namespace, ref) for ref in release.spec.guardrails]

    async def _policy(self, namespace: str, ref: GuardrailRef) -> GuardrailPolicySpec:
        if ref.policy is not None:
            address = Ref(kinds.GUARDRAIL_POLICY, namespace, ref.policy)
        else:
            address = Ref(kinds.CLUSTER_GUARDRAIL_POLICY, "", ref.cluster_policy or "")
        obj = await self._cluster.get(address)
        if obj is None:
            raise Unusable(f"spec.guardrails names {address.kind.name} {address.name}, which does not exist")
        try:
            return GuardrailPolicySpec.model_validate(obj["spec"])
        except ValidationError as error:
            raise Unusable(f"{address.kind.name} {address.name}: {_sentence(error)}") from None


def owner_of(release: AgentRelease) -> Object:
    """Return the reference by which a revision goes when its release does, unless somebody holds it."""
    return {"apiVersion": API_VERSION, "kind": "AgentRelease", "name": release.name, "uid": release.uid}


def _kept(obj: Object) -> Kept:
    status = _revision_status(obj)
    newest = max(status.decisions, key=lambda one: one.sequence, default=None)
    return Kept(
        revision=obj["metadata"]["name"],
        digest=str(obj["spec"].get("digest", "")),
        outcome=status.outcome,
        reason=status.reason,
        ended_at=status.ended_at,
        head=LogHead(id=newest.id[:63], sequence=newest.sequence, hash=newest.hash, at=newest.at)
        if newest
        else None,
    )


def _revision_status(obj: Object) -> RevisionStatus:
    try:
        return RevisionStatus.model_validate(obj.get("status") or {})
    except ValidationError:
        return RevisionStatus()  # a copy that can't be read is begun anew; the stream has everything


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
