"""``log`` and ``explain`` as a person runs them: over a file of the stream, and over a cluster's copies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes import client
from tests.support.logging import logging_to
from tests.support.stage import AGENT, NAMESPACE, Behaviour, Stage

from agentrelease.edges import kinds, recorder
from agentrelease.engine.ports import Ref

PLUGIN = Path(sys.executable).parent / "kubectl-agent_release"
GROUP = ("agentrelease.dev", "v1alpha1")


async def rolled_back(uid: str = "u") -> Stage:
    """A rollout that went up one phase and ended with a breach."""
    stage = Stage()
    await stage.install()
    await stage.apply("v1")
    stage.cluster.objects[Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)]["metadata"]["uid"] = uid
    await stage.run(20, until="Promoted")
    await stage.apply("v3", Behaviour(completion=0.99, violations=0.15))
    await stage.run(200, until="RolledBack")
    await stage.step()
    return stage


def written(stage: Stage, path: Path) -> Path:
    """Write the stream as the operator does, with other lines in between, as `kubectl logs` shows it."""
    with path.open("w") as stream, logging_to(stream):
        for entry in stage.entries:
            recorder.log.info("operator starts", port=8080)
            recorder.stream(entry)
    path.write_text("".join(f"[pod/operator] {line}\n" for line in path.read_text().splitlines()))
    return path


@pytest.fixture
async def stream(tmp_path: Path) -> Path:
    return written(await rolled_back(), tmp_path / "stream.jsonl")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {**os.environ, "COLUMNS": "160", "PYTHONUTF8": "1", "KUBECONFIG": "/nowhere", **environment}
    return subprocess.run(
        [PLUGIN, *arguments], env=own, capture_output=True, encoding="utf-8", timeout=180, check=False
    )


def test_a_stream_that_nobody_touched_is_verified_without_a_cluster(stream):
    done = run("log", "--verify", "--file", str(stream))
    assert (done.returncode, done.stderr) == (0, "")
    assert "shop/support: " in done.stdout
    assert "unchanged, complete and in order" in done.stdout
    shown = run("log", "support", "-n", "shop", "--file", str(stream)).stdout
    assert "GuardrailBreached" in shown


def tampered(stream: Path, how: str) -> None:
    lines = stream.read_text().splitlines()
    told = [place for place, line in enumerate(lines) if recorder.STREAM in line]
    third, fourth = told[2], told[3]
    match how:
        case "changed":
            lines[third] = lines[third].replace('"cause": "', '"cause": "Not', 1)
        case "missing":
            del lines[third]
        case "reordered":
            lines[third], lines[fourth] = lines[fourth], lines[third]
    stream.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("changed", "d-000003 was changed: its content has another hash than it says"),
        ("missing", "d-000003 is missing: it is not there"),
        ("reordered", "d-000003 is out of order: it stands after d-000004"),
    ],
)
def test_tampering_is_said_in_one_sentence_with_exit_code_one(stream, how, sentence):
    tampered(stream, how)
    done = run("log", "support", "--verify", "--file", str(stream))
    assert done.returncode == 1
    assert sentence in done.stdout
    assert "does not hold" in done.stdout
    found = json.loads(run("log", "--verify", "-o", "json", "--file", str(stream)).stdout)
    assert [(fault["kind"], fault["id"]) for fault in found["faults"]] == [(how, "d-000003")]


def test_every_decision_is_decided_again_bit_for_bit(stream):
    done = run("explain", "support", "--all", "-o", "json", "--file", str(stream))
    assert done.returncode == 0, done.stderr
    explained = json.loads(done.stdout)
    assert len(explained) > 8
    assert all(one["reproduced"] and one["again"] == one["recorded"] for one in explained)


def test_an_explanation_names_the_rule_the_numbers_and_the_proof(stream):
    explained = json.loads(run("explain", "support", "--all", "-o", "json", "--file", str(stream)).stdout)
    breach = next(one for one in explained if one["recorded"]["cause"] == "GuardrailBreached")
    done = run("explain", "support", "--at", breach["id"], "--file", str(stream))
    assert done.returncode == 0, done.stderr
    assert "▶ breach: Withdraw, GuardrailBreached: policy-violations is worse" in done.stdout
    assert "· finish withdrawal" in done.stdout
    assert "· deadline" not in done.stdout
    violations = next(line for line in done.stdout.splitlines() if line.startswith("  policy-violations: "))
    assert "bad against" in violations
    assert re.search(
        r"evidence for harm [\d,]+ to 1 \(24 to 1 proves it\), for safety none \(100 to 1 proves it\)",
        violations,
    )
    assert "the same, bit for bit" in done.stdout


def test_a_decision_that_was_made_up_does_not_come_out_again(stream):
    text = stream.read_text().replace('"cause": "GuardrailBreached"', '"cause": "Promoted"')
    stream.write_text(text)
    done = run("explain", "support", "--all", "--file", str(stream))
    assert done.returncode == 1
    assert "DIFFERS" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["log", "--file", "/nowhere.jsonl"], "Error: --file: can't read /nowhere.jsonl"),
        (["log", "nobody", "--file", "{stream}"], "has no decision of nobody"),
        (["explain", "support", "--at", "d-999999", "--file", "{stream}"], "Error: --at: d-999999"),
        (["log"], "NAME"),
    ],
)
def test_a_mistake_is_one_sentence(stream, arguments, sentence):
    done = run(*[argument.replace("{stream}", str(stream)) for argument in arguments])
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


async def test_the_copies_on_a_cluster_are_merged_checked_and_explained(
    admin, control_plane, namespace, recorded
):
    here, objects = namespace(), client.CustomObjectsApi(admin)

    def put(plural: str, stored) -> str:
        meta = {key: stored["metadata"][key] for key in ("name", "labels") if key in stored["metadata"]}
        made = {**stored, "metadata": {**meta, "namespace": here}}
        made.pop("status", None)
        return objects.create_namespaced_custom_object(*GROUP, here, plural, made)["metadata"]["uid"]

    def report(plural: str, name: str, status) -> None:
        objects.patch_namespaced_custom_object_status(*GROUP, here, plural, name, {"status": status})

    release = recorded.object({})
    stage = await rolled_back(put("agentreleases", release))
    report(
        "agentreleases", AGENT, stage.cluster.objects[Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)]["status"]
    )
    revisions = [obj for ref, obj in stage.cluster.objects.items() if ref.kind == kinds.AGENT_REVISION]
    for revision in revisions:
        put("agentrevisions", revision)
        report("agentrevisions", revision["metadata"]["name"], revision["status"])
    where = {"KUBECONFIG": str(control_plane.kubeconfig)}

    shown = run("log", AGENT, "-n", here, "-o", "json", **where)
    assert json.loads(shown.stdout)["verified"], shown.stdout
    assert len(json.loads(shown.stdout)["entries"]) == len(stage.entries)
    assert run("log", AGENT, "--verify", "-n", here, **where).returncode == 0
    assert run("explain", AGENT, "--all", "-n", here, **where).returncode == 0

    name = revisions[-1]["metadata"]["name"]
    decisions = revisions[-1]["status"]["decisions"]
    report("agentrevisions", name, {"decisions": decisions[:2] + decisions[3:]})
    done = run("log", AGENT, "--verify", "-n", here, **where)
    assert done.returncode == 1
    assert f"{decisions[2]['id']} is missing" in done.stdout
