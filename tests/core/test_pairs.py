"""Answers to the same request: the test is valid whatever the two have to do with each other, and sharp."""

from __future__ import annotations

from itertools import product
from math import exp, factorial, log

import numpy as np
import pytest
from tests.core.conftest import absorbed, guardrail, plan
from tests.support.paired import COMPLETION

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import blocks, pairs, planner
from agentrelease.core.assess import Requirements, Verdict, assess
from agentrelease.core.contrast import Contrast, Pairs, disagreement
from agentrelease.core.counters import Sample
from agentrelease.core.evidence import Block, Cell, Concurrent, Count, Paired
from agentrelease.core.guardrails import Margin
from agentrelease.core.ledger import Ledger
from agentrelease.core.series import Series, Snapshot
from agentrelease.core.spread import Spread
from agentrelease.core.standing import log_safety, stand

MARGINS = ((1.0, 0.0), (1.0, 0.02), (1.1, 0.0002), (1.5, 0.05), (0.8, 0.1), (3.0, 0.0))
BEFORE = (Pairs(10, 1, 1, 0.5), Pairs(40, 2, 9, 2), Pairs(40, 30, 25, 20))


def splits(n: int):
    """Every way in which n pairs can be bad in the candidate alone, in stable alone, in both, in none."""
    for a, b, c in product(range(n + 1), repeat=3):
        if a + b + c <= n:
            yield a, b, c, n - a - b - c


def expectation(tests, n: int, p: tuple[float, float, float]) -> float:
    """The expected e-value of ``tests(Pairs)`` over all outcomes of n pairs."""
    q = max(0.0, 1.0 - sum(p))
    found = 0.0
    for only_c, only_b, both, none in splits(n):
        ways = factorial(n) / np.prod([float(factorial(k)) for k in (only_c, only_b, both, none)])
        chance = ways * p[0] ** only_c * p[1] ** only_b * p[2] ** both * q**none
        found += chance * exp(tests(Pairs(n, only_c + both, only_b + both, both)))
    return found


def joint(rate: float, bound: float, shared: float) -> tuple[float, float, float]:
    """The chances of only the candidate, only stable and both, for two rates and a share of the overlap."""
    both = max(0.0, rate + bound - 1.0) + shared * (min(rate, bound) - max(0.0, rate + bound - 1.0))
    return bound - both, rate - both, both


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_block_of_pairs_expects_no_more_than_one_however_the_answers_depend(margin, n: int) -> None:
    """All outcomes, on the margin and inside: answers that never fail together, and such that always do."""
    worst = 0.0
    for before, rate, shared in product(BEFORE, (0.02, 0.1, 0.3, 0.6), (0.0, 0.3, 1.0)):
        r, d = margin
        bound = r * rate + d
        if bound > 1.0:
            continue
        for place in range(3):  # harm: on the margin, and better

            def harm(now: Pairs, place=place, before=before) -> float:
                test = disagreement(margin, now, before)
                return Contrast(test, test, test).harm()[place]

            for better in (1.0, 0.5):
                worst = max(worst, expectation(harm, n, joint(rate, better * bound, shared)))
        for place in range(2):  # safety: on the margin, and worse

            def safe(now: Pairs, place=place, before=before) -> float:
                test = disagreement(margin, now, before)
                return Contrast(test, test, test).safe()[place]

            for worse in (bound, 0.5 * (1.0 + bound)):
                worst = max(worst, expectation(safe, n, joint(rate, worse, shared)))
    assert 0.9 < worst <= 1.0 + 1e-9


def test_independent_arms_in_the_sharper_form_would_promise_too_much() -> None:
    """Why pairs don't use the Bernoulli form: it multiplies what can't happen together, and exceeds one."""
    margin, before, p = (1.0, 0.0), Pairs(10, 5, 5, 1), (0.45, 0.45, 0.1)

    def sharper(now: Pairs) -> float:
        test = disagreement(margin, now, before)
        bounded = type(test)(test.margin, test.candidate, test.stable, bounded=True, rate=test.rate)
        return Contrast(bounded, bounded, bounded).harm()[0]

    assert expectation(sharper, 5, p) > 1.01


