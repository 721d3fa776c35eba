"""Composition: the only place where the operator's parts are named together."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.edges import endpoints, kinds
from agentrelease.edges.events import EventWriter
from agentrelease.edges.halt import HaltSwitch
from agentrelease.edges.holding import HeldRevisions
from agentrelease.edges.kopf_app import KopfFeed
from agentrelease.edges.levers import discover
from agentrelease.edges.metrics import Metrics, publish
from agentrelease.edges.outbound import Inside, Outbound, sinks_of
from agentrelease.edges.recorder import DecisionRecorder, stream
from agentrelease.edges.releases import ClusterReleases
from agentrelease.edges.slots import Slots
from agentrelease.engine.guarding import Guardian
from agentrelease.engine.holding import Keeper
from agentrelease.engine.journal import Journal
from agentrelease.engine.leader import Leader
from agentrelease.engine.lease import Candidacy
from agentrelease.engine.lookout import Lookout
from agentrelease.engine.operation import Machinery, Operation, Rhythm
from agentrelease.engine.outside import Outside
from agentrelease.engine.ports import ClusterError, Ref
from agentrelease.engine.queue import Backoff, WorkQueue
from agentrelease.engine.rebuilding import Rebuilder
from agentrelease.engine.reconcile import Reconciler
from agentrelease.engine.store import Store
from agentrelease.engine.watchdog import Pace, Watchdog, Watched

if TYPE_CHECKING:
    from agentrelease.edges.cluster import ApiServer
    from agentrelease.edges.credentials import Credentials
    from agentrelease.edges.prometheus import Prometheus
    from agentrelease.engine.ports import Kind, Object
    from agentrelease.engine.watchdog import Wake
    from agentrelease.settings import Settings

__all__ = ["Parts", "StartError", "build", "served", "settle"]

WATCHED = (
    Watched(kinds.AGENT_RELEASE),
    Watched(kinds.GUARDRAIL_POLICY),
    Watched(kinds.CLUSTER_GUARDRAIL_POLICY),
    Watched(kinds.AGENT_INCIDENT),
    Watched(kinds.HTTP_ROUTE, status_matters=True, optional=True),
    Watched(kinds.VIRTUAL_SERVICE, optional=True),
    Watched(kinds.CONFIG_MAP, labels={"app.kubernetes.io/managed-by": "agentrelease-operator"}),
    Watched(
        kinds.FEATURE_FLAG, labels={"app.kubernetes.io/managed-by": "agentrelease-operator"}, optional=True
    ),
)
LONGEST_RETRY = 5.0
"""Seconds; what failed may have been a rollback, so no back-off grows beyond this."""

AFTER_SETTLING = 0.02
"""Seconds; a look that came too early would find the block before."""

LISTENING = 1.0
"""Seconds at most between two times that it is listened for what may not happen even once."""


class StartError(Exception):
    """The operator can't start; the text is one line for the person who starts it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the running operator is made of."""

    operation: Operation
    queue: WorkQueue[str]
    watchdog: Watchdog
    feed: KopfFeed
    leader: Leader
    events: EventWriter
    outbound: Outbound
    journal: Journal
    keeper: Keeper
    halt: HaltSwitch


