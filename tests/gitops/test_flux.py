"""Flux's expressions, evaluated by the API server's own CEL on recorded objects."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.api.server import Server
from tests.support.controlplane import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

GITOPS = Path(__file__).parents[2] / "docs" / "gitops"
RECORDED = sorted((GITOPS / "argocd").rglob("testdata/*.yaml"))
WANTED = {
    "healthy-promoted": "current",
    "progressing-shadow": "current",
    "suspended-awaiting-approval": "current",
    "degraded-rolled-back": "failed",
}


def expressions() -> dict[str, str]:
    document = yaml.safe_load((GITOPS / "flux" / "kustomization.yaml").read_text(encoding="utf-8"))
    (check,) = document["spec"]["healthCheckExprs"]
    assert (check["apiVersion"], check["kind"]) == ("agentrelease.dev/v1alpha1", "AgentRelease")
    return {name: check[name] for name in ("failed", "inProgress", "current")}


@pytest.fixture(scope="module")
def judge(admin) -> Iterator[Server]:
    """A namespace where writing a status is refused with the verdict, in Flux's order of asking."""
    server, name = Server(admin), f"flux-{uuid.uuid4().hex[:8]}"
    asked = {
        key: re.sub(r"(?<![\w.])(status|metadata)\b", r"object.\1", text)
        for key, text in expressions().items()
    }
    verdict = (
        f"({asked['failed']}) ? 'failed' : ({asked['inProgress']}) ? 'inProgress' : "
        f"({asked['current']}) ? 'current' : 'unknown'"
    )
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["agentrelease.dev"],
                        "apiVersions": ["*"],
                        "resources": ["agentreleases/status"],
                        "operations": ["UPDATE"],
                    }
                ]
            },
            "validations": [{"expression": "false", "messageExpression": f"'verdict ' + ({verdict})"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"flux-test": name}}},
        },
    }
    space = {"kind": "Namespace", "metadata": {"name": name, "labels": {"flux-test": name}}}
    for obj in (space, policy, binding):
        made = server.create(obj)
        assert made.accepted, made.body
    view = Server(admin, name)
    wait_until(lambda: "verdict" in said(view, RECORDED[0]), 60, "the policy is in force")
    yield view
    for obj in (binding, policy, space):
        server.delete(obj["kind"], name)


def said(server: Server, path: Path, generation: int | None = None) -> str:
    recorded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    server.delete("AgentRelease", "support")
    made = server.create({**recorded, "metadata": {"name": "support"}})
    assert made.accepted, made.body
    status = recorded["status"]
    told = made.body["metadata"]["generation"] if generation is None else generation
    status["observedGeneration"] = told
    for condition in status["conditions"]:
        condition["observedGeneration"] = told
    return server.merge("AgentRelease", "support", {"status": status}, "status").message


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_flux_sees_what_the_table_says(judge, path):
    assert said(judge, path).endswith(f"verdict {WANTED[path.stem]}")


def test_flux_does_not_believe_what_was_said_about_an_earlier_generation(judge):
    promoted = next(path for path in RECORDED if path.stem == "healthy-promoted")
    assert said(judge, promoted, generation=0).endswith("verdict inProgress")
