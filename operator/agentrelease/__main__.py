"""``python -m agentrelease``: settings → build → run, until stopped, blind, or no longer leading."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import structlog

from agentrelease import settings as administration
from agentrelease.composition import StartError, build, served, settle
from agentrelease.edges import endpoint, endpoints, logs
from agentrelease.edges.cluster import ApiServer
from agentrelease.edges.credentials import Credentials, CredentialsError
from agentrelease.edges.kopf_app import FeedError, KopfFeed
from agentrelease.edges.levers import LeverError
from agentrelease.edges.metrics import Metrics
from agentrelease.edges.prometheus import Prometheus
from agentrelease.engine.watchdog import BlindFeed, Watchdog

if TYPE_CHECKING:
    from agentrelease.composition import Parts
    from agentrelease.settings import Settings

log = structlog.get_logger("agentrelease")

FAREWELL = 5.0
"""Seconds that looks under way, and then the feed, are given to end by themselves."""


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
        watched = await served(cluster)
        prometheus = Prometheus(
            str(chosen.prometheus_url),
            grid=chosen.evaluation_interval,
            settle=settle(chosen),
            lookback=chosen.evidence_lookback,
            replicas=chosen.prometheus_replica_labels,
            bearer=chosen.prometheus_bearer_file,
            ca=chosen.prometheus_ca_file,
        )
        stack.push_async_callback(prometheus.close)
        metrics = Metrics()
        parts = build(chosen, cluster, credentials, watched, prometheus, metrics)
        await _run(parts, chosen, metrics, stack)


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


if __name__ == "__main__":
    sys.exit(main())