def build(
    chosen: Settings,
    cluster: ApiServer,
    credentials: Credentials,
    watched: tuple[Watched, ...],
    prometheus: Prometheus,
    metrics: Metrics,
) -> Parts:
    """Put the parts together; raises EndpointsError and LeverError for a wrong configuration."""
    loop = asyncio.get_running_loop()
    releases = ClusterReleases(cluster)
    guardian = Guardian(releases, chosen.evaluation_interval)
    lookout = Lookout(prometheus, guardian)
    store = Store(clock=loop.time)
    queue: WorkQueue[str] = WorkQueue(
        clock=loop.time, random=random.random, backoff=Backoff(longest=LONGEST_RETRY)
    )
    identity = chosen.identity or f"{socket.gethostname()}-{os.getpid()}-{random.randrange(16**6):06x}"  # noqa: S311  a name, not a secret
    events = EventWriter(cluster, instance=identity, clock=loop.time)
    epoch = _Epoch()
    called = endpoints.read(chosen.endpoints_file)
    sinks = sinks_of(called, chosen.event_source, clock=loop.time)
    recorder = DecisionRecorder(events, metrics, sinks)
    journal = Journal(releases, recorder, stream)
    keeper = Keeper(
        releases,
        HeldRevisions(cluster, chosen.namespaces),
        recorder,
        leading=lambda: epoch() is not None,
        clock=loop.time,
    )
    halt = HaltSwitch(cluster, chosen.lease_namespace)
    outside = Outside(
        releases=releases,
        levers=discover(cluster),
        slots=Slots(cluster),
        guardian=guardian,
        recorder=recorder,
        lookout=lookout,
        rebuilder=Rebuilder(prometheus),
        journal=journal,
        keeper=keeper,
        epoch=epoch,
        clock=time.time,
        ordered=halt,
    )
    inside = Inside(
        cluster, releases, store, events, metrics, leading=lambda: epoch() is not None, clock=time.time
    )
    outbound = Outbound(called, sinks, inside, origin=chosen.event_source, namespaces=chosen.namespaces)
    rhythm = Rhythm(
        chosen.evaluation_interval,
        chosen.workers,
        settle=settle(chosen) + AFTER_SETTLING,
        listening=min(LISTENING, chosen.evaluation_interval / 4),
    )
    machinery = Machinery(
        Reconciler(outside),
        lookout,
        guardian,
        store,
        queue,
        recorder,
        loop.time,
        time.time,
        kinds.AGENT_RELEASE,
    )
    operation = Operation(machinery, rhythm)
    watchdog = Watchdog(
        cluster,
        store,
        watched,
        _waking(operation, keeper),
        namespaces=chosen.namespaces,
        clock=loop.time,
        pace=Pace(interval=chosen.relist_interval),
    )
    leader = Leader(
        cluster,
        Candidacy(
            Ref(kinds.LEASE, chosen.lease_namespace, chosen.lease_name),
            identity,
            lease_duration=chosen.lease_duration,
            renew_deadline=chosen.renew_deadline,
            retry_period=chosen.retry_period,
        ),
        clock=time.monotonic,
        random=random.random,
        floor=lambda: store.highest_epoch,
        informed=watchdog.listed,
    )
    epoch.leader = leader
    feed = KopfFeed(credentials, watched, watchdog.fed, namespaces=chosen.namespaces)
    seen = [item.kind for item in watched]
    publish(metrics, queue=queue, leader=leader, store=store, kinds=seen, events=events)
    return Parts(operation, queue, watchdog, feed, leader, events, outbound, journal, keeper, halt)


def _waking(operation: Operation, keeper: Keeper) -> Wake:
    """Tell each event to whom it concerns: an incident holds its revision and says nothing of a release."""

    def wake(kind: Kind, namespace: str, name: str, event: str, obj: Object) -> None:
        if kind != kinds.AGENT_INCIDENT:
            operation.wake(kind, namespace, name, event, obj)
            return
        about = obj.get("spec", {}).get("release", "")
        keeper.changed(f"{namespace}/{about}" if about else "")

    return wake


def settle(chosen: Settings) -> float:
    """Return how many seconds a sample is given to arrive before its block is read."""
    return min(max(0.05 * chosen.evaluation_interval, 0.15), 2.0)


class _Epoch:
    """Asks the leader, which is built after those who ask: it waits for the store that they fill."""

    def __init__(self) -> None:
        self.leader: Leader | None = None

    def __call__(self) -> int | None:
        return None if self.leader is None else self.leader.epoch


async def served(cluster: ApiServer) -> tuple[Watched, ...]:
    """Return what can be watched; our own kinds must be there."""
    found = []
    for item in WATCHED:
        try:
            served = await cluster.serves(item.kind)
        except ClusterError as error:
            raise StartError(f"the API server can't be reached: {error}") from None
        if served:
            found.append(item)
        elif not item.optional:
            raise StartError(
                f"the API server does not know {item.kind.name} {item.kind.api_version}; install crds/ first"
            )
    return tuple(found)
