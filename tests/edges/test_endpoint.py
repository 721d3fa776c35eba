"""Probes answer for this process alone, and metrics come and go with the releases they are about."""

import asyncio

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.memory_cluster import MemoryCluster

from agentrelease.edges.endpoint import Probes, serving
from agentrelease.edges.events import Budget, EventWriter, Severity, Told
from agentrelease.edges.kinds import AGENT_RELEASE, LEASE
from agentrelease.edges.metrics import Metrics, publish
from agentrelease.engine.leader import Leader
from agentrelease.engine.lease import Candidacy
from agentrelease.engine.ports import Ref
from agentrelease.engine.queue import WorkQueue
from agentrelease.engine.store import Store


async def ask(port, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


def samples(metrics):
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


async def test_a_probe_says_ok_or_every_problem():
    problems = []
    probes = Probes(sick=list, unready=lambda: problems, metrics=bytes)
    async with serving(probes, host="127.0.0.1", port=0) as port:
        assert await ask(port, "/readyz") == (200, "ok\n")
        problems += ["the cluster has not been listed yet", "no leader"]
        assert await ask(port, "/readyz") == (503, "the cluster has not been listed yet\nno leader\n")
        assert await ask(port, "/healthz") == (200, "ok\n")


async def test_metrics_are_served_as_prometheus_reads_them():
    metrics = Metrics()
    metrics.reconciles.labels("ok").inc()
    probes = Probes(sick=list, unready=list, metrics=metrics.exposition)
    async with serving(probes, host="127.0.0.1", port=0) as port:
        status, text = await ask(port, "/metrics")
    assert status == 200
    assert 'agentrelease_operator_reconciles_total{result="ok"} 1.0' in text


async def test_a_port_that_is_taken_is_an_error_at_the_start():
    probes = Probes(sick=list, unready=list, metrics=bytes)
    async with serving(probes, host="127.0.0.1", port=0) as port:
        with pytest.raises(OSError, match=str(port)):
            async with serving(probes, host="127.0.0.1", port=port):
                pass


def test_numbers_are_read_at_the_scrape():
    metrics, length, ages = Metrics(), [3], {"AgentRelease": 1.5}
    metrics.observe("queue_length", "Keys waiting.", lambda: length[0])
    metrics.observe_each("feed_age_seconds", "Since the feed spoke.", "kind", lambda: ages)
    assert samples(metrics)["agentrelease_operator_queue_length",] == 3
    length[0], ages["HTTPRoute"] = 4, 9.0
    assert samples(metrics)["agentrelease_operator_queue_length",] == 4
    assert samples(metrics)["agentrelease_operator_feed_age_seconds", "HTTPRoute"] == 9


async def test_what_the_running_parts_know_of_themselves_is_published():
    clock = asyncio.get_running_loop().time
    cluster, metrics, store = MemoryCluster(), Metrics(), Store(clock=clock)
    queue = WorkQueue(clock=clock, random=lambda: 0.5)
    candidacy = Candidacy(Ref(LEASE, "default", "operator"), "a")
    events = EventWriter(cluster, instance="a", clock=clock, budget=Budget(burst=0))
    events.tell(
        Told(Ref(AGENT_RELEASE, "shop", "support"), "u", Severity.NORMAL, "Promoted", "Promote", "well")
    )
    store.relisted(AGENT_RELEASE, None, [], asked=clock())
    queue.add("shop/support")
    async with Leader(cluster, candidacy, clock=clock, random=lambda: 0.5) as leader:
        kinds = (AGENT_RELEASE, LEASE)
        publish(metrics, queue=queue, leader=leader, store=store, kinds=kinds, events=events)
        assert samples(metrics)["agentrelease_operator_leading",] == 0
        await leader.acquired()
        found = samples(metrics)
    names = ("leading", "epoch", "queue_ready", "queue_waiting", "queue_processing", "events_dropped")
    assert [found[f"agentrelease_operator_{name}",] for name in names] == [1, 1, 1, 0, 0, 1]
    assert found["agentrelease_operator_feed_age_seconds", "AgentRelease"] >= 0
    assert ("agentrelease_operator_feed_age_seconds", "Lease") not in found


def test_the_series_of_a_release_go_with_it_and_the_others_stay():
    metrics = Metrics()
    for release in ("gone", "stays"):
        metrics.decisions.labels("shop", release, "raise").inc()
        metrics.weight.labels("shop", release, "live").set(5)
        metrics.evaluated.labels("shop", release).set(1)
    metrics.forget("shop", "gone")
    metrics.forget("shop", "never-there")
    names = {labels for _, *labels in samples(metrics) for labels in labels}
    assert "stays" in names
    assert "gone" not in names


def test_two_operators_in_one_process_do_not_share_their_metrics():
    one, other = Metrics(), Metrics()
    one.reconciles.labels("ok").inc()
    assert ("agentrelease_operator_reconciles_total", "ok") not in samples(other)
