"""Composition: settings → build → run. The only place where the parts are named together."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from agentrelease import settings as administration
from agentrelease.edges import endpoint, endpoints, kinds, logs
from agentrelease.edges.cluster import ApiServer
from agentrelease.edges.credentials import Credentials, CredentialsError
from agentrelease.edges.events import EventWriter
from agentrelease.edges.halt import HaltSwitch
from agentrelease.edges.holding import HeldRevisions
from agentrelease.edges.kopf_app import FeedError, KopfFeed
from agentrelease.edges.levers import LeverError, discover
from agentrelease.edges.metrics import Metrics, publish
from agentrelease.edges.outbound import Inside, Outbound, sinks_of
from agentrelease.edges.prometheus import Prometheus
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
from agentrelease.engine.watchdog import BlindFeed, Pace, Watchdog, Watched

if TYPE_CHECKING:
    from agentrelease.engine.ports import Kind, Object
    from agentrelease.engine.watchdog import Wake
    from agentrelease.settings import Settings

log = structlog.get_logger("agentrelease")

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

FAREWELL = 5.0
"""Seconds that looks under way, and then the feed, are given to end by themselves."""


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


def main() -> int:
    """Run until a signal comes. Exit code 0 after a clean end, 1 after a failure, 2 for wrong settings."""
    try:
        chosen = administration.read()
    except administration.SettingsError as error:
        sys.stderr.write(f"agentrelease-operator: {error}\n")
        return 2
    logs.configure(chosen.log_level, clock=time.monotonic)
    try:
        asyncio.run(run(chosen))
    except (
        StartError,
        endpoints.EndpointsError,
        CredentialsError,
        FeedError,
        LeverError,
        BlindFeed,
        OSError,
    ) as error:
        log.exception("operator ends", why=str(error))
        return 1
    return 0


async def run(chosen: Settings) -> None:
    """Build everything and run until stopped, blind, or no longer leading."""
    if chosen.prometheus_url is None:
        raise StartError("AGENTRELEASE_PROMETHEUS_URL is not set; without evidence nothing can be released")
    async with AsyncExitStack() as stack:
        credentials = Credentials.find(chosen.kubeconfig)
        cluster = await stack.enter_async_context(await ApiServer.connect(credentials))
        watched = await _served(cluster)
        prometheus = Prometheus(
            str(chosen.prometheus_url),
            grid=chosen.evaluation_interval,
            settle=_settle(chosen),
            lookback=chosen.evidence_lookback,
            replicas=chosen.prometheus_replica_labels,
            bearer=chosen.prometheus_bearer_file,
            ca=chosen.prometheus_ca_file,
        )
        stack.push_async_callback(prometheus.close)
        metrics = Metrics()
        parts = _build(chosen, cluster, credentials, watched, prometheus, metrics)
        await _run(parts, chosen, metrics, stack)


def _build(
    chosen: Settings,
    cluster: ApiServer,
    credentials: Credentials,
    watched: tuple[Watched, ...],
    prometheus: Prometheus,
    metrics: Metrics,
) -> Parts:
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
        settle=_settle(chosen) + AFTER_SETTLING,
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


def _settle(chosen: Settings) -> float:
    """Return how many seconds a sample is given to arrive before its block is read."""
    return min(max(0.05 * chosen.evaluation_interval, 0.15), 2.0)


class _Epoch:
    """Asks the leader, which is built after those who ask: it waits for the store that they fill."""

    def __init__(self) -> None:
        self.leader: Leader | None = None

    def __call__(self) -> int | None:
        return None if self.leader is None else self.leader.epoch


async def _run(parts: Parts, chosen: Settings, metrics: Metrics, stack: AsyncExitStack) -> None:
    probes = endpoint.Probes(
        sick=list,  # an outage elsewhere restarts nobody; a blind feed ends the process by itself
        unready=lambda: _unready(parts.watchdog),
        metrics=metrics.exposition,
    )
    port = await stack.enter_async_context(
        endpoint.serving(probes, host=chosen.listen_host, port=chosen.listen_port)
    )
    log.info("operator starts", port=port, interval=chosen.evaluation_interval)
    events = asyncio.create_task(parts.events.run(), name="events")
    outbound = asyncio.create_task(parts.outbound.run(), name="outbound")
    tasks = {
        asyncio.create_task(parts.watchdog.run(), name="watchdog"),
        asyncio.create_task(parts.operation.ticks(), name="ticks"),
        asyncio.create_task(parts.operation.alarms(), name="alarms"),
        asyncio.create_task(parts.operation.workers(), name="workers"),
        asyncio.create_task(parts.journal.run(), name="journal"),
        asyncio.create_task(parts.keeper.run(), name="keeper"),
        asyncio.create_task(parts.halt.run(parts.operation.wake_all), name="halt"),
    }
    async with parts.leader:
        waking = asyncio.create_task(_wake_when_leading(parts), name="waking")
        tasks |= {
            asyncio.create_task(parts.leader.lost(), name="leadership"),
            asyncio.create_task(parts.feed.run(), name="feed"),
            asyncio.create_task(_signalled(parts.feed), name="signal"),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
            await _end(parts, tasks, (events, outbound))
    names = sorted(task.get_name() for task in done)
    log.info("operator stops", because=names)
    for task in done:
        if not task.cancelled() and task.exception() is not None:
            raise StartError(f"{task.get_name()}: {task.exception()}") from task.exception()
    if "leadership" in names:
        raise StartError("this process no longer leads; it ends so that it starts anew as a standby")


async def _wake_when_leading(parts: Parts) -> None:
    """Releases that changed while nobody led were looked at in vain, and nothing else would wake them."""
    await parts.leader.acquired()
    parts.operation.wake_all()


async def _end(parts: Parts, tasks: set[asyncio.Task[None]], telling: tuple[asyncio.Task[None], ...]) -> None:
    """Let the looks that are under way finish, then the feed; what still runs after that is cancelled."""
    parts.queue.shut_down()
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await parts.queue.drained()
            await parts.journal.flush()
    parts.feed.stop.set()
    feeding = {task for task in tasks if task.get_name() == "feed"}
    await asyncio.wait(feeding, timeout=FAREWELL)
    for task in (*tasks, *telling):
        task.cancel()
    await asyncio.gather(*tasks, *telling, return_exceptions=True)


def _unready(watchdog: Watchdog) -> list[str]:
    if not watchdog.listed.is_set():
        return ["the cluster has not been listed yet"]
    return [watchdog.problem] if watchdog.problem else []


async def _signalled(feed: KopfFeed) -> None:
    """Return at SIGTERM or SIGINT. kopf takes both when it starts, so ours are set after it is ready."""
    await feed.ready.wait()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def _served(cluster: ApiServer) -> tuple[Watched, ...]:
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


if __name__ == "__main__":
    sys.exit(main())
