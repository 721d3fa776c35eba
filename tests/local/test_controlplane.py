"""The embedded control plane keeps the promises of the real one that everything else leans on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from tests.support.controlplane import api_of, wait_until

from agentrelease.local import builds, controlplane
from agentrelease.local.processes import Processes, tail

BOUND = 180  # seconds; tells a hang from a busy machine, and measures nothing
POD_TEMPLATE = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "x", "image": "x"}]},
}
DEPLOYMENT = {
    "metadata": {"name": "x"},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": POD_TEMPLATE},
}


@contextmanager
def serving(directory, **options):
    """A control plane of its own; gives its process and where it is."""
    log = directory.with_suffix(".log")
    with log.open("ab") as sink:
        process = subprocess.Popen(
            controlplane.command(directory, **options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=sink,
        )
    try:
        wait_until(
            lambda: controlplane.read(directory) or process.poll() is not None, BOUND, "it serves or ends"
        )
        if process.poll() is not None:
            pytest.fail(tail(log))
        yield process, controlplane.read(directory)
    finally:
        process.terminate()
        process.wait(BOUND)


def test_a_deployment_becomes_a_replica_set_and_pods(admin, namespace):
    space = namespace()
    client.AppsV1Api(admin).create_namespaced_deployment(space, DEPLOYMENT)

    def pods():
        return client.CoreV1Api(admin).list_namespaced_pod(space).items

    wait_until(lambda: len(pods()) == 2, BOUND, "two pods exist")
    (replica_set,) = client.AppsV1Api(admin).list_namespaced_replica_set(space).items
    assert {pod.metadata.owner_references[0].uid for pod in pods()} == {replica_set.metadata.uid}
    assert {pod.status.phase for pod in pods()} == {"Pending"}


def test_a_job_becomes_a_pod(admin, namespace):
    space = namespace()
    template = {**POD_TEMPLATE, "spec": {**POD_TEMPLATE["spec"], "restartPolicy": "Never"}}
    client.BatchV1Api(admin).create_namespaced_job(
        space, {"metadata": {"name": "x"}, "spec": {"template": template}}
    )
    pods = client.CoreV1Api(admin).list_namespaced_pod
    wait_until(lambda: len(pods(space, label_selector="job-name=x").items) == 1, BOUND, "its pod exists")


def test_a_namespace_goes_with_everything_in_it(admin, namespace):
    space = namespace()
    core = client.CoreV1Api(admin)
    core.create_namespaced_config_map(space, {"metadata": {"name": "x"}})
    routes = client.CustomObjectsApi(admin)
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "x"},
        "spec": {"rules": [{"backendRefs": [{"name": "x", "port": 80}]}]},
    }
    routes.create_namespaced_custom_object("gateway.networking.k8s.io", "v1", space, "httproutes", route)
    core.delete_namespace(space)
    wait_until(
        lambda: space not in {found.metadata.name for found in core.list_namespace().items},
        BOUND,
        "it is gone",
    )


def test_what_an_owner_leaves_behind_is_collected(admin, namespace):
    space = namespace()
    core = client.CoreV1Api(admin)
    owner = core.create_namespaced_config_map(space, {"metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
    core.create_namespaced_config_map(space, {"metadata": {"name": "owned", "ownerReferences": [reference]}})
    core.create_namespaced_config_map(space, {"metadata": {"name": "free"}})
    core.delete_namespaced_config_map("owner", space)

    def left():
        return {found.metadata.name for found in core.list_namespaced_config_map(space).items}

    wait_until(lambda: left() == {"free"}, BOUND, "the owned object is gone, the free one is not")


def test_the_kinds_of_gateway_api_are_served(admin):
    served = client.CustomObjectsApi(admin).list_cluster_custom_object(
        "gateway.networking.k8s.io", "v1", "httproutes"
    )
    assert served["kind"] == "HTTPRouteList"


def test_a_user_may_do_nothing_until_a_role_says_so(control_plane, admin, namespace):
    space = namespace()
    with api_of(control_plane.user("ruth", "readers")) as api:
        ruth = client.CoreV1Api(api)
        with pytest.raises(ApiException) as refused:
            ruth.list_namespaced_pod(space)
        assert refused.value.status == 403
        assert 'User \\"ruth\\" cannot list resource' in refused.value.body

        binding = {
            "metadata": {"name": "readers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "Group", "name": "readers", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        client.RbacAuthorizationV1Api(admin).create_namespaced_role_binding(space, binding)

        def allowed():
            try:
                return ruth.list_namespaced_pod(space) is not None
            except ApiException:
                return False

        wait_until(allowed, BOUND, "the role, which is aggregated from others, reaches the authorizer")


def test_nobody_is_nobody(control_plane):
    with api_of(control_plane.user("x")) as api:
        api.configuration.cert_file = api.configuration.key_file = None
        with client.ApiClient(api.configuration) as anonymous, pytest.raises(ApiException) as refused:
            client.CoreV1Api(anonymous).list_namespace()
    assert refused.value.status == 401


def test_a_service_accounts_token_is_that_service_account(control_plane, admin, namespace):
    space = namespace()
    token = client.CoreV1Api(admin).create_namespaced_service_account_token(
        "default", space, {"spec": {"expirationSeconds": 600}}
    )
    with api_of(control_plane.user("x")) as api:
        api.configuration.cert_file = api.configuration.key_file = None
        api.configuration.api_key = {"authorization": f"Bearer {token.status.token}"}
        with client.ApiClient(api.configuration) as bearer:
            review = client.AuthenticationV1Api(bearer).create_self_subject_review({})
    assert review.status.user_info.username == f"system:serviceaccount:{space}:default"


def test_an_admission_policy_refuses_what_it_says(admin, namespace):
    space = namespace()
    admission = client.AdmissionregistrationV1Api(admin)
    labels = {"kubernetes.io/metadata.name": space}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    policy = {
        "metadata": {"name": space},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [
                {"expression": "object.metadata.name != 'forbidden'", "message": "not that name"}
            ],
        },
    }
    binding = {
        "metadata": {"name": space},
        "spec": {
            "policyName": space,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": labels}},
        },
    }
    admission.create_validating_admission_policy(policy)
    admission.create_validating_admission_policy_binding(binding)
    core = client.CoreV1Api(admin)

    def refused():
        try:
            core.create_namespaced_config_map(space, {"metadata": {"name": "forbidden"}}, dry_run="All")
        except ApiException as refusal:
            return "not that name" in refusal.body
        return False

    wait_until(refused, BOUND, "the policy is in force")
    admission.delete_validating_admission_policy_binding(space)
    admission.delete_validating_admission_policy(space)


def test_the_audit_log_names_who_wrote_what(control_plane, admin, namespace):
    space = namespace()
    client.CoreV1Api(admin).create_namespaced_config_map(
        space, {"metadata": {"name": "x"}, "data": {"a": "b"}}
    )

    def found():
        # Others write to the log meanwhile; its last line may be half of one. Only a line feed ends a
        # line: manifests of other tests carry every separator that Unicode has.
        whole = control_plane.audit_log.read_text().rpartition("\n")[0]
        entries = map(json.loads, whole.split("\n"))
        return [
            entry
            for entry in entries
            if entry["verb"] == "create"
            and entry.get("objectRef", {}).get("namespace") == space
            and entry["objectRef"]["resource"] == "configmaps"
        ]

    wait_until(found, BOUND, "the write is in the log")
    (entry,) = found()
    assert entry["user"]["username"] == "admin"
    assert entry["requestObject"]["data"] == {"a": "b"}


def test_a_stop_leaves_no_process_and_no_directory(tmp_path):
    directory = tmp_path / "plane"
    with serving(directory) as (process, plane):
        process.send_signal(signal.SIGTERM)
        assert process.wait(BOUND) == 0
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(plane.pid, 0)


def test_it_ends_with_the_process_that_it_watches(tmp_path):
    directory = tmp_path / "plane"
    asleep = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(asleep, stdin=subprocess.PIPE) as watched,
        serving(directory, watch=watched.pid) as (process, _),
    ):
        watched.kill()
        watched.wait()
        assert process.wait(BOUND) == 0
    assert not directory.exists()


def test_a_taken_port_gives_way_to_a_free_one(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving(tmp_path / "plane", port=port) as (_, plane):
            chosen = plane.server.rsplit(":", 1)[1]
    assert int(chosen) != port


async def test_a_kept_directory_serves_the_same_objects_to_the_same_users_again(tmp_path):
    directory = tmp_path / "plane"
    with serving(directory, keep=True) as (_, plane):
        port = int(plane.server.rsplit(":", 1)[1])
        with api_of(plane.kubeconfig) as api:
            client.CoreV1Api(api).create_namespaced_config_map("default", {"metadata": {"name": "kept"}})
        user = plane.user("admin-again", "system:masters")
    with serving(directory, port=port) as (_, again):
        assert again.server == plane.server
        with api_of(user) as api:
            assert client.CoreV1Api(api).read_namespaced_config_map("kept", "default").metadata.name == "kept"


async def test_a_group_of_processes_starts_it_with_our_kinds_and_takes_it_along(tmp_path):
    async with Processes() as processes:
        plane = await controlplane.start(processes, tmp_path / "log", directory=tmp_path / "plane")
        with api_of(plane.kubeconfig) as api:
            groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"gateway.networking.k8s.io", "agentrelease.dev"} <= groups
    assert not (tmp_path / "plane").exists()


def test_a_directory_of_somebody_elses_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = subprocess.run(controlplane.command(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "neither empty nor a control plane's directory" in done.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_it_calls_itself_what_it_is_built_from(admin):
    sources = Path(controlplane.__file__).parent / "controlplane" / "go.mod"
    assert f"k8s.io/kubernetes v{builds.KUBERNETES}\n" in sources.read_text()
    assert client.VersionApi(admin).get_code().git_version == f"v{builds.KUBERNETES}"


def test_kubectl_talks_to_it(control_plane):
    asked = subprocess.run(
        [builds.controlplane(), "kubectl", "get", "namespace", "default", "--output=name"],
        env={**os.environ, "KUBECONFIG": str(control_plane.kubeconfig)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout == "namespace/default\n"
