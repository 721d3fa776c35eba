"""Who may move an object: of several releases that name the same one, the first claim holds.

A claim is written on the object itself, by the same guarded write that moves it, so two claimants can't
both succeed: the API server lets one of them through. The other finds it, is told whose it is, and neither
raises nor lowers there, because what stands there is not its own. A claim falls when its release is gone
or names something else.

Claims stand in annotations ``claim.agentrelease.dev/<what>: <release>``, where ``what`` is the Service of a
route's backend, or ``slot`` or ``flags`` for an object that can only be claimed as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import GROUP
from agentrelease.edges.kinds import AGENT_RELEASE
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentrelease.engine.ports import Cluster, Object

SLOT, FLAGS = "slot", "flags"

_PREFIX = f"claim.{GROUP}/"


def claimants(obj: Object, parts: Iterable[str], agent: str) -> dict[str, str]:
    """Return the other releases that claim these parts of an object, dead or alive, by part."""
    notes = obj["metadata"].get("annotations") or {}
    found = {part: notes.get(_PREFIX + part, agent) for part in parts}
    return {part: holder for part, holder in found.items() if holder != agent}


async def blocked(cluster: Cluster, ref: Ref, obj: Object | None, parts: Iterable[str], agent: str) -> str:
    """Say which living release holds one of these parts; empty when they are free or ours."""
    if obj is None:
        return ""
    for part, holder in sorted(claimants(obj, parts, agent).items()):
        release = await cluster.get(Ref(AGENT_RELEASE, ref.namespace, holder))
        if release is not None and _names(release, ref, part):
            what = "" if part in (SLOT, FLAGS) else f"Service {part} in "
            return f"{what}{ref} belongs to AgentRelease {holder}"
    return ""


def claim(obj: Object, parts: Iterable[str], agent: str) -> None:
    """Write the claims on an object that is about to be written; ``blocked`` must have said no."""
    claimed = {_PREFIX + part: agent for part in parts}
    if claimed:
        obj["metadata"]["annotations"] = (obj["metadata"].get("annotations") or {}) | claimed


def _names(release: Object, ref: Ref, part: str) -> bool:
    """Whether a release still names what it claimed."""
    delivery = release["spec"].get("delivery") or {}
    slots = (delivery.get("slots") or {}).values()
    if part == SLOT:
        return any(slot.get("deployment") == ref.name for slot in slots)
    if part == FLAGS:
        return ref.name in (delivery.get("flags") or {}).values()
    route = delivery.get("route") or {}
    owned = route.get("owned")
    made = owned.get("name", release["metadata"]["name"]) if owned else None
    routed = ref.name in (route.get("httpRoute"), route.get("virtualService"), made)
    return routed and any(slot.get("service") == part for slot in slots)
