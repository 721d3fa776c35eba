"""State that fits in a status whatever agents report: one that can't be written would stop a rollback."""

from __future__ import annotations

import json
import random

import pytest

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.status import MetricStatus, ReleaseStatus
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.assess import Requirements, assess
from agentrelease.core.evidence import LONGEST_KEY, OTHER, Block, Cell, Concurrent, Count, Paths, stratum_key
from agentrelease.core.ledger import Ledger
from agentrelease.core.plan import compile_plan
from agentrelease.core.reference import write_reference
from agentrelease.core.swing import HOUR

LABELS = ["risk_tier", "workflow_class", "r" * 63]
LONG = [dict.fromkeys(LABELS, f"{place},{'=' * 126}") for place in range(8)]
METRICS = 24


def policy() -> GuardrailPolicySpec:
    """Return as much as a policy may hold."""
    count = {"metric": "agentrelease_tasks_total"}
    metrics = [
        {
            "name": f"{place:02}-{'m' * 60}",
            "class": "quality",
            "onBreach": "rollback",
            "ratio": {"bad": count, "of": count},
        }
        for place in range(METRICS)
    ]
    return GuardrailPolicySpec.model_validate(
        {
            "metrics": metrics,
            "strata": {"labels": LABELS, "required": LONG},
            "outcomes": {"deadline": "1m"},
        }
    )


def told(seed: int) -> list[str]:
    """Return strata as agents may report them: the required ones, too many, and some without end."""
    rng = random.Random(seed)
    short = [f"risk_tier={rng.randrange(10**9):0100}" for _ in range(40)]
    endless = [stratum_key({"risk_tier": chr(97 + place) * 5000}) for place in range(30)]
    return [*map(stratum_key, LONG), *short, *endless]


@pytest.fixture(scope="module")
def large() -> Ledger:
    _, plan = compile_plan([policy()], grid=5.0)
    big = Count(123_456_789, 98_765_432)
    names = [g.name for g in plan.tested]
    ledger = Ledger.new(plan, 0.0)
    hours = [
        Block(
            -HOUR * (ago + 1),
            -HOUR * ago,
            {name: {key: Cell(None, big) for key in told(1)} for name in names},
        )
        for ago in range(3)
    ]
    ledger = ledger.remembering(plan, hours, "3 hours of its past days are known")
    for place in range(4):
        keys = told(place)
        cells = {name: {key: Cell(big, big) for key in keys} for name in names}
        lacking = {plan.tested[0].lacking or "all": {key: Paths((1e9, 2e9), (1e9, 2e9)) for key in keys}}
        block = Block(5.0 * place, 5.0 * place + 5, cells, lacking=lacking)
        ledger = ledger.absorb(plan, block, Autonomy.OBSERVE, Concurrent())
    return ledger


def test_the_largest_ledger_and_its_record_fit_in_a_status(large: Ledger) -> None:
    ReleaseStatus(evidence=large.to_json(), reference=write_reference(large))
    assert len(large.to_json()) > 50_000, "this is no large ledger"
    assert Ledger.from_json(large.to_json()) == large


def test_what_has_no_end_of_a_name_is_counted_with_the_others(large: Ledger) -> None:
    required = set(map(stratum_key, LONG))
    for state in large.metrics.values():
        assert required < set(state.strata)
        assert all(len(key) <= LONGEST_KEY for key in state.strata.keys() - required)
        assert state.strata[OTHER].candidate.n > 30 * 123_456_789
    assert all(len(key) <= LONGEST_KEY for marks in large.lacking.values() for key in marks)
    assert max(map(len, json.loads(large.to_json())["s"])) < 2_048


def test_every_line_of_its_judgement_fits_too(large: Ledger) -> None:
    _, plan = compile_plan([policy()], grid=5.0)
    for line in assess(plan, large, 20.0, Requirements()).metrics:
        MetricStatus(name=line.name, class_=line.metric_class, stratum=line.stratum, verdict=line.verdict)
