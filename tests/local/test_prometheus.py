"""The local Prometheus is the real one, finds pods through the API server and knows what is whose."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from kubernetes import client
from prometheus_client import CollectorRegistry, Counter, start_http_server

from agentrelease.local import prometheus
from agentrelease.local.discovery import target_of
from agentrelease.local.ports import Ports
from agentrelease.local.processes import Died, Processes
from agentrelease.local.prometheus import Scraping

BOUND = 180


@pytest.fixture
def exporter():
    """A metrics endpoint with one counter; gives its port."""
    registry = CollectorRegistry()
    Counter("tasks", "Tasks.", ["release"], registry=registry).labels("support-1").inc(3)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


async def sample_of(url, query):
    """The first sample that the query finds, once it finds one."""
    async with httpx.AsyncClient(base_url=url) as api, asyncio.timeout(BOUND):
        while True:
            answer = await api.get("/api/v1/query", params={"query": query})
            if found := answer.raise_for_status().json()["data"]["result"]:
                return found[0]
            await asyncio.sleep(0.1)


async def test_an_annotated_pod_is_scraped_and_its_series_say_whose_it_is(
    control_plane, admin, namespace, exporter, tmp_path
):
    space = namespace()
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(exporter)}
    pod = {
        "metadata": {"name": "agent", "annotations": annotations, "labels": {"release": "of-helm"}},
        "spec": {"containers": [{"name": "agent", "image": "agent"}]},
    }
    core = client.CoreV1Api(admin)
    core.create_namespaced_pod(space, pod)
    running = {"status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    core.patch_namespaced_pod_status("agent", space, running)

    async with Processes() as processes:
        with Ports() as ports:
            scraping = Scraping(control_plane.kubeconfig, [space])
            async with prometheus.serve(processes, ports, tmp_path / "prometheus", scraping) as server:
                sample = await sample_of(server.url, "tasks_total")
    assert sample["value"][1] == "3"
    expected = {"namespace": space, "pod": "agent", "release": "support-1", "pod_label_release": "of-helm"}
    assert expected.items() <= sample["metric"].items()


async def test_a_fixed_target_is_scraped_too(exporter, tmp_path):
    async with Processes() as processes:
        with Ports() as ports:
            scraping = Scraping(targets={"operator": [f"127.0.0.1:{exporter}"]})
            async with prometheus.serve(processes, ports, tmp_path, scraping) as server:
                sample = await sample_of(server.url, "tasks_total")
    assert sample["metric"]["job"] == "operator"


async def test_a_start_that_fails_shows_the_end_of_the_log(tmp_path):
    async with Processes() as processes:
        with Ports() as ports, pytest.raises(Died, match="not a valid duration string"):
            async with prometheus.serve(processes, ports, tmp_path, Scraping(interval="soon")):
                pass


POD = {
    "metadata": {
        "name": "agent-1",
        "namespace": "support",
        "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        "labels": {"app.kubernetes.io/name": "agent"},
    },
    "status": {"phase": "Running", "podIP": "127.2.0.1"},
}


def test_a_pod_is_found_at_its_address_and_annotated_port():
    assert target_of(POD) == {
        "targets": ["127.2.0.1:8080"],
        "labels": {
            "namespace": "support",
            "pod": "agent-1",
            "pod_label_app_kubernetes_io_name": "agent",
            "__metrics_path__": "/metrics",
        },
    }


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {**POD["metadata"], "annotations": {"prometheus.io/port": "8080"}}},
        {"metadata": {**POD["metadata"], "annotations": {"prometheus.io/scrape": "true"}}},
        {"status": {"phase": "Running"}},
        {"status": {"phase": "Failed", "podIP": "127.2.0.1"}},
    ],
    ids=["not asked for", "without a port", "without an address", "ended"],
)
def test_a_pod_that_cannot_answer_is_no_target(change):
    assert target_of({**POD, **change}) is None
