"""Pods of the real API server, its Deployments and Jobs, run as processes of this machine."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import pytest
from tests.support.gateway import eventually

from agentrelease.local.children import end, spawn
from agentrelease.local.containers import RestartPauses
from agentrelease.local.kubeapi import KubeApi, collection
from agentrelease.local.node import Node

SERVER = """
import http.server, os, pathlib, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = {"/release": os.environ.get("AGENT_RELEASE", ""), "/pid": str(os.getpid())}
        if self.path in known:
            status, body = 200, known[self.path]
        elif self.path == "/ready":
            status, body = (503 if pathlib.Path("unready").exists() else 200), "?"
        elif self.path == "/unready":
            pathlib.Path("unready").touch(); status, body = 200, "ok"
        elif self.path == "/crash":
            os._exit(7)
        else:
            status, body = 200, pathlib.Path(os.environ["BUNDLE"]).read_text()
        self.send_response(status); self.end_headers(); self.wfile.write(body.encode())
    def log_message(self, *_): pass
def stop(*_):
    print("asked to stop", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""


class Cluster:
    """One namespace and the node that runs its Pods."""

    def __init__(self, api, namespace, node, http):
        self.api, self.namespace, self.node, self.http = api, namespace, node, http

    async def create(self, api_version, kind, plural, name, **body):
        meta = body.pop("metadata", {}) | {"name": name}
        typed = {"apiVersion": api_version, "kind": kind, "metadata": meta} | body
        return await self.api.create(collection(api_version, plural, self.namespace), typed)

    async def pod(self, name, script, **spec):
        container = {"name": "it", "image": "none", "command": ["python", "-c", script]}
        container |= spec.pop("container", {})
        spec = {
            "restartPolicy": "Never",
            "containers": [container],
            "terminationGracePeriodSeconds": 10,
        } | spec
        return await self.create("v1", "Pod", "pods", name, spec=spec)

    async def get(self, plural, name, api_version="v1"):
        return await self.api.get(f"{collection(api_version, plural, self.namespace)}/{name}")

    async def until(self, what, condition, name, plural="pods", api_version="v1"):
        """Wait until the condition holds for the object, and give it."""

        async def look():
            found = await self.get(plural, name, api_version)
            return found if condition(found) else None

        return await eventually(look, what)

    async def pods(self, **labels):
        items = (await self.api.get(collection("v1", "pods", self.namespace)))["items"]
        return [pod for pod in items if labels.items() <= pod["metadata"].get("labels", {}).items()]

    async def gone(self, name):
        async def absent():
            return not [pod for pod in await self.pods() if pod["metadata"]["name"] == name]

        await eventually(absent, f"Pod {name} is gone")

    async def ask(self, pod, path="/"):
        async with self.http.get(f"http://{pod['status']['podIP']}:8080{path}") as answer:
            return await answer.text()


@pytest.fixture
async def cluster(control_plane, namespace):
    here, pauses = namespace(), RestartPauses(first=0.05, longest=0.2)
    async with (
        KubeApi(control_plane.kubeconfig) as api,
        Node(control_plane.kubeconfig, namespaces=[here], pauses=pauses) as node,
        aiohttp.ClientSession() as http,
    ):
        yield Cluster(api, here, node, http)


def server(**container):
    env = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "BUNDLE", "value": "/etc/bundle/bundle.json"},
        {
            "name": "AGENT_RELEASE",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['agentrelease.dev/revision']"}},
        },
    ]
    return {
        "env": env,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {
            "httpGet": {"port": "http", "path": "/ready"},
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
        "volumeMounts": [{"name": "bundle", "mountPath": "/etc/bundle"}],
    } | container


BUNDLE = [{"name": "bundle", "configMap": {"name": "bundle"}}]


async def serve(cluster, **spec):
    """A serving Pod whose bundle says "one", ready."""
    await cluster.create("v1", "ConfigMap", "configmaps", "bundle", data={"bundle.json": "one"})
    await cluster.pod("server", SERVER, container=server(), volumes=BUNDLE, **spec)
    return await cluster.until("the server is ready", is_ready, "server")


def is_ready(pod):
    return {"Ready": "True"}.items() <= {
        c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])
    }.items()


def phase_is(wanted):
    return lambda pod: pod.get("status", {}).get("phase") == wanted