def shadowed(rng, joint_rates, minutes: int, per_minute: int = 30) -> list[Block]:
    """Minutes of pairs with these chances: only the candidate, only stable, both."""
    chances = [*joint_rates, 1.0 - sum(joint_rates)]
    made = []
    for minute in range(minutes):
        only_c, only_b, both, _ = (int(k) for k in rng.multinomial(per_minute, chances))
        cell = Cell(Count(per_minute, only_c + both), Count(per_minute, only_b + both), both)
        made.append(Block(60.0 * minute, 60.0 * minute + 60.0, {"failures": {"": cell}}))
    return made


def apart(block: Block) -> Block:
    """The same counts, with nothing known about which answer belongs to which."""
    cell = block.cells["failures"][""]
    return Block(block.start, block.end, {"failures": {"": Cell(cell.candidate, cell.stable)}})


def tasks_to_harm(made, steps: list[Block]) -> float:
    ledger = Ledger.new(made, 0.0)
    for number, one in enumerate(steps):
        ledger = ledger.absorb(made, one, Autonomy.OBSERVE, Paired())
        if stand(made, ledger).breaches:
            return 30.0 * (number + 1)
    return float("inf")


def test_harm_that_hides_among_hard_requests_is_found_in_pairs_with_a_third_of_the_tasks() -> None:
    """Stable fails 20 % of all requests; the candidate fails these and six in a hundred more."""
    made, found = plan(guardrail(tolerance=Margin(1.0, 0.02))), []
    for seed in range(20):
        steps = shadowed(np.random.default_rng(seed), (0.06, 0.0, 0.2), 400)
        found.append((tasks_to_harm(made, steps), tasks_to_harm(made, [apart(one) for one in steps])))
    paired, unpaired = (float(np.median(column)) for column in zip(*found, strict=True))
    assert paired <= 1200
    assert paired * 3 <= unpaired


def test_a_candidate_that_fails_the_same_requests_is_found_safe_sooner() -> None:
    made = plan()
    steps = shadowed(np.random.default_rng(3), (0.01, 0.01, 0.2), 20)
    paired, unpaired = absorbed(made, steps, Paired()), absorbed(made, [apart(s) for s in steps], Paired())
    assert log_safety(paired.metrics["failures"]) > 3 * log_safety(unpaired.metrics["failures"])


def test_false_alarms_at_the_margin_stay_below_the_promise_at_every_look() -> None:
    made, alarms = plan(guardrail(tolerance=Margin(1.0, 0.02)), false_rollback=0.05), 0
    for seed in range(200):
        steps = shadowed(np.random.default_rng(1000 + seed), (0.07, 0.05, 0.1), 120)
        alarms += tasks_to_harm(made, steps) < float("inf")
    assert alarms <= 0.05 * 200


def test_what_pairs_still_need_is_foreseen() -> None:
    made = guardrail(max_harm=Margin(1.0, 0.05))
    few = planner.remaining_pairs(made, 0.0, Pairs(400, 60, 60, 56))
    many = planner.remaining_pairs(made, 0.0, Pairs(400, 60, 60, 0))
    assert 0 < few < many
    assert planner.remaining_pairs(made, log(20.0), Pairs(400, 60, 60, 56)) == 0.0
    test = disagreement((1.0, 0.05), Pairs(few, 0.01 * few, 0.01 * few, 0), Pairs(400, 4, 4, 0))
    assert test.log_e_value(0.01) == pytest.approx(log(20.0), rel=0.35)


