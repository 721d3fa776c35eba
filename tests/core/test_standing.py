"""Evidence of all guardrails weighed together: nothing seen is nothing, and who leads is named."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import pytest
from tests.core.conftest import absorbed, block, event, guardrail, plan

from agentrelease.core.assess import Requirements, assess
from agentrelease.core.guardrails import MetricVerdict, Plan
from agentrelease.core.ledger import LATER, Ledger
from agentrelease.core.standing import harm_of, safe, stand
from agentrelease.core.wealth import UNIT, MetricState, Onset, StratumState, new_metric

WAITING = LATER
ONSET = Onset(WAITING)


def state(*strata: str, **nats: float) -> MetricState:
    """A metric that has seen nothing in its strata; ``nats`` are won by all bets of a part."""
    fresh = new_metric(ONSET, 0.0)
    made = {key: StratumState(harm=ONSET.initial()) for key in strata}
    for part, won in nats.items():
        gained = tuple(h + round(UNIT * won) for h in ONSET.initial())
        if part in made:
            made[part] = replace(made[part], harm=gained)
        else:
            fresh = replace(fresh, **{part: gained})
    return replace(fresh, strata=made)


@pytest.mark.parametrize("strata", [(), ("a",), ("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize("ceiling", [None, 0.2])
def test_where_nothing_was_seen_there_is_evidence_of_nothing(strata, ceiling):
    one = guardrail(ceiling=ceiling)
    assert harm_of(one, state(*strata), WAITING).log_evidence == pytest.approx(0.0, abs=1e-4)


def test_evidence_is_a_mixture_over_where_harm_may_be():
    bounded = guardrail(ceiling=0.2)
    won = WAITING + (1.0 - WAITING) * exp(5.0)
    for one, made, share in (
        (guardrail(), state("a", pooled=5.0), 1.0),
        (guardrail(), state("a", "b", pooled=5.0), 0.8),
        (guardrail(), state("a", "b", b=5.0), 0.1),
        (bounded, state("a", pooled=5.0), 0.75),
        (bounded, state("a", bound=5.0), 0.25),
        (bounded, state("a", "b", pooled=5.0), 0.6),
        (bounded, state("a", "b", a=5.0), 0.075),
    ):
        found = exp(harm_of(one, made, WAITING).log_evidence)
        assert found == pytest.approx(share * won + 1.0 - share, rel=1e-3)


def test_where_harm_is_is_named():
    bounded = guardrail(ceiling=0.2)
    for made, stratum, absolute in (
        (state("a", "b"), "", False),
        (state("a", "b", a=9.0), "a", False),
        (state("a", "b", b=9.0), "b", False),
        (state("a", "b", pooled=9.0), "", False),
        (state("a", "b", bound=9.0), "", True),
        (state("a", bound=9.0), "", True),
        (state("a", a=9.0), "", False),
    ):
        found = harm_of(bounded, made, WAITING)
        assert (found.stratum, found.absolute) == (stratum, absolute)


def both(left: float, right: float) -> tuple[Ledger, Plan]:
    made = plan(guardrail("one", weight=0.5), guardrail("two", weight=0.5))
    metrics = {"one": state(pooled=left), "two": state(pooled=right)}
    return replace(Ledger.new(made, 0.0), blocks=1, metrics=metrics), made


def test_guardrails_that_are_suspect_together_are_a_breach_of_the_one_that_leads():
    alone = log(20.0 / 0.5 / (1.0 - WAITING))
    for left, right, breaches, leading in (
        (0.0, 0.0, (), "one"),
        (alone + 0.1, 0.0, ("one",), "one"),
        (alone - 1.5, alone - 1.4, (), "two"),
        (alone - 0.3, alone - 0.2, ("two",), "two"),
        (alone + 0.1, alone + 0.2, ("two", "one"), "two"),
    ):
        ledger, made = both(left, right)
        found = stand(made, ledger)
        assert (found.breaches, found.leading) == (breaches, leading)


def test_events_alone_have_no_standing():
    made = plan(event())
    found = stand(made, Ledger.new(made, 0.0))
    assert (found.harm, found.breaches, found.leading) == ({}, (), None)


def test_safe_is_only_what_is_safe_as_a_whole_and_in_each_group_that_must_pass():
    one = guardrail(alpha=0.05)
    made = plan(one, required=("tier=high",))
    enough, less = round(UNIT * log(20.0)) + 1, round(UNIT * log(20.0)) - 1
    for whole, group, passes in ((enough, enough, True), (less, enough, False), (enough, less, False)):
        known = replace(state("tier=high"), safe=(whole,) * 2, required={"tier=high": group})
        assert safe(made, one, known) is passes
    assert not safe(made, one, replace(state("tier=high"), safe=(enough,) * 2)), (
        "of that group nothing is known"
    )
    assert safe(plan(one), one, replace(state(), safe=(enough,) * 2))


# ---- how old, and how bad it looks -----------------------------------------------------------------------


def test_evidence_is_blind_from_the_moment_at_which_it_is_stale():
    made = plan(stale_after=120.0)
    ledger = absorbed(made, [block(n, {"failures": {"": ((30, 3), (570, 57))}}) for n in range(5)])
    said = [
        assess(made, ledger, 300.0 + later, Requirements()).metrics[0].verdict for later in (119.0, 120.0)
    ]
    assert said == [MetricVerdict.COLLECTING, MetricVerdict.BLIND]


def test_what_looks_bad_and_proves_nothing_is_suspect_where_it_leads():
    made = plan(guardrail("one", weight=0.5), guardrail("two", weight=0.5))
    cells = {"one": {"": ((30, 6), (570, 57))}, "two": {"": ((30, 3), (570, 57))}}
    ledger = absorbed(made, [block(n, cells) for n in range(3)])
    while not log(made.suspect_at) <= stand(made, ledger).family < log(1 / made.false_rollback):
        ledger = absorbed(made, [block(ledger.blocks, cells)], ledger=ledger)
    lines = {one.name: one.verdict for one in assess(made, ledger, ledger.through, Requirements()).metrics}
    assert lines["one"] is MetricVerdict.SUSPECT
    assert lines["two"] is not MetricVerdict.SUSPECT
