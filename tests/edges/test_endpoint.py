"""Probes answer for this process alone, and metrics come and go with the releases they are about."""

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentrelease.edges.endpoint import Probes, serving
from agentrelease.edges.metrics import Metrics


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
