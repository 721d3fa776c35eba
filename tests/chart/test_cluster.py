"""The chart on the real API server: what it makes is accepted, and what it grants is enough."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from kubernetes import client, utils
from tests.api.manifests import release
from tests.api.server import Server
from tests.chart.conftest import CHART, NEEDED
from tests.chart.test_rendering import environment, of_kind
from tests.support.controlplane import api_of, wait_until

from agentrelease.local import controlplane

EXAMPLE = Path(__file__).parents[2] / "examples" / "support-agent"
SHARED = ("crds.install=false", "admission.enabled=false")  # others use the same server
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def test_every_cluster_wide_object_is_accepted(admin, render):
    server = Server(admin)
    for obj in render():
        if obj["kind"].startswith("ValidatingAdmission"):
            obj["metadata"]["name"] = f"chart-test-{obj['metadata']['name']}"
            if "policyName" in obj["spec"]:
                obj["spec"]["policyName"] = f"chart-test-{obj['spec']['policyName']}"
            answer = server.create(obj, dry_run=True, strict=True)
            assert answer.accepted, answer.body


def test_helm_installs_it_and_restricted_pods_are_made(admin, control_plane, namespace, helm):
    space = namespace()
    client.CoreV1Api(admin).patch_namespace(space, {"metadata": {"labels": RESTRICTED}})
    values = [part for value in SHARED for part in ("--set", value)]
    name = f"t-{space[-8:]}"
    arguments = (name, str(CHART), "-n", space, *NEEDED, *values)
    made = helm("install", *arguments, kubeconfig=control_plane.kubeconfig)
    assert made.returncode == 0, made.stderr
    try:
        pods = client.CoreV1Api(admin)
        wait_until(
            lambda: len(pods.list_namespaced_pod(space).items) == 2, 60, "two pods under restricted rules"
        )
        upgraded = helm("upgrade", *arguments, "--set", "replicas=3", kubeconfig=control_plane.kubeconfig)
        assert upgraded.returncode == 0, upgraded.stderr
    finally:
        removed = helm("uninstall", name, "-n", space, kubeconfig=control_plane.kubeconfig)
    assert removed.returncode == 0, removed.stderr


@pytest.fixture
def installed(admin, namespace, render):
    """Two namespaces: the operator's rights and account in one, an agent's platform in the other."""
    home, shop = namespace(), namespace()
    objects = render(*SHARED, f"namespaces={{{shop}}}", name=f"agentrelease-{home[-8:]}", namespace=home)
    wanted = [o for o in objects if o["kind"] not in ("Deployment", "NetworkPolicy", "PodDisruptionBudget")]
    for obj in wanted:
        utils.create_from_dict(admin, obj)
    yield home, shop, objects
    for obj in wanted:
        if obj["kind"].startswith("ClusterRole"):
            rbac = client.RbacAuthorizationV1Api(admin)
            kind = "cluster_role_binding" if obj["kind"].endswith("Binding") else "cluster_role"
            getattr(rbac, f"delete_{kind}")(obj["metadata"]["name"])


def account_kubeconfig(admin, control_plane, home, account, path):
    """A kubeconfig with a token of the service account, as the pod's own would be."""
    token = client.CoreV1Api(admin).create_namespaced_service_account_token(
        account, home, {"spec": {"expirationSeconds": 3600}}
    )
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    config["users"] = [{"name": "operator", "user": {"token": token.status.token}}]
    for context in config["contexts"]:
        context["context"]["user"] = "operator"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def operating(objects, kubeconfig, log):
    """The operator as the Deployment would start it, but here; gives its process."""
    given = {k: v for k, v in environment(objects).items() if v is not None}
    given |= {
        "AGENTRELEASE_LEASE_NAMESPACE": of_kind(objects, "Deployment")[0]["metadata"]["namespace"],
        "AGENTRELEASE_LISTEN_PORT": "0",
        "AGENTRELEASE_LISTEN_HOST": "127.0.0.1",
        "AGENTRELEASE_PROMETHEUS_URL": "http://127.0.0.1:9",  # nobody there: it must hold, not fail
        "AGENTRELEASE_EVALUATION_INTERVAL": "1",
        "KUBECONFIG": str(kubeconfig),
    }
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AGENTRELEASE_")}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "agentrelease"],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=clean | given,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def entries(log):
    lines = log.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_what_the_chart_grants_is_all_that_the_operator_needs(admin, control_plane, installed, tmp_path):
    home, shop, objects = installed
    account = of_kind(objects, "ServiceAccount")[0]["metadata"]["name"]
    kubeconfig = account_kubeconfig(admin, control_plane, home, account, tmp_path / "kubeconfig")
    server, log = Server(admin, shop), tmp_path / "operator.log"
    for name in ("platform.yaml", "v1.yaml"):
        for obj in yaml.safe_load_all((EXAMPLE / name).read_text(encoding="utf-8")):
            if obj["kind"] != "Gateway":
                obj["metadata"]["namespace"] = shop
                server.apply(obj) if obj["kind"].startswith(("Agent", "Guard", "HTTPRoute")) else (
                    utils.create_from_dict(admin, obj, namespace=shop)
                )
    maps, leases = client.CoreV1Api(admin), client.CoordinationV1Api(admin)
    with operating(objects, kubeconfig, log) as process:

        def started():
            assert process.poll() is None, log.read_text()
            return [e for e in entries(log) if e.get("event") == "operator starts"]

        wait_until(started, 60, "the operator starts")
        port = started()[0]["port"]
        for path in ("healthz", "readyz"):
            wait_until(lambda p=path: answers(f"http://127.0.0.1:{port}/{p}"), 30, path)
        wait_until(
            lambda: any(x.spec.holder_identity for x in leases.list_namespaced_lease(home).items),
            60,
            "it leads",
        )

        def served():
            run_pods(maps, shop)
            assert process.poll() is None, log.read_text()
            release, route = server.get("AgentRelease", "support"), server.get("HTTPRoute", "support")
            rules = route.body["spec"].get("rules", [])
            weights = {ref.get("weight") for rule in rules for ref in rule.get("backendRefs", [])}
            glance = release.body.get("status", {})
            return (
                (glance.get("weight"), glance.get("autonomy")) == (100, "full-action")
                and server.get("ConfigMap", "support-flags").accepted
                and 0 in weights
                and len(weights) == 2
            )

        try:
            wait_until(served, 120, "the first bundle serves, by flags and by route")
        except pytest.fail.Exception as failure:
            status = server.get("AgentRelease", "support").body.get("status")
            pytest.fail(f"{failure}\n{json.dumps(status)}\n{log.read_text(encoding='utf-8')[-4000:]}")
        assert server.get("AgentRelease", "support").body["metadata"]["finalizers"]
    said = log.read_text(encoding="utf-8")
    assert "orbidden" not in said, [line for line in said.splitlines() if "orbidden" in line][:3]
    assert "Traceback" not in said
    assert process.returncode == 0, said.splitlines()[-5:]


