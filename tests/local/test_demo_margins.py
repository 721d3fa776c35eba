"""Do the demo's margins do in minutes what they promise? Rollouts, a second at a time, through the core."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.release import ReleaseSpec
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.assess import Requirements, Verdict, assess
from agentrelease.core.evidence import Block, Cell, Concurrent, Count, Frozen, Recorded
from agentrelease.core.guardrails import Kind
from agentrelease.core.ledger import Ledger
from agentrelease.core.plan import compile_plan
from agentrelease.local.agent.behaviour import behaviour_of

FOLDER = Path(__file__).parents[2] / "examples" / "support-agent"


def objects(name):
    return list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


def spec_of(name):
    (obj,) = objects(name)
    return ReleaseSpec.model_validate(obj["spec"])


def policy():
    (obj,) = [obj for obj in objects("platform") if obj["kind"] == "GuardrailPolicy"]
    return GuardrailPolicySpec.model_validate(obj["spec"])


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
                old, new = self.record[metric].get(key, Recorded(Count(0, 0))).count, counts[metric]
                self.record[metric][key] = Recorded(Count(old.n + new.n, old.x + new.x))
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
