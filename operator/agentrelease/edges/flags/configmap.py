"""Flags in a ConfigMap that agents mount as a directory: one key per agent, ``<agent>.flagd.json``.

Other keys belong to others and stay as they are. The ConfigMap is never deleted, because an evaluator
whose file is gone keeps what it read last: only a low value revokes.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from agentrelease.api.vocabulary import MANAGED_BY_LABEL, OPERATOR_NAME, RELEASE_LABEL
from agentrelease.edges.fence import Fence
from agentrelease.edges.flags import stored
from agentrelease.edges.flags.document import text, version_of
from agentrelease.edges.kinds import CONFIG_MAP
from agentrelease.engine.levers import Reading
from agentrelease.engine.ports import Ref, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Cluster, Object


class ConfigMapFlags:
    """The lever on what agents may do, for agents that read a mounted file."""

    name = "configmap"

    def __init__(self, cluster: Cluster, *, jitter: Callable[[], float] = random.random) -> None:
        self._fence = Fence(cluster, jitter=jitter)
        self._cluster = cluster
        self._written: dict[Ref, int] = {}  # so that versions grow even when a document was destroyed

    async def read(self, placement: Placement) -> Reading:
        """Return what the document allows anybody but stable; no exposure where there is no document."""
        obj = await self._fence.read(_ref(placement), placement.agent)
        if obj is None or _key(placement) not in (obj.get("data") or {}):
            return Reading()
        return stored.reading(obj, _document(obj, placement), placement)

    async def raise_(self, placement: Placement, epoch: int) -> None:
        """Write the document and its epoch, if nobody wrote since ``read``."""
        await self._fence.raise_(_ref(placement), placement, epoch, lambda obj: self._edit(obj, placement))

    async def lower(self, placement: Placement) -> None:
        """Write the document whoever else writes; a namespace that is going away needs none."""
        try:
            await self._fence.lower(_ref(placement), placement, lambda obj: self._edit(obj, placement))
        except Refused as error:
            if "being terminated" not in str(error):
                raise

    async def confirm(self, placement: Placement) -> str | None:
        """Say that the stored document is not the placement's, or ``None``."""
        ref = _ref(placement)
        obj = await self._cluster.get(ref)
        if obj is None:
            return f"{ref} does not exist"
        return stored.difference(ref, _document(obj, placement), placement)

    def _edit(self, obj: Object | None, placement: Placement) -> Object:
        ref, key = _ref(placement), _key(placement)
        found = _document(obj, placement)
        document = stored.amend(found, placement, self._written.get(ref, 0))
        self._written[ref] = max(version_of(document), self._written.get(ref, 0))
        obj = obj or _fresh(placement)
        # Events come only from objects with these labels; a person's ConfigMap gets them if it has none.
        obj["metadata"]["labels"] = _labels(placement) | (obj["metadata"].get("labels") or {})
        if document != found:
            obj["data"] = (obj.get("data") or {}) | {key: text(document)}
        return obj


def _ref(placement: Placement) -> Ref:
    return Ref(CONFIG_MAP, placement.namespace, placement.config_map)


def _key(placement: Placement) -> str:
    return f"{placement.agent}.flagd.json"


def _document(obj: Object | None, placement: Placement) -> Any:
    """Return the stored JSON; ``None`` where there is none or it isn't JSON, which is nobody's document."""
    found = ((obj or {}).get("data") or {}).get(_key(placement))
    if found is None:
        return None
    try:
        return json.loads(found)
    except (ValueError, RecursionError):
        return None


def _labels(placement: Placement) -> dict[str, str]:
    return {MANAGED_BY_LABEL: OPERATOR_NAME, RELEASE_LABEL: placement.agent}


def _fresh(placement: Placement) -> Object:
    """Return a new ConfigMap, owned by the release so that it goes when the release does."""
    metadata: Object = {"name": placement.config_map, "namespace": placement.namespace}
    if placement.owner:
        # blockOwnerDeletion would let the flags hold up the deletion of their release
        owner = {key: value for key, value in placement.owner.items() if key != "blockOwnerDeletion"}
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
