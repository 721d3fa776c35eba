"""Envoy and the gateway as processes: what they accept, how they end, and node and gateway together."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from tests.support.gateway import Shop, arm, eventually

from agentrelease.local.children import end, spawn
from agentrelease.local.gateway.envoy import Envoy, EnvoyFailed, Refused
from agentrelease.local.gateway.status import CONTROLLER
from agentrelease.local.gateway.translate import ROUTES, Snapshot, translate
from agentrelease.local.kubeapi import KubeApi
from agentrelease.local.node import Node

AGENT = """
import os
from aiohttp import web

async def answer(request):
    return web.Response(text="hello", headers={"x-arm": os.environ["RELEASE"]})

app = web.Application()
app.router.add_get("/", answer)
web.run_app(app, host=os.environ["POD_IP"], port=8080, print=None)
"""
CLASS = {"metadata": {"name": "ours"}, "spec": {"controllerName": CONTROLLER}}
GATE = {
    "metadata": {"namespace": "shop", "name": "gate", "generation": 1},
    "spec": {"gatewayClassName": "ours", "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]},
}
PATHS = [
    {},
    {"type": "Exact", "value": "/a?b"},
    {"type": "PathPrefix", "value": "/"},
    {"type": "PathPrefix", "value": "/a/b/"},
    {"type": "RegularExpression", "value": "/v[0-9]+(/.*)?"},
]
MODIFIER = {"set": [{"name": "X-A", "value": "%START_TIME% 100%"}], "add": [{"name": "x-b", "value": "%"}]}
FILTERS = [
    {"type": "RequestHeaderModifier", "requestHeaderModifier": MODIFIER | {"remove": ["x-c"]}},
    {"type": "ResponseHeaderModifier", "responseHeaderModifier": MODIFIER | {"remove": ["server"]}},
    {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "green", "port": 80}, "percent": 0}},
    {
        "type": "RequestMirror",
        "requestMirror": {
            "backendRef": {"name": "blue", "port": 80},
            "fraction": {"numerator": 1, "denominator": 3},
        },
    },
]


def any_route(choice, number):
    """Whatever Gateway API's schema allows and this gateway says it implements."""

    def rule():
        matches = [
            {
                "path": choice.choice(PATHS),
                "method": choice.choice(["GET", "POST", "OPTIONS"]),
                "headers": [{"name": "X-Audience", "value": choice.choice(["a b", "ü", "%"])}],
                "queryParams": [{"name": "q", "type": "RegularExpression", "value": "a|b"}],
            }
            for _ in range(choice.randint(0, 3))
        ]
        refs = [
            arm(choice.choice(["blue", "green", "gone"]), choice.choice([0, 1, 7, 1_000_000]))
            | {"filters": choice.sample(FILTERS[:2], choice.randint(0, 2))}
            for _ in range(choice.randint(0, 16))
        ]
        filters = choice.sample(FILTERS, choice.randint(0, 4))
        timeouts = choice.choice([{}, {"request": "1h2m3s4ms"}, {"backendRequest": "500ms"}])
        return {"matches": matches, "filters": filters, "backendRefs": refs, "timeouts": timeouts}

    meta = {"namespace": "shop", "name": f"route-{number}", "generation": 1}
    meta["annotations"] = choice.choice(
        [{}, {"agentrelease.dev/session-header": "x-s"}, {"agentrelease.dev/session-cookie": "sid"}]
    )
    hostnames = choice.sample(["a.example", "*.example", "b.test", "*.b.test"], choice.randint(0, 4))
    rules = [rule() for _ in range(choice.randint(1, 4))]
    return {
        "metadata": meta,
        "spec": {"parentRefs": [{"name": "gate"}], "hostnames": hostnames, "rules": rules},
    }


def service(name):
    spec = {"selector": {"arm": name}, "ports": [{"port": 80}]}
    return {"metadata": {"namespace": "shop", "name": name}, "spec": spec}


