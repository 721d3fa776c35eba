"""What goes in comes out: through the models, the API server and kubectl, up to the largest."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.api.manifests import approval, changed, incident, policy, release, revision
from tests.api.server import CLUSTER_WIDE, Server

from agentrelease.api.crd import RESOURCES, definition
from agentrelease.api.release import AgentRelease
from agentrelease.api.schema import VALIDATIONS
from agentrelease.api.status import Condition, ReleaseStatus
from agentrelease.core.fitting import fitted
from agentrelease.local import builds

ROOT = Path(__file__).parents[2]
KIB = 1024
MODELS = {resource.kind: resource for resource in RESOURCES}


def statuses():
    digest = "sha256:" + "ab" * 32
    serving = {"revision": "support-0123456789", "digest": digest, "slot": "blue", "autonomy": "full-action"}
    return ReleaseStatus.model_validate(
        {
            "observedGeneration": 1,
            "phase": "canary",
            "verdict": "Hold",
            "reason": "collecting",
            "weight": 5,
            "autonomy": "suggestion-only",
            "stable": serving | {"since": "2026-11-23T06:50:25Z"},
            "candidate": serving | {"revision": "support-abababab12", "slot": "green", "phaseIndex": 2},
            "exposure": {
                "intended": {"weight": 5, "autonomy": "suggestion-only"},
                "live": {"weight": 5, "autonomy": "suggestion-only"},
                "measured": {"weight": 4.8, "tasks": 812, "at": "2026-11-23T06:50:25Z"},
            },
            "metrics": [
                {"name": "m", "class": "safety", "verdict": "collecting", "candidate": {"n": 40, "x": 1}}
            ],
            "history": [{"at": "t", "phase": "p", "revision": "r", "from": "a", "to": "b", "epoch": 3}],
            "refused": [{"digest": digest, "revision": "r", "reason": "policy-violations"}],
            "evidence": '{"v":1}',
            "epoch": 3,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "False",
                    "reason": "Progressing",
                    "message": "in canary",
                    "observedGeneration": 1,
                    "lastTransitionTime": "2026-11-23T06:50:25Z",
                },
            ],
        }
    )


@pytest.mark.parametrize(
    "manifest",
    [release(), policy(), approval(), revision(), incident()],
    ids=lambda manifest: manifest["kind"],
)
def test_no_field_is_lost_between_model_and_server(server, manifest):
    model = MODELS[manifest["kind"]].spec.model_validate(manifest["spec"], extra="forbid")
    written = server.create({**manifest, "spec": model.to_object()}, strict=True)
    assert written.accepted, written.body
    stored = server.get(manifest["kind"], manifest["metadata"]["name"]).body["spec"]
    assert stored == model.to_object()
    assert MODELS[manifest["kind"]].spec.model_validate(stored, extra="forbid") == model


def test_no_field_of_a_status_is_lost(server):
    assert server.create(release()).accepted
    stored = server.get("AgentRelease", "support").body
    status = statuses()
    assert server.replace({**stored, "status": status.to_object()}, "status").accepted
    read = AgentRelease.from_object(server.get("AgentRelease", "support").body)
    assert read.status == status


def test_a_status_write_does_not_change_the_generation_and_a_spec_write_keeps_the_status(server):
    assert server.create(release()).accepted
    assert server.merge("AgentRelease", "support", {"status": {"phase": "x"}}, "status").accepted
    assert server.get("AgentRelease", "support").body["metadata"]["generation"] == 1
    assert server.merge("AgentRelease", "support", {"spec": {"paused": True}}).accepted
    body = server.get("AgentRelease", "support").body
    assert body["metadata"]["generation"] == 2
    assert body["status"]["phase"] == "x"


def largest(schema, path=""):
    """The longest value that the schema lets through, if one leaves patterns aside."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return "x" * schema["maxLength"]
    match schema["type"]:
        case "string" if "enum" in schema:
            return max(schema["enum"], key=len)
        case "string":
            return "x" * schema.get("maxLength", 40)
        case "boolean":
            return False
        case "number" | "integer":
            return 1234567890.1234567
        case "array":
            return [largest(schema["items"]) for _ in range(schema["maxItems"])]
    if "additionalProperties" in schema:
        return {f"{i:x>63}": largest(schema["additionalProperties"]) for i in range(schema["maxProperties"])}
    whole = {name: largest(below) for name, below in schema["properties"].items()}
    for names in (one_of(rule["rule"]) for rule in schema.get(VALIDATIONS, ())):
        for name in sorted(names, key=lambda name: len(json.dumps(whole[name])))[:-1]:
            del whole[name]
    return whole