def first(pod):
    return pod["status"]["containerStatuses"][0]


def alive(pid):
    return Path(f"/proc/{pid}").exists()


# Serving


async def test_a_deployment_becomes_available_and_a_new_revision_replaces_its_pods(cluster):
    await cluster.create("v1", "ConfigMap", "configmaps", "bundle", data={"bundle.json": "one"})
    container = {"name": "it", "image": "none", "command": ["python", "-c", SERVER]} | server()
    template = {
        "metadata": {"labels": {"slot": "green"}, "annotations": {"agentrelease.dev/revision": "support-1"}},
        "spec": {"containers": [container], "volumes": BUNDLE, "terminationGracePeriodSeconds": 5},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"slot": "green"}}, "template": template}
    await cluster.create("apps/v1", "Deployment", "deployments", "green", spec=spec)

    def available(deployment):
        status = deployment.get("status", {})
        seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
        return seen and status.get("updatedReplicas") == status.get("availableReplicas") == 2

    await cluster.until("two replicas are available", available, "green", "deployments", "apps/v1")
    pods = await cluster.pods(slot="green")
    assert len({pod["status"]["podIP"] for pod in pods}) == 2
    assert {await cluster.ask(pod, "/release") for pod in pods} == {"support-1"}

    template["metadata"]["annotations"] = {"agentrelease.dev/revision": "support-2"}
    path = f"{collection('apps/v1', 'deployments', cluster.namespace)}/green"
    await cluster.api.patch(path, {"spec": {"template": template}})
    await cluster.until("the new Pods are available", available, "green", "deployments", "apps/v1")

    async def only_new():
        found = await cluster.pods(slot="green")
        return found if len(found) == 2 else None

    pods = await eventually(only_new, "the old Pods are gone")
    assert {await cluster.ask(pod, "/release") for pod in pods} == {"support-2"}


async def test_a_config_map_reaches_a_running_pod_and_its_deletion_does_not(cluster):
    pod = await serve(cluster)
    assert await cluster.ask(pod) == "one"
    path = f"{collection('v1', 'configmaps', cluster.namespace)}/bundle"
    await cluster.api.patch(path, {"data": {"bundle.json": "two"}})

    async def updated():
        return await cluster.ask(pod) == "two"

    await eventually(updated, "the process reads the new bundle")
    await cluster.api.delete(path)
    other = await cluster.pod("later", SERVER, container=server(), volumes=BUNDLE)
    name = other["metadata"]["name"]
    waits = await cluster.until("a later Pod waits for the ConfigMap", is_waiting, name)
    assert "bundle" in first(waits)["state"]["waiting"]["message"]
    assert await cluster.ask(pod) == "two"
    await cluster.create("v1", "ConfigMap", "configmaps", "bundle", data={"bundle.json": "three"})
    later = await cluster.until("it starts once there is one", is_ready, name)
    assert await cluster.ask(later) == "three"
    await eventually(lambda: says(cluster, pod, "three"), "the first Pod follows again")


async def says(cluster, pod, text):
    return await cluster.ask(pod) == text