async def test_envoy_accepts_whatever_the_translation_emits(tmp_path):
    choice = random.Random(20261123)
    async with Envoy(tmp_path) as envoy:
        for _ in range(25):
            routes = tuple(any_route(choice, number) for number in range(8))
            done = translate(Snapshot((CLASS,), (GATE,), routes, (service("blue"), service("green"))))
            assert not any(
                c["type"] == "PartiallyInvalid" or (c["type"] == "Accepted" and c["status"] == "False")
                for parents in done.route_parents.values()
                for entry in parents
                for c in entry["conditions"]
            )
            await envoy.apply(done.clusters, done.routes)


async def test_a_refused_configuration_leaves_the_old_one_serving(tmp_path):
    def answering(status, match):
        direct = {"match": match, "direct_response": {"status": status}}
        return {"name": ROUTES, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [direct]}]}

    async with Envoy(tmp_path) as envoy, aiohttp.ClientSession() as http:
        await envoy.apply({}, answering(204, {"prefix": "/"}))
        with pytest.raises(Refused, match="perl operator"):
            await envoy.apply({}, answering(205, {"safe_regex": {"regex": "(?=x)"}}))
        async with http.get(envoy.url) as answer:
            assert answer.status == 204
        await envoy.apply({}, answering(206, {"prefix": "/"}))
        async with http.get(envoy.url) as answer:
            assert answer.status == 206


async def test_an_envoy_that_cannot_start_says_why(tmp_path):
    async with Envoy(tmp_path / "first") as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(EnvoyFailed, match=r"cannot bind|Address already in use"):
            await Envoy(tmp_path / "second", port).__aenter__()


def children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
async def test_the_gateways_envoy_ends_with_it_in_whatever_way(
    control_plane, namespace, tmp_path, number, code
):
    log = tmp_path / "gateway.log"
    options = ["--kubeconfig", str(control_plane.kubeconfig), "--namespace", namespace()]
    command = [sys.executable, "-m", "agentrelease.local.gateway", *options]
    process = await spawn(command, env=os.environ, cwd=tmp_path, log=log)
    try:

        async def announced():
            return log.read_text().strip()

        line = await eventually(announced, "the gateway tells its address")
        assert line.startswith("gateway http://127.0.0.1:")
        [envoy] = children(process.pid)
        process.send_signal(number)
        assert await process.wait() == code

        async def over():
            return not alive(envoy)

        await eventually(over, "Envoy has ended too")
    finally:
        await end(process, 0)


async def test_a_deployment_behind_a_route_serves_its_users_through_a_change_of_revision(
    control_plane, namespace
):
    fields = {"POD_IP": "status.podIP", "RELEASE": "metadata.annotations['agentrelease.dev/revision']"}
    container = {
        "name": "agent",
        "image": "none",
        "command": ["python", "-c", AGENT],
        "env": [{"name": n, "valueFrom": {"fieldRef": {"fieldPath": path}}} for n, path in fields.items()],
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/"}},
        # Long enough for the gateway to hear of it, as one does on a cluster.
        "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
    }

    def deployment(revision):
        meta = {"labels": {"slot": "green"}, "annotations": {"agentrelease.dev/revision": revision}}
        template = {"metadata": meta, "spec": {"containers": [container]}}
        return {"replicas": 2, "selector": {"matchLabels": {"slot": "green"}}, "template": template}

    here = namespace()
    path = f"/apis/apps/v1/namespaces/{here}/deployments"
    async with (
        Shop(control_plane.kubeconfig, here) as shop,
        KubeApi(control_plane.kubeconfig) as api,
        Node(control_plane.kubeconfig, namespaces=[here]),
    ):
        spec = {"selector": {"slot": "green"}, "ports": [{"port": 80, "targetPort": 8080}]}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "slot"}, "spec": spec}
        await api.create(f"/api/v1/namespaces/{here}/services", body)
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "green"}}
        await api.create(path, body | {"spec": deployment("support-1")})
        await shop.serve({"backendRefs": [arm("slot")]})

        async def answered_by(revision):
            return {answer.arm for answer in await shop.ask(10)} == {revision}

        await eventually(lambda: answered_by("support-1"), "users reach the Deployment")
        await api.patch(f"{path}/green", {"spec": deployment("support-2")})
        statuses = set()

        async def changed():
            answers = await shop.ask(5)
            statuses.update(answer.status for answer in answers)
            return {answer.arm for answer in answers} == {"support-2"}

        await eventually(changed, "users reach the new revision")
        assert statuses == {200}
