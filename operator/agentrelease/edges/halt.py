"""The operator-wide halt: one ConfigMap, ``agentrelease-halt``, beside the operator's own Lease.

::

    data: {halt: "on" | "off", reason: "…", by: "…"}

A person writes it with any client. ``on`` stops every agent that this operator serves: it turns the kill
switch in each release's flags, and raises nothing. ``off`` lets it take back what it halted itself, never
what a person halted. A ConfigMap that is missing or says neither orders nothing: what the operator has
halted stays halted, because a deletion is nobody's word that it is safe again. Any other text means ``on``.

It is read once a second, not watched: one small object, whatever namespaces are served. What was read last
holds while the API server can't be asked; before the first answer nothing is raised.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentrelease.edges.kinds import CONFIG_MAP
from agentrelease.engine.halting import Order
from agentrelease.engine.ports import ClusterError, Ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.engine.ports import Cluster, Object

NAME = "agentrelease-halt"
EVERY = 1.0
"""Seconds between two reads."""

LONGEST = 300
"""Characters of a reason that are told."""


class HaltSwitch:
    """What the ConfigMap says, as it was read last."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._ref = Ref(CONFIG_MAP, namespace, NAME)
        self._said: Order | None = None
        self._unread = f"{self._ref} has not been read yet"

    def __call__(self) -> Order:
        """Return what is ordered for all agents."""
        return self._said or Order(None, self._unread)

    async def look(self) -> bool:
        """Read the ConfigMap once; returns whether it says something else than before."""
        try:
            obj = await self._cluster.get(self._ref)
        except ClusterError as error:
            self._unread = f"{self._ref}, which may halt all agents, can't be read: {error}"
            return False
        before, self._said = self._said, order_of(obj)
        return before != self._said

    async def run(self, changed: Callable[[], None]) -> None:
        """Look for ever, and call ``changed`` for every change."""
        while True:
            if await self.look():
                changed()
            await asyncio.sleep(EVERY)


def order_of(obj: Object | None) -> Order:
    """Return what a ConfigMap orders."""
    data = (obj or {}).get("data") or {}
    said = data.get("halt")
    if said is None:
        return Order(None)
    if said.strip().lower() == "off":
        return Order(halt=False)
    by, reason = (" ".join(str(data.get(key, "")).split())[:LONGEST] for key in ("by", "reason"))
    who = f"{by} halted all agents" if by else "all agents are halted"
    return Order(halt=True, why=f"{who}: {reason}" if reason else who)
