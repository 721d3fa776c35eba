"""What goes out to the administrator's endpoints: compensations and events, built and run together.

Nothing in here may end the operator or delay it: a part that breaks is logged and begins anew.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from agentrelease.edges.accounts import RevisionAccounts
from agentrelease.edges.action_logs import PodActionLogs
from agentrelease.edges.aftermath import CompensationRecorder
from agentrelease.edges.hooks import EndpointHooks
from agentrelease.edges.kinds import AGENT_RELEASE
from agentrelease.edges.sinks import Sink, Sinks
from agentrelease.engine.aftermath import Aftermath
from agentrelease.engine.compensating import Compensator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agentrelease.edges.endpoints import Endpoints
    from agentrelease.edges.events import EventWriter
    from agentrelease.edges.metrics import Metrics
    from agentrelease.engine.ports import Cluster, Releases
    from agentrelease.engine.store import Store

log = structlog.get_logger(__name__)
_PAUSE = 5.0
"""Seconds before a part that broke begins anew."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What the operator lends: its API server, its store, its clock, and whether it leads."""

    cluster: Cluster
    releases: Releases
    store: Store
    events: EventWriter
    metrics: Metrics
    leading: Callable[[], bool]
    clock: Callable[[], float]


def sinks_of(endpoints: Endpoints, origin: str, *, clock: Callable[[], float]) -> Sinks:
    """Return the file's sinks; ``origin`` begins the source of each event, ``clock`` is monotonic."""
    return Sinks((Sink(one, clock=clock) for one in endpoints.sinks), origin=origin)


class Outbound:
    """Sinks and compensations while ``run`` lives."""

    def __init__(
        self, endpoints: Endpoints, sinks: Sinks, inside: Inside, *, origin: str, namespaces: Sequence[str]
    ) -> None:
        self._sinks, self._store = sinks, inside.store
        self._logs = PodActionLogs(inside.cluster)
        self._hooks = EndpointHooks(endpoints.hooks, inside.cluster)
        outside = Aftermath(
            releases=inside.releases,
            accounts=RevisionAccounts(inside.cluster, namespaces),
            logs=self._logs,
            hooks=self._hooks,
            recorder=CompensationRecorder(inside.events, inside.metrics, sinks, origin=origin),
            active=self._active,
            leading=inside.leading,
            clock=inside.clock,
        )
        self._compensator = Compensator(outside)
        _publish(inside.metrics, sinks)

    async def run(self) -> None:
        """Run until cancelled."""
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [("compensations", self._compensator.run)]
        parts += [(f"sink {sink.name}", sink.run) for sink in self._sinks.sinks]
        try:
            async with asyncio.TaskGroup() as group:
                for name, part in parts:
                    group.create_task(_lasting(name, part), name=name)
        finally:
            await self._logs.close()
            await self._hooks.close()
            await self._sinks.close()

    def _active(self) -> list[str]:
        found = []
        for ref in self._store.refs(AGENT_RELEASE):
            known = self._store.get(ref)
            if known is not None and known.active:
                found.append(f"{ref.namespace}/{ref.name}")
        return found


async def _lasting(name: str, part: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await part()
        except Exception as error:  # a bug beside the safety path must not reach it
            log.exception("broke and begins anew", part=name, why=type(error).__name__)
        await asyncio.sleep(_PAUSE)


def _publish(metrics: Metrics, sinks: Sinks) -> None:
    def each(name: str, documentation: str, read: Callable[[Sink], float]) -> None:
        metrics.observe_each(
            f"sink_events_{name}", documentation, "sink", lambda: {s.name: read(s) for s in sinks.sinks}
        )

    each("sent", "CloudEvents that a sink has accepted since the start.", lambda sink: sink.sent)
    each("dropped", "CloudEvents that a sink will never have.", lambda sink: sink.dropped)
    each("waiting", "CloudEvents that a sink does not have yet.", lambda sink: sink.waiting)