def test_the_interval_of_pairs_covers_the_true_difference_at_every_look() -> None:
    rng, missed = np.random.default_rng(5), 0
    for _ in range(150):
        spread, wrong = Spread(), False
        for one in shadowed(rng, (0.10, 0.02, 0.05), 100):
            spread = spread.after(one.cells["failures"][""], 0.1, Paired())
            assert spread.estimate is not None
            wrong |= abs(spread.estimate - 0.08) > spread.radius(0.05, 1.0)
        missed += wrong
    assert missed <= 0.05 * 150


# ---- kinds of evidence, apart ------------------------------------------------------------------------


def test_a_block_in_which_the_kind_of_evidence_changes_is_none() -> None:
    """A request may be in the arms' counts of one block and in the next one's pairs: never twice evidence."""
    made = plan()
    arms = Block(0.0, 60.0, {"failures": {"": Cell(Count(30, 9), Count(570, 57))}})
    pair = Block(60.0, 120.0, {"failures": {"": Cell(Count(30, 30), Count(30, 0), 0.0)}})
    before = absorbed(made, [arms], Paired())
    changed = before.absorb(made, pair, Autonomy.OBSERVE, Paired())
    old, new = before.metrics["failures"], changed.metrics["failures"]
    assert (old.paired, new.paired) == (False, True)
    assert stand(made, changed).family == stand(made, before).family
    assert new.known_at == old.known_at
    assert new.strata[""].candidate == Count(0, 0)
    assert log_safety(new) == 0.0
    third = Block(120.0, 180.0, pair.cells)
    after = changed.absorb(made, third, Autonomy.OBSERVE, Paired())
    assert stand(made, after).breaches
    assert Ledger.from_json(after.to_json()) == after


def test_pairs_go_through_json_and_a_new_phase_begins_without_them() -> None:
    made = plan()
    cells = {"a": Cell(Count(30, 5), Count(30, 4), 3.0, 2.0), "b": Cell(Count(10, 1), Count(10, 0), 0.0)}
    ledger = absorbed(made, [Block(60.0 * n, 60.0 * n + 60, {"failures": cells}) for n in range(3)], Paired())
    assert Ledger.from_json(ledger.to_json()) == ledger
    state = ledger.metrics["failures"]
    assert (state.strata["a"].both, state.unmatched) == (9, 6)
    fresh = ledger.enter_phase(500.0).metrics["failures"]
    assert (fresh.strata["a"].both, fresh.unmatched, fresh.paired) == (0, 0, True)


def test_copies_that_one_side_never_judged_hold_what_the_rest_would_promote() -> None:
    """A candidate that hangs on the hard requests only looks good on the others."""
    made = plan()

    def verdict(lost: float):
        cell = Cell(Count(100, 2), Count(100, 2), 1.0, lost)
        steps = [Block(60.0 * n, 60.0 * n + 60, {"failures": {"": cell}}) for n in range(20)]
        return assess(made, absorbed(made, steps, Paired()), 1200.0, Requirements())

    assert verdict(5.0).verdict is Verdict.PROMOTE
    held = verdict(6.0)
    assert held.verdict is Verdict.SUSPECT
    assert held.reason == (
        "failures: 120 of 2,120 copied requests were judged on one side only; what the other side made of "
        "them is unknown"
    )


def test_the_judgement_says_pairs_in_words() -> None:
    made = plan()
    cell = Cell(Count(100, 12), Count(100, 10), 9.0)
    steps = [Block(60.0 * n, 60.0 * n + 60, {"failures": {"": cell}}) for n in range(2)]
    said = assess(made, absorbed(made, steps, Paired()), 120.0, Requirements()).metrics[0].why
    assert said.startswith(
        "200 pairs of answers to the same request: 6 bad only in the candidate, 2 only in stable, 18 in both"
    )


# ---- reading ---------------------------------------------------------------------------------------


POLICY = GuardrailPolicySpec.model_validate({"strata": {"labels": ["risk_tier"]}, "metrics": [COMPLETION]})


