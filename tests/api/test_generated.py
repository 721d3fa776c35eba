"""2,100 manifests, valid and broken: each is accepted and handled, or refused by field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.api.generated import BATCH, broken, guardrail_policies, releases
from tests.api.server import Answer, Server

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.release import AgentRelease, ReleaseSpec
from agentrelease.core.bundle import canonical, changes, digest_of, layer_digests
from agentrelease.core.plan import compile_plan

GRID = 1.0  # the shortest staleAfter that the API accepts is no shorter than a block of evidence


def counted(examples: int):
    return settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],  # a failing manifest is its own best report
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


@pytest.fixture(scope="module")
def anywhere(admin) -> Server:
    return Server(admin, "default")


def refused_by_field(answer: Answer) -> None:
    """A refusal is the user's to mend: it says where, below spec."""
    assert answer.code == 422, answer.body
    fields = {field for field, _ in answer.causes if field not in ("", "<nil>")}
    assert fields, answer.message
    assert all(field == "spec" or field.startswith(("spec.", "spec[")) for field in fields), answer.message


def written_back(server: Server, answer: Answer) -> None:
    """What the models make of an accepted object is accepted too, defaults and all."""
    obj = answer.body
    spec = (ReleaseSpec if obj["kind"] == "AgentRelease" else GuardrailPolicySpec).model_validate(obj["spec"])
    again = {**obj, "metadata": {"name": "x"}, "spec": spec.to_object()}
    second = server.create(again, dry_run=True, strict=True)
    assert second.accepted, second.message
    assert second.body["spec"] == spec.to_object()


def handled(answer: Answer) -> None:
    """What was accepted, the operator can read, name, compare and judge by; and nothing got lost."""
    obj: dict[str, Any] = answer.body
    if obj["kind"] == "AgentRelease":
        stored = obj | {"metadata": obj["metadata"] | {"resourceVersion": "1"}}
        release = AgentRelease.from_object(stored)
        bundle = release.spec.bundle
        assert digest_of(bundle).startswith("sha256:")
        assert len(layer_digests(bundle)) == 10
        assert changes(bundle, bundle) == ()
        assert json.loads(canonical(bundle)) == bundle.to_object()
        kept(obj["spec"], release.spec.to_object())
    else:
        spec = GuardrailPolicySpec.model_validate(obj["spec"])
        _, plan = compile_plan([spec], GRID)
        assert len(plan.guardrails) == len(spec.metrics)
        kept(obj["spec"], spec.to_object())


def kept(stored: Any, read: Any, path: str = "spec") -> None:
    if isinstance(stored, dict):
        for key, value in stored.items():
            assert key in read, f"{path}.{key} was lost"
            kept(value, read[key], f"{path}.{key}")
    elif isinstance(stored, list):
        assert len(stored) == len(read), path
        for place, (one, other) in enumerate(zip(stored, read, strict=True)):
            kept(one, other, f"{path}[{place}]")
    else:
        assert stored == read, path
        assert isinstance(stored, bool) == isinstance(read, bool), path


@given(manifest=releases())
@counted(300)
def test_a_valid_release_is_accepted_whole_and_handled(anywhere, manifest):
    answer = anywhere.create(manifest, dry_run=True, strict=True)
    assert answer.accepted, answer.message
    kept(manifest["spec"], answer.body["spec"])
    handled(answer)
    written_back(anywhere, answer)


@given(manifest=guardrail_policies())
@counted(300)
def test_a_valid_policy_is_accepted_whole_and_handled(anywhere, manifest):
    answer = anywhere.create(manifest, dry_run=True, strict=True)
    assert answer.accepted, answer.message
    kept(manifest["spec"], answer.body["spec"])
    handled(answer)
    written_back(anywhere, answer)


@given(manifests=broken(releases()))
@counted(900 // BATCH)
def test_a_broken_release_is_handled_or_refused_by_field(anywhere, manifests):
    for manifest in manifests:
        answer = anywhere.create(manifest, dry_run=True)
        handled(answer) if answer.accepted else refused_by_field(answer)


@given(manifests=broken(guardrail_policies()))
@counted(600 // BATCH)
def test_a_broken_policy_is_handled_or_refused_by_field(anywhere, manifests):
    for manifest in manifests:
        answer = anywhere.create(manifest, dry_run=True)
        handled(answer) if answer.accepted else refused_by_field(answer)
