"""The example manifests: the models read them, the agent has what they name, and their pods start."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from agentrelease.api.bundle import Bundle
from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.release import ReleaseSpec
from agentrelease.api.vocabulary import REVISION_ANNOTATION, Autonomy
from agentrelease.core.blocks import metrics_read
from agentrelease.core.bundle import canonical, changes, digest_of, revision_name
from agentrelease.edges.flags.document import FlagSet, Grant, text
from agentrelease.local.addresses import Addresses
from agentrelease.local.agent.behaviour import behaviour_of
from agentrelease.local.environment import Place, process_of
from agentrelease.local.volumes import Volumes
from agentrelease.sdk import AgentMetrics, Identity

FOLDER = Path(__file__).parents[2] / "examples" / "support-agent"
RELEASES = ["v1", "v2", "v3", "v3-fixed"]


def objects(name):
    return list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


def spec_of(name):
    (obj,) = objects(name)
    return ReleaseSpec.model_validate(obj["spec"], extra="forbid")


def platform(kind):
    return [obj for obj in objects("platform") if obj["kind"] == kind]


def policy():
    (obj,) = platform("GuardrailPolicy")
    return GuardrailPolicySpec.model_validate(obj["spec"], extra="forbid")


@pytest.mark.parametrize("name", RELEASES)
def test_the_models_read_each_release_and_know_each_of_its_fields(name):
    (obj,) = objects(name)
    assert obj["metadata"] == {"name": "support"}
    spec = spec_of(name)
    names = ["shadow", "internal", "canary-10", "half", "all", "full"]
    assert [phase.name for phase in spec.phases] == names
    assert [ref.policy for ref in spec.guardrails] == ["agent-defaults"]
    assert spec.delivery.flags.lease_seconds == 20


def test_each_release_is_another_revision_and_changes_what_its_comment_says():
    bundles = [spec_of(name).bundle for name in RELEASES]
    assert len({digest_of(bundle) for bundle in bundles}) == len(RELEASES)
    layers = [{change.layer for change in changes(old, new)} for old, new in pairwise(bundles)]
    assert layers == [{"prompts", "retrieval"}, {"prompts"}, {"prompts"}]


def test_all_releases_are_delivered_alike():
    specs = [spec_of(name) for name in RELEASES]
    assert len({spec.model_copy(update={"bundle": None}).model_dump_json() for spec in specs}) == 1


def test_the_platform_has_what_the_releases_name():
    delivery = spec_of("v1").delivery
    assert {slot.service for slot in delivery.slots.values()} == {
        obj["metadata"]["name"] for obj in platform("Service")
    }
    assert {slot.deployment for slot in delivery.slots.values()} == {
        obj["metadata"]["name"] for obj in platform("Deployment")
    }
    (route,) = platform("HTTPRoute")
    assert delivery.route.http_route == route["metadata"]["name"]
    (rule,) = route["spec"]["rules"]
    assert [(ref["name"], ref["weight"]) for ref in rule["backendRefs"]] == [
        ("support-blue", 100),
        ("support-green", 0),
    ]
    assert not [obj for obj in objects("platform") if "namespace" in obj["metadata"]]


@pytest.mark.parametrize("slot", ["blue", "green"])
def test_a_slots_pods_get_their_bundle_their_flags_and_their_revision(slot):
    deployment = next(o for o in platform("Deployment") if o["metadata"]["name"] == f"support-{slot}")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    sources = {v["name"]: v["configMap"] for v in pod["volumes"]}
    assert sources["bundle"] == {"name": f"support-{slot}-bundle", "optional": True}
    assert sources["flags"] == {"name": spec_of("v1").delivery.flags.config_map, "optional": True}
    env = {variable["name"]: variable for variable in container["env"]}
    assert env["BUNDLE_PATH"]["value"] == f"{mounts['bundle']}/bundle.json"
    assert env["FLAGD_OFFLINE_FLAG_SOURCE_PATH"]["value"] == f"{mounts['flags']}/support.flagd.json"
    assert (
        env["AGENT_RELEASE"]["valueFrom"]["fieldRef"]["fieldPath"]
        == f"metadata.annotations['{REVISION_ANNOTATION}']"
    )


def test_the_agent_exports_every_series_that_the_policy_reads():
    page = AgentMetrics(Identity("support", "support-v1", "sha256:0")).render().decode()
    found = [s for family in text_string_to_metric_families(page) for s in family.samples]
    spec = policy()
    assert metrics_read(spec) <= {s.name for s in found}
    for metric in spec.metrics:
        picked = metric.event or (metric.ratio and (metric.ratio.good or metric.ratio.bad))
        if picked:
            assert [s for s in found if s.name == picked.metric and picked.match.items() <= s.labels.items()]
        if metric.latency:
            edges = {s.labels["le"] for s in found if s.name == f"{metric.latency.histogram}_bucket"}
            assert str(metric.latency.slower_than.seconds) in edges
        for label in spec.strata.labels:
            assert {s.labels["risk_tier"] for s in found if label in s.labels} == {"low", "high"}


def test_each_prompt_of_the_examples_has_a_behaviour_of_its_own():
    behaviours = [behaviour_of(spec_of(name).bundle) for name in RELEASES]
    assert len(set(behaviours)) == len(RELEASES)
    completion = [behaviour.completion for behaviour in behaviours]
    assert completion[0] < completion[1] < completion[2]
    assert behaviours[2].violation_rate(pushed=True) > 10 * behaviours[1].violation_rate(pushed=True)
    assert behaviours[2].violation_rate(pushed=False) <= behaviours[1].violation_rate(pushed=False)


def test_a_bundle_of_the_examples_survives_its_own_json():
    for name in RELEASES:
        bundle = spec_of(name).bundle
        assert Bundle.model_validate(bundle.to_object()) == bundle


# ---- do the pods of the platform start? ------------------------------------------------------------


@pytest.fixture
def pod(tmp_path):
    """The blue slot's pod as the local node starts it, once the operator has loaded v1."""
    bundle = spec_of("v1").bundle
    revision = revision_name("support", digest_of(bundle))
    deployment = next(o for o in platform("Deployment") if o["metadata"]["name"] == "support-blue")
    template = deployment["spec"]["template"]
    template["metadata"]["annotations"][REVISION_ANNOTATION] = revision
    pod = {"metadata": {"name": "support-blue-0", "namespace": "support", "uid": "1", **template["metadata"]}}
    pod["spec"] = template["spec"]
    written = FlagSet(
        "support", 1, Grant(revision, Autonomy.FULL_ACTION, frozenset({"kb.search"}))
    ).document()
    config_maps = {
        "support-blue-bundle": {"data": {"bundle.json": canonical(bundle).decode()}},
        "support-flags": {"data": {"support.flagd.json": text(written)}},
    }
    volumes = Volumes(tmp_path, pod["spec"]["volumes"])
    volumes.refresh(config_maps.get)
    (container,) = pod["spec"]["containers"]
    with Addresses() as addresses:
        place = Place(addresses.next(), "here", volumes.mounts(container), {"PATH": os.environ["PATH"]})
        process = process_of(container, pod, place, config_maps.get)
        with subprocess.Popen(
            process.command,
            env={**process.env, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        ) as running:
            running.stdout.readline()
            probe = container["readinessProbe"]["httpGet"]["path"]
            yield f"http://{place.address}:{container['ports'][0]['containerPort']}", revision, probe
            running.terminate()


def test_a_loaded_slots_pod_becomes_ready_and_obeys_the_operators_document(pod):
    url, revision, probe = pod
    transport = httpx.HTTPTransport(retries=3)
    with httpx.Client(base_url=url, transport=transport, trust_env=False, timeout=20) as client:
        deadline = time.monotonic() + 30
        while client.get(probe).status_code != 200:
            assert time.monotonic() < deadline, client.get(probe).text
            time.sleep(0.02)
        who = client.get("/whoami").json()
        assert (who["release"], who["autonomy"], who["halted"]) == (revision, "full-action", False)
        (action,) = [a for a in client.post("/task").json()["actions"] if a["effect"] == "read"]
        assert action["disposition"] == "executed"