def snapshot(pair_counts, *, tier: str = "high") -> Snapshot:
    """Two scrapes, ten seconds apart: zeros, then these counts; and 50 tasks of both arms."""

    def series(labels, value) -> Series:
        return Series(labels | {"risk_tier": tier}, (Sample(99.0, 0), Sample(109.0, value)))

    own = {"release": "v2", "stable": "v1", "metric": "completion"}
    made = [series(own | {"outcome": outcome}, count) for outcome, count in pair_counts.items()]
    tasks = [
        series({"release": release, "outcome": outcome}, count)
        for release in ("v1", "v2")
        for outcome, count in (("completed", 40), ("failed", 10))
    ]
    key = ("shop", "support")
    return Snapshot(110.0, 110.0, 0.0, {pairs.PAIRS: {key: tuple(made)}, blocks.TASKS: {key: tuple(tasks)}})


def read(found: Snapshot, *, mirrored: bool = True, paired: frozenset[str] = frozenset()):
    span = blocks.Span("shop", "support", "v2", "v1", 100.0, 110.0, mirrored=mirrored, paired=paired)
    return blocks.block(found, POLICY, span).cells["completion-rate"]


WHOLE = {"both_good": 30, "both_bad": 5, "candidate_only_bad": 4, "stable_only_bad": 1}
ARMS = {"risk_tier=high": Cell(Count(50, 10), Count(50, 10))}


def test_pairs_are_read_by_stratum_with_what_is_unmatched() -> None:
    found = snapshot(WHOLE | {"candidate_missing": 2, "stable_missing": 1})
    assert read(found) == {"risk_tier=high": Cell(Count(40, 9), Count(40, 6), 5, 3)}


def test_where_nobody_counts_what_is_unmatched_nothing_is() -> None:
    assert read(snapshot(WHOLE)) == {"risk_tier=high": Cell(Count(40, 9), Count(40, 6), 5, 0)}


def test_outside_of_shadow_and_where_nobody_counts_pairs_the_arms_are_compared() -> None:
    assert read(snapshot(WHOLE), mirrored=False) == ARMS
    assert read(snapshot({})) == ARMS


def test_pairs_that_are_not_there_any_more_are_unknown_and_not_replaced() -> None:
    assert read(snapshot({}), paired=frozenset({"completion-rate"})) == {}


@pytest.mark.parametrize("absent", pairs.JUDGED)
def test_a_stratum_with_an_unknown_outcome_is_unknown(absent: str) -> None:
    assert read(snapshot({o: n for o, n in WHOLE.items() if o != absent})) == {}


def test_pairs_of_other_revisions_or_another_judgement_are_not_these() -> None:
    found = snapshot(WHOLE)
    for label, other in (("release", "v3"), ("stable", "v0"), ("metric", "violation")):
        series = [
            Series({**one.labels, label: other}, one.samples)
            for one in found.series[pairs.PAIRS]["shop", "support"]
        ]
        strange = Snapshot(
            110.0, 110.0, 0.0, {**found.series, pairs.PAIRS: {("shop", "support"): tuple(series)}}
        )
        assert read(strange) == ARMS


def test_the_counter_is_asked_for_only_where_a_policy_names_pairs() -> None:
    assert pairs.PAIRS in blocks.metrics_read(POLICY)
    plain = POLICY.model_copy(update={"metrics": [POLICY.metrics[0].model_copy(update={"pairs": None})]})
    assert pairs.PAIRS not in blocks.metrics_read(plain)


def test_pairs_named_but_not_exported_are_said_in_shadow_and_nowhere_else() -> None:
    made = plan(guardrail(pairs="completion"))
    one = Block(0.0, 60.0, {"failures": {"": Cell(Count(30, 3), Count(30, 3))}})
    words = "compared arm by arm, because no pairs of completion are exported"
    for comparison, said in ((Paired(), True), (Concurrent(), False)):
        judged = assess(made, absorbed(made, [one], comparison), 60.0, Requirements())
        assert (words in judged.metrics[0].why) is said