def one_of(rule):
    """The fields of which a rule allows exactly one, spelled as all such rules are."""
    found = re.fullmatch(r"\[(.*)\]\.filter\(given, given\)\.size\(\) == 1", rule)
    return re.findall(r"has\(self\.(\w+)\)", found[1]) if found else []


def test_no_release_can_be_larger_than_256_kib():
    schema = definition(MODELS["AgentRelease"])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = len(json.dumps(largest(schema["properties"]["spec"]), separators=(",", ":")))
    assert spec + 64 * KIB < 256 * KIB


def test_a_very_large_release_is_stored_whole(server):
    name = "n" * 120
    sha = "sha256:" + "a" * 64
    texts = [{"name": f"{name}{i:03}", "version": "v" * 64, "digest": sha} for i in range(32)]
    big = changed(
        release(),
        {
            "spec/bundle/prompts": texts,
            "spec/bundle/policies": texts,
            "spec/bundle/retrieval": [
                {"name": t["name"], "snapshot": t["version"], "digest": sha} for t in texts
            ],
            "spec/bundle/connectors": [{"name": f"{name}{i:03}", "version": "v" * 64} for i in range(64)],
            "spec/bundle/tools": [
                {"name": f"{name}{i:03}", "schema": sha, "connector": f"{name}{i % 64:03}", "effect": "write"}
                for i in range(128)
            ],
            "spec/phases": [
                {
                    "name": f"p{i:062}",
                    "weight": 100 if i == 23 else 1 + i * 4,
                    "autonomy": "limited-action",
                    "minSamples": 10_000_000,
                    "minDuration": "499999h",
                    "deadline": "999999h",
                    "onDeadline": "requireApproval",
                    "approval": "required",
                }
                for i in range(24)
            ],
        },
    )
    made = server.create(big, strict=True)
    assert made.accepted, made.message
    status = statuses().model_copy(
        update={
            "evidence": "x" * 32_768,
            "reference": "x" * 16_384,
            "history": statuses().history * 30,
            "metrics": statuses().metrics * 48,
        }
    )
    body = made.body | {"status": fitted(status).to_object()}
    written = server.replace(body, "status")
    assert written.accepted, written.message
    assert len(json.dumps(written.body, separators=(",", ":"))) < 256 * KIB


