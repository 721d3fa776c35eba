"""Stopping every agent there is: their flags, one by one, and the operator's switch for those to come.

The flags are what agents obey, so they are written here, and no operator is needed. The switch is the
ConfigMap that the operator reads (``edges/halt.py``): with it on, the operator raises nothing, halts what
this command could not reach, and gives a release that comes later no permission to begin with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentrelease.cli.halting import set_halt
from agentrelease.cli.orders import Impossible
from agentrelease.edges.flags.document import EVERYONE
from agentrelease.edges.halt import NAME
from agentrelease.edges.kinds import AGENT_RELEASE, CONFIG_MAP
from agentrelease.engine.ports import ClusterError, Conflict, Ref

if TYPE_CHECKING:
    from agentrelease.engine.ports import Cluster, Object


@dataclass(slots=True)
class Swept:
    """What became of the order, by ``namespace/name``; ``failed`` has the reason too."""

    changed: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


async def sweep(cluster: Cluster, namespace: str | None, *, halted: bool) -> Swept:
    """Halt every agent of a namespace (``None``: of all), or end such a halt; no failure stops the rest."""
    swept = Swept()
    for release in await cluster.list(AGENT_RELEASE, namespace):
        name = f"{release['metadata']['namespace']}/{release['metadata']['name']}"
        try:
            written = await set_halt(cluster, release, halted=halted, by=EVERYONE)
        except (ClusterError, Impossible) as error:
            swept.failed[name] = str(error)
            continue
        (swept.changed if written else swept.same).append(name)
    return swept


async def switch(cluster: Cluster, namespace: str, *, halted: bool, by: str, reason: str) -> Ref:
    """Turn the operator's switch, whoever else writes it, and return its address."""
    ref = Ref(CONFIG_MAP, namespace, NAME)
    data = {"halt": "on" if halted else "off", "by": by, "reason": reason}
    meta = {"name": ref.name, "namespace": ref.namespace}
    wanted: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    if await cluster.get(ref) is None:
        try:
            await cluster.create(wanted)
        except Conflict:  # somebody was faster; this order is newer
            await cluster.merge(ref, {"data": data})
        return ref
    await cluster.merge(ref, {"data": data})
    return ref
