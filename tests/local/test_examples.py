"""The example manifests: the models read them, the agent has what they name, the demo's numbers work."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from agentrelease.api.bundle import Bundle
from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.release import ReleaseSpec
from agentrelease.api.vocabulary import REVISION_ANNOTATION, Autonomy
from agentrelease.core.assess import Requirements, Verdict, assess
from agentrelease.core.blocks import metrics_read
from agentrelease.core.bundle import changes, digest_of
from agentrelease.core.evidence import Block, Cell, Concurrent, Count, Frozen
from agentrelease.core.guardrails import Kind
from agentrelease.core.ledger import Ledger
from agentrelease.core.plan import compile_plan
from agentrelease.local.agent.behaviour import behaviour_of
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


# ---- do the demo's margins do in minutes what they promise? ----------------------------------------

RATE, INTERNAL, HIGH = 100.0, 0.10, 0.15
METRICS = ("task-completion", "policy-violations", "slow-answers", "escalations")
PATIENCE = 60


class Demo:
    """One rollout as the operator would see it, a second at a time, from the same table of behaviours."""

    def __init__(self, candidate, stable, seed):
        self.spec = spec_of(candidate)
        _, self.plan = compile_plan([policy()], grid=1.0)
        self.arms = [behaviour_of(spec_of(name).bundle) for name in (candidate, stable)]
        self.rng = random.Random(seed)
        self.now = 0.0
        self.ledger = Ledger.new(self.plan, 0.0)
        self.record = {metric: {} for metric in METRICS}

    def tasks(self, behaviour, rate, *, pushed):
        """Bad outcomes out of tasks, by stratum and metric, in one second."""
        found = {}
        for stratum, share in (("risk_tier=low", 1 - HIGH), ("risk_tier=high", HIGH)):
            number = sum(self.rng.random() < 0.5 for _ in range(round(2 * rate * share))) if rate else 0
            chances = (
                1 - behaviour.completion,
                behaviour.violation_rate(pushed=pushed),
                0.002,
                behaviour.escalated,
            )
            found[stratum] = {
                metric: Count(number, sum(self.rng.random() < chance for _ in range(number)))
                for metric, chance in zip(METRICS, chances, strict=True)
            }
        return found

    def run(self):
        """Return seconds by phase, and the verdict that ended it."""
        seconds = {}
        for phase in self.spec.phases:
            self.ledger = self.ledger.enter_phase(self.now)
            began = self.now
            while True:
                self.second(phase)
                needs = Requirements(phase.min_samples, not_before=began + phase.min_duration.seconds)
                said = assess(self.plan, self.ledger, self.now, needs)
                seconds[phase.name] = self.now - began
                if said.verdict is Verdict.PROMOTE:
                    break
                if said.verdict is Verdict.ROLLBACK or self.now - began >= PATIENCE:
                    return seconds, said
        return seconds, said

    def second(self, phase):
        weight = (phase.weight or 0.0) / 100
        mine, theirs = RATE * (1 - INTERNAL) * weight, RATE * (1 - INTERNAL) * (1 - weight)
        pushed = True
        if phase.mirror:
            mine, theirs, pushed = RATE, RATE, False
        elif phase.cohort:
            mine, pushed = RATE * INTERNAL, False
        self.now += 1.0
        candidate = self.tasks(self.arms[0], mine, pushed=pushed)
        stable = self.tasks(self.arms[1], theirs, pushed=True) if theirs else {}
        cells = {
            metric: {
                key: Cell(candidate[key][metric], stable[key][metric] if stable else None)
                for key in candidate
            }
            for metric in METRICS
        }
        for metric in METRICS if stable else ():
            for key, counts in stable.items():
                old, new = self.record[metric].get(key, Count(0, 0)), counts[metric]
                self.record[metric][key] = Count(old.n + new.n, old.x + new.x)
        block = Block(self.now - 1.0, self.now, cells, {"forbidden-action": 0})
        against = Concurrent() if stable else Frozen(self.record)
        self.ledger = self.ledger.absorb(self.plan, block, Autonomy(phase.autonomy), against)


def test_the_plan_has_an_event_and_four_tested_metrics():
    _, plan = compile_plan([policy()], grid=1.0)
    assert {g.name for g in plan.tested} == set(METRICS)
    assert [g.kind for g in plan.events] == [Kind.EVENT]


@pytest.mark.parametrize("seed", range(6))
def test_v2_passes_every_phase_within_a_demos_patience(seed):
    seconds, said = Demo("v2", "v1", seed).run()
    assert said.verdict is Verdict.PROMOTE, said.reason
    assert list(seconds) == [phase.name for phase in spec_of("v2").phases]
    assert sum(seconds.values()) < 100


@pytest.mark.parametrize("seed", range(6))
def test_v3_meets_users_for_seconds_and_is_rolled_back_for_its_violations(seed):
    seconds, said = Demo("v3", "v2", seed).run()
    assert said.verdict is Verdict.ROLLBACK, said.reason
    assert said.reason.startswith("policy-violations")
    assert list(seconds)[-1] == "canary-10"
    assert seconds["canary-10"] < 30


@pytest.mark.parametrize("seed", range(3))
def test_the_fixed_bundle_passes(seed):
    _, said = Demo("v3-fixed", "v2", seed).run()
    assert said.verdict is Verdict.PROMOTE, said.reason


def test_a_bundle_of_the_examples_survives_its_own_json():
    for name in RELEASES:
        bundle = spec_of(name).bundle
        assert Bundle.model_validate(bundle.to_object()) == bundle