@pytest.fixture
def kubectl(server, control_plane):
    def run(*arguments, given=None):
        command = [str(builds.kubectl()), "-n", server.namespace, *arguments]
        return subprocess.run(
            command,
            input=given,
            env={"KUBECONFIG": str(control_plane.kubeconfig), "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_one_look_answers_what_is_exposed_and_why(server, kubectl):
    assert server.create(release()).accepted
    stored = server.get("AgentRelease", "support").body
    assert server.replace({**stored, "status": statuses().to_object()}, "status").accepted
    head, row = kubectl("get", "arel").stdout.splitlines()
    assert head.split() == ["NAME", "AGENT", "PHASE", "WEIGHT", "AUTONOMY", "VERDICT", "READY", "AGE"]
    assert row.split()[1:7] == ["support", "canary", "5", "suggestion-only", "Hold", "False"]
    head, row = kubectl("get", "arel", "-o", "wide").stdout.splitlines()
    assert head.split()[7:11] == ["STABLE", "CANDIDATE", "DIGEST", "REASON"]
    assert {"support-0123456789", "support-abababab12", "Progressing"} < set(row.split())


def test_one_word_lists_everything_about_agents(server, kubectl):
    for manifest in (release(), policy(), approval(), revision(), incident()):
        assert server.create(manifest).accepted
    listed = kubectl("get", "agents", "-o", "name").stdout.split()
    kinds = {line.partition("/")[0].partition(".")[0] for line in listed}
    assert kinds >= {"agentrelease", "guardrailpolicy", "agentapproval", "agentrevision", "agentincident"}
    for short in ("arel", "arev", "guard", "aappr", "ainc"):
        assert kubectl("get", short, "-o", "name").stdout


def ready_at(generation):
    ready = Condition(
        type="Ready",
        status="True",
        reason="Promoted",
        observed_generation=generation,
        last_transition_time="t",
    )
    return {"status": ReleaseStatus(observed_generation=generation, conditions=[ready]).to_object()}


def test_kubectl_waits_for_a_release(server, kubectl):
    assert server.create(release()).accepted
    assert server.merge("AgentRelease", "support", ready_at(1), "status").accepted
    waited = kubectl("wait", "--for=condition=Ready", "agentrelease/support", "--timeout=30s")
    assert "condition met" in waited.stdout, waited.stderr


def test_a_ready_of_an_earlier_generation_does_not_count(server, kubectl):
    assert server.create(release()).accepted
    assert server.merge("AgentRelease", "support", ready_at(1), "status").accepted
    assert server.merge("AgentRelease", "support", {"spec": {"paused": True}}).accepted
    waited = kubectl("wait", "--for=condition=Ready", "agentrelease/support", "--timeout=1s")
    assert "timed out" in waited.stderr


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("agentrelease", "One agent: the bundle it shall have"),
        (
            "agentrelease.spec.phases.minDuration",
            "counted only while intended, live and measured exposure agree",
        ),
        ("agentrelease.spec.bundle.tools.effect", "`irreversible` can't. Default: irreversible."),
        ("agentrelease.status.exposure", "intended, live and measured, side by side"),
        ("guardrailpolicy.spec.metrics.onBreach", "What a proven breach causes"),
        ("agentapproval.spec.digest", "void for any other"),
        ("agentrevision.spec.layers", "SHA-256 of each layer's canonical JSON"),
        ("agentincident.spec.label.asi", "OWASP Agentic 2026"),
    ],
)
def test_kubectl_explains_every_field(kubectl, path, words):
    explained = kubectl("explain", path)
    assert words in re.sub(r"\s+", " ", explained.stdout), explained.stderr


def documents():
    """Every manifest of ours in examples/ and in the docs' yaml blocks."""
    for path in sorted((ROOT / "examples").rglob("*.yaml")):
        for place, text in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(ROOT)}#{place}", text
    for path in (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"):
        blocks = re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
        for place, block in enumerate(blocks):
            if re.search(r"^apiVersion: agentrelease\.dev/", block, re.MULTILINE) and "…" not in block:
                for text in yaml.safe_load_all(block):
                    yield f"{path.relative_to(ROOT)}#{place}", text


OURS = [
    pytest.param(text, id=place)
    for place, text in documents()
    if text and text.get("apiVersion", "").startswith("agentrelease.dev/")
]


@pytest.mark.parametrize("manifest", OURS)
def test_every_example_is_accepted_as_it_stands(admin, manifest):
    answer = Server(admin, "default").create(manifest, dry_run=True, strict=True)
    assert answer.accepted, answer.body


def test_a_policy_for_the_whole_cluster_has_no_namespace(admin):
    assert {"ClusterGuardrailPolicy"} == CLUSTER_WIDE
    answer = Server(admin).create(policy("ClusterGuardrailPolicy", "round-trip"), dry_run=True)
    assert "namespace" not in answer.body["metadata"]
