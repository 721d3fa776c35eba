"""Bundles for pods without slots: one ConfigMap an agent, ``<agent>-bundles``, with a key for each revision.

The pods mount it as a directory and serve every revision that they find there as ``<revision>.json``; the
flags say which one a session gets. There are two places whose roles swap, as slots' do, so that stable's
bundle is there as long as it serves and the one before it until something new is loaded. Which place
holds what stands in annotations ``agentrelease.dev/place-<name>``.

Nothing but telemetry can say whether the pods have a bundle, so a state from here is ``silent``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import GROUP, MANAGED_BY_LABEL, OPERATOR_NAME, RELEASE_LABEL
from agentrelease.core.situation import SlotState
from agentrelease.edges.kinds import CONFIG_MAP
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from agentrelease.engine.ports import Cluster, Object, Place

_PLACE = f"{GROUP}/place-"


class SharedBundles:
    """The bundles that an agent's pods share."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def load(self, place: Place, revision: str, bundle_json: bytes) -> None:
        """Put a bundle into a place, in exchange for what it held; ``Conflict`` when somebody else wrote."""
        ref = _ref(place)
        stored = await self._cluster.get(ref)
        wanted = _with(stored or _fresh(ref, place), place, revision, bundle_json.decode())
        if stored is None:
            await self._cluster.create(wanted)
        elif wanted != stored:
            await self._cluster.replace(wanted)

    async def state(self, place: Place) -> SlotState:
        """Return which revision a place holds; whether pods have read it is another question."""
        ref = _ref(place)
        stored = await self._cluster.get(ref)
        revision = _places(stored).get(_PLACE + place.name) if stored else None
        if stored is None or revision is None or _key(revision) not in (stored.get("data") or {}):
            return SlotState(None, available=False, problem=f"{ref} has no bundle in place {place.name}")
        return SlotState(revision, available=True, silent=True)


def _with(obj: Object, place: Place, revision: str, bundle: str) -> Object:
    notes, mine = _places(obj), _PLACE + place.name
    elsewhere = {_key(held) for name, held in notes.items() if name.startswith(_PLACE) and name != mine}
    left = {_key(notes[mine])} - elsewhere if mine in notes else set()
    data = {key: text for key, text in (obj.get("data") or {}).items() if key not in left}
    metadata = obj["metadata"] | {"annotations": notes | {mine: revision}}
    return obj | {"metadata": metadata, "data": data | {_key(revision): bundle}}


def _places(obj: Object) -> dict[str, str]:
    return dict(obj["metadata"].get("annotations") or {})


def _key(revision: str) -> str:
    return f"{revision}.json"


def _ref(place: Place) -> Ref:
    return Ref(CONFIG_MAP, place.namespace, f"{place.agent}-bundles")


def _fresh(ref: Ref, place: Place) -> Object:
    labels = {MANAGED_BY_LABEL: OPERATOR_NAME, RELEASE_LABEL: place.agent}
    metadata = {"name": ref.name, "namespace": ref.namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