def run_pods(core, namespace):
    """What a kubelet would report; this control plane has none."""
    for pod in core.list_namespaced_pod(namespace).items:
        if not pod.status.conditions or pod.status.phase != "Running":
            ready = {"type": "Ready", "status": "True"}
            core.patch_namespaced_pod_status(
                pod.metadata.name, namespace, {"status": {"phase": "Running", "conditions": [ready]}}
            )


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except urllib.error.HTTPError:
        return False  # not ready yet


@pytest.fixture
def empty_cluster(tmp_path):
    """A control plane of the test's own, without our kinds, as a first installation meets it."""
    directory, log = tmp_path / "controlplane", tmp_path / "controlplane.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            controlplane.command(directory, watch=os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    try:
        wait_until(lambda: controlplane.read(directory), 90, "the control plane starts")
        plane = controlplane.read(directory)
        with api_of(plane.kubeconfig) as api:
            yield plane, api
    finally:
        process.terminate()
        process.wait(30)


def test_a_first_installation_protects_at_once_and_a_removal_keeps_the_releases(helm, empty_cluster):
    plane, api = empty_cluster
    arguments = ("agentrelease", str(CHART), "-n", "agents", "--create-namespace", *NEEDED)
    installed = helm("install", *arguments, kubeconfig=plane.kubeconfig)
    assert installed.returncode == 0, installed.stderr
    assert "kubectl get agents -A" in installed.stdout
    server = Server(api, "agents")
    wait_until(lambda: server.create(release(), strict=True).accepted, 60, "our kinds are served")
    forged = {"status": {"phase": "Promoted"}}

    def protected():
        answer = server.merge("AgentRelease", "support", forged, "status")
        return "written by system:serviceaccount:agents:agentrelease only" in answer.message

    wait_until(protected, 60, "the admission policies are in force")
    upgraded = helm("upgrade", *arguments, "--set", "replicas=1", kubeconfig=plane.kubeconfig)
    assert upgraded.returncode == 0, upgraded.stderr
    assert protected()
    removed = helm("uninstall", "agentrelease", "-n", "agents", kubeconfig=plane.kubeconfig)
    assert removed.returncode == 0, removed.stderr
    assert server.get("AgentRelease", "support").accepted
