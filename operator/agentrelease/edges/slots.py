"""Loading a bundle into a slot, and seeing whether its pods have taken it.

A slot is a Deployment whose pods mount the ConfigMap ``<agent>-<slot>-bundle`` and learn their revision
from the pod template's annotation. The bundle is written first: a pod that carries the new revision's
name must not start with the old bundle. Nothing here touches traffic or flags. Where an agent has no slots,
its pods share one ConfigMap: see ``shared``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import (
    MANAGED_BY_LABEL,
    OPERATOR_NAME,
    RELEASE_LABEL,
    REVISION_ANNOTATION,
)
from agentrelease.core.situation import SlotState
from agentrelease.edges.claims import SLOT, blocked, claim
from agentrelease.edges.kinds import CONFIG_MAP, DEPLOYMENT
from agentrelease.edges.shared import SharedBundles
from agentrelease.engine.ports import Conflict, Missing, Ref, Refused

if TYPE_CHECKING:
    from agentrelease.engine.ports import Cluster, Object, Place

BUNDLE_KEY = "bundle.json"
TRIES = 10


class Slots:
    """The Deployments in which bundles run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shared = SharedBundles(cluster)

    async def load(self, place: Place, revision: str, bundle_json: bytes) -> None:
        """Give the slot a bundle; nothing is written where it has it already.

        Raises ``Missing`` where there is no Deployment, ``Refused`` where it is another release's slot,
        ``Conflict`` when somebody else never stops writing.
        """
        if place.slot is None:
            await self._shared.load(place, revision, bundle_json)
            return
        ref, agent = Ref(DEPLOYMENT, place.namespace, place.slot.deployment), place.agent
        about = f"slot {place.name} of {agent}"
        deployment = await self._free(ref, agent, about)
        await self._store(_bundle(place, bundle_json))
        for lost in range(TRIES):
            if _revision(deployment) == revision:
                return
            try:
                await self._cluster.merge(ref, _given(deployment, agent, revision))
            except Conflict:  # most often the Deployment's own controller, writing status
                if lost == TRIES - 1:
                    raise
                deployment = await self._free(ref, agent, about)
            else:
                return

    async def _free(self, ref: Ref, agent: str, about: str) -> Object:
        """Return the Deployment, which no other release claims."""
        deployment = await self._cluster.get(ref)
        if deployment is None:
            raise Missing(f"{ref} does not exist; {about} names it")
        other = await blocked(self._cluster, ref, deployment, (SLOT,), agent)
        if other:
            raise Refused(other)
        return deployment

    async def state(self, place: Place) -> SlotState:
        """Return which revision the slot was given, and whether all its pods run it."""
        if place.slot is None:
            return await self._shared.state(place)
        ref = Ref(DEPLOYMENT, place.namespace, place.slot.deployment)
        deployment = await self._cluster.get(ref)
        if deployment is None:
            return SlotState(None, available=False, problem=f"{ref} does not exist")
        problem = _not_available(deployment)
        return SlotState(_revision(deployment), available=not problem, problem=problem)

    async def _store(self, wanted: Object) -> None:
        ref = Ref(CONFIG_MAP, wanted["metadata"]["namespace"], wanted["metadata"]["name"])
        stored = await self._cluster.get(ref)
        if stored is None:
            await self._cluster.create(wanted)
            return
        data = stored.get("data") or {}
        if data.get(BUNDLE_KEY) != wanted["data"][BUNDLE_KEY]:
            # it may have been made beforehand, so that pods can mount it: only our key is written
            await self._cluster.replace(stored | {"data": data | wanted["data"]})


def _bundle(place: Place, bundle_json: bytes) -> Object:
    metadata = {
        "name": f"{place.agent}-{place.name}-bundle",
        "namespace": place.namespace,
        "labels": {MANAGED_BY_LABEL: OPERATOR_NAME, RELEASE_LABEL: place.agent},
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {BUNDLE_KEY: bundle_json.decode()},
    }


def _given(deployment: Object, agent: str, revision: str) -> Object:
    """Return the patch that claims the Deployment, as it was read, and names the revision to its pods."""
    patch: Object = {"metadata": {"resourceVersion": deployment["metadata"]["resourceVersion"]}}
    claim(patch, (SLOT,), agent)
    noted = {"metadata": {"annotations": {REVISION_ANNOTATION: revision}}}
    return patch | {"spec": {"template": noted}}


def _revision(deployment: Object) -> str | None:
    template = deployment["spec"]["template"].get("metadata") or {}
    found = (template.get("annotations") or {}).get(REVISION_ANNOTATION)
    return None if found is None else str(found)


def _not_available(deployment: Object) -> str:
    """Say why not all pods of the present template serve; empty when they do."""
    name = deployment["metadata"]["name"]
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return f"Deployment {name}: its controller has not seen the new template yet"
    if wanted < 1:
        return f"Deployment {name} is scaled to zero"
    counts = {key: status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")}
    if any(count != wanted for count in counts.values()) or status.get("unavailableReplicas", 0):
        said = ", ".join(f"{key} {count}" for key, count in counts.items())
        return f"Deployment {name}: {said}, but {wanted} wanted{_stuck(status)}"
    return ""


def _stuck(status: Object) -> str:
    conditions = status.get("conditions") or ()
    bad = [c for c in conditions if c["type"] in ("Progressing", "ReplicaFailure") and _is_bad(c)]
    return "".join(f"; {c.get('reason', '')}: {c.get('message', '')}" for c in bad)


def _is_bad(condition: Object) -> bool:
    return bool(condition["status"] == ("False" if condition["type"] == "Progressing" else "True"))