def is_waiting(pod):
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return (
        bool(statuses)
        and statuses[0]["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"
    )


async def test_readiness_follows_the_probe(cluster):
    pod = await serve(cluster)
    assert first(pod)["ready"] is True
    await cluster.ask(pod, "/unready")
    unready = await cluster.until("the Pod is not ready any more", lambda pod: not is_ready(pod), "server")
    assert phase_is("Running")(unready)
    assert first(unready)["restartCount"] == 0


async def test_a_crashed_container_is_started_again_and_says_how_it_ended(cluster):
    pod = await serve(cluster, restartPolicy="Always")
    with pytest.raises(aiohttp.ClientError):
        await cluster.ask(pod, "/crash")
    again = await cluster.until(
        "it is ready again", lambda pod: is_ready(pod) and first(pod)["restartCount"] == 1, "server"
    )
    assert first(again)["lastState"]["terminated"]["exitCode"] == 7
    assert again["status"]["podIP"] == pod["status"]["podIP"]
    assert await cluster.ask(again) == "one"


# Ending


@pytest.mark.parametrize(
    ("script", "phase", "code", "reason"),
    [
        ("pass", "Succeeded", 0, "Completed"),
        ("raise SystemExit(3)", "Failed", 3, "Error"),
        ("import os; os.kill(os.getpid(), 9)", "Failed", 137, "Error"),
    ],
)
async def test_a_process_that_ends_decides_the_pods_phase(cluster, script, phase, code, reason):
    await cluster.pod("task", script)
    pod = await cluster.until("the Pod is over", phase_is(phase), "task")
    terminated = first(pod)["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (code, reason)
    assert not is_ready(pod)


async def test_a_program_that_does_not_exist_fails_the_pod_with_its_name(cluster):
    await cluster.pod("task", "", container={"command": ["no-such-program"]})
    pod = await cluster.until("the Pod is over", phase_is("Failed"), "task")
    assert first(pod)["state"]["terminated"]["reason"] == "StartError"
    assert "no-such-program" in first(pod)["state"]["terminated"]["message"]


async def test_a_jobs_verdict_and_last_words_are_in_its_pod(cluster):
    script = "import sys; open(sys.argv[1], 'w').write('42 of 300 cases failed'); raise SystemExit(1)"
    container = {"name": "eval", "image": "none", "command": ["python", "-c", script, "/dev/termination-log"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    await cluster.create("batch/v1", "Job", "jobs", "eval", spec={"backoffLimit": 0, "template": template})

    def failed(job):
        return any(c["type"] == "Failed" for c in job.get("status", {}).get("conditions", []))

    await cluster.until("the Job has failed", failed, "eval", "jobs", "batch/v1")
    [pod] = await cluster.pods(**{"job-name": "eval"})
    assert first(pod)["state"]["terminated"]["message"] == "42 of 300 cases failed"


async def test_a_failure_without_last_words_shows_the_end_of_its_output(cluster):
    container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    await cluster.pod("task", "raise SystemExit('the gold set is missing')", container=container)
    pod = await cluster.until("the Pod is over", phase_is("Failed"), "task")
    assert first(pod)["state"]["terminated"]["message"].strip() == "the gold set is missing"


async def test_what_a_container_leaves_running_ends_with_it(cluster):
    script = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
"""
    await cluster.pod("parent", script)
    await cluster.until("the parent is over", phase_is("Succeeded"), "parent")
    pid = await printed(cluster, "parent")

    async def dead():
        return not alive(pid)

    await eventually(dead, "its child has ended too")


async def test_init_containers_run_first_and_a_failing_one_keeps_the_others_from_starting(cluster):
    def init(script):
        return {"initContainers": [{"name": "init", "image": "none", "command": ["python", "-c", script]}]}

    await cluster.pod("good", "pass", **init("pass"))
    await cluster.pod("bad", "pass", **init("raise SystemExit(1)"))
    await cluster.until("the good one succeeds", phase_is("Succeeded"), "good")
    bad = await cluster.until("the bad one fails", phase_is("Failed"), "bad")
    assert "waiting" in first(bad)["state"]


# Deletion


async def test_a_deleted_pod_may_say_goodbye(cluster):
    pod = await serve(cluster)
    pid = int(await cluster.ask(pod, "/pid"))
    await cluster.api.delete(f"{collection('v1', 'pods', cluster.namespace)}/server")
    await cluster.gone("server")
    assert not alive(pid)
    assert "asked to stop" in cluster.node.log_file(cluster.namespace, "server", "it").read_text()


async def test_a_pre_stop_sleep_lets_a_leaving_pod_answer_its_last_users(cluster):
    await cluster.create("v1", "ConfigMap", "configmaps", "bundle", data={"bundle.json": "one"})
    lifecycle = {"lifecycle": {"preStop": {"sleep": {"seconds": 60}}}}
    await cluster.pod(
        "server", SERVER, container=server(**lifecycle), volumes=BUNDLE, terminationGracePeriodSeconds=120
    )
    await cluster.until("the server is ready", is_ready, "server")
    path = f"{collection('v1', 'pods', cluster.namespace)}/server"
    await cluster.api.delete(path)
    leaving = await cluster.until("it is leaving, and not ready", lambda pod: not is_ready(pod), "server")
    assert "deletionTimestamp" in leaving["metadata"]
    assert await cluster.ask(leaving) == "one"
    pid = int(await cluster.ask(leaving, "/pid"))
    await cluster.api.delete(path, grace_seconds=0)

    async def dead():
        return not alive(pid)

    await eventually(dead, "a deletion by force cuts it short")


async def test_a_process_that_ignores_the_request_is_killed_after_its_grace(cluster):
    script = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(os.getpid(), flush=True); time.sleep(600)"
    )
    await cluster.pod("stubborn", script, terminationGracePeriodSeconds=1)
    pid = await eventually(lambda: printed(cluster, "stubborn"), "it runs")
    await cluster.api.delete(f"{collection('v1', 'pods', cluster.namespace)}/stubborn")
    await cluster.gone("stubborn")
    assert not alive(pid)


async def printed(cluster, pod):
    log = cluster.node.log_file(cluster.namespace, pod, "it")
    return int(log.read_text() or 0) if log.exists() else 0


async def test_a_pod_deleted_by_force_takes_its_process_along(cluster):
    pod = await serve(cluster)
    pid = int(await cluster.ask(pod, "/pid"))
    await cluster.api.delete(f"{collection('v1', 'pods', cluster.namespace)}/server", grace_seconds=0)

    async def dead():
        return not alive(pid)

    await eventually(dead, "the process has ended")


async def test_a_namesake_is_another_pod(cluster):
    old = await serve(cluster)
    path = f"{collection('v1', 'pods', cluster.namespace)}/server"
    await cluster.api.delete(path, grace_seconds=0)
    await cluster.pod("server", SERVER, container=server(), volumes=BUNDLE)
    new = await cluster.until("the namesake is ready", is_ready, "server")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert await cluster.ask(new) == "one"


async def test_pods_of_other_namespaces_are_left_alone(cluster, namespace):
    elsewhere = Cluster(cluster.api, namespace(), None, None)
    await elsewhere.pod("foreign", "pass")
    await cluster.pod("own", "pass")
    await cluster.until("ours has run", phase_is("Succeeded"), "own")
    assert "nodeName" not in (await elsewhere.get("pods", "foreign"))["spec"]


# The node's own life


async def test_the_end_of_the_node_ends_its_processes(control_plane, namespace):
    here = namespace()
    async with (
        KubeApi(control_plane.kubeconfig) as api,
        aiohttp.ClientSession() as http,
    ):
        async with Node(control_plane.kubeconfig, namespaces=[here]) as node:
            pod = await serve(found := Cluster(api, here, node, http))
            pid = int(await found.ask(pod, "/pid"))
        assert not alive(pid)


async def test_a_node_that_is_killed_takes_its_processes_along_and_its_successor_starts_them_again(
    control_plane, namespace, tmp_path
):
    here, log = namespace(), tmp_path / "node.log"
    options = ["--kubeconfig", str(control_plane.kubeconfig), "--namespace", here]
    command = [sys.executable, "-m", "agentrelease.local.node", *options]
    async with KubeApi(control_plane.kubeconfig) as api, aiohttp.ClientSession() as http:
        process = await spawn(command, env=os.environ, cwd=tmp_path, log=log)
        try:
            found = Cluster(api, here, None, http)
            pod = await serve(found)
            pid = int(await found.ask(pod, "/pid"))
        finally:
            process.kill()
            await process.wait()

        async def dead():
            return not alive(pid)

        await eventually(dead, "the kernel has ended the Pod's process")
        process = await spawn(command, env=os.environ, cwd=tmp_path, log=log)
        try:
            await eventually(lambda: answers(found), "the successor runs the Pod again")
        finally:
            assert await end(process, 10) == 0
        assert log.read_text() == ""


async def answers(cluster):
    pod = await cluster.get("pods", "server")
    try:
        return await cluster.ask(pod) == "one"
    except aiohttp.ClientError:
        return False


async def test_a_node_does_not_block_the_loop_it_shares(cluster):
    loop, longest = asyncio.get_running_loop(), 0.0

    async def tick():
        nonlocal longest
        while True:
            before = loop.time()
            await asyncio.sleep(0.001)
            longest = max(longest, loop.time() - before)

    ticking = asyncio.create_task(tick())
    await asyncio.gather(*(cluster.pod(f"task-{n}", "pass") for n in range(8)))
    for n in range(8):
        await cluster.until("the Pod is over", phase_is("Succeeded"), f"task-{n}")
    ticking.cancel()
    assert longest < 2
