"""A block set against what it is compared with: what is unknown is no comparison, and records have limits."""

from __future__ import annotations

from math import isclose, log

import pytest
from scipy.stats import poisson
from tests.core.conftest import guardrail

from agentrelease.core.contrast import (
    Pairs,
    against_bound,
    against_reference,
    limits,
    recorded,
)
from agentrelease.core.evidence import Absolute, Cell, Concurrent, Count, Frozen, Paired, Recorded
from agentrelease.core.guardrails import Margin

FEW, MANY = Count(30, 3), Count(570, 57)
RECORD = Frozen({"failures": {"": Recorded(Count(9000, 900))}})


def test_what_is_unknown_is_not_compared():
    one = guardrail()
    assert against_reference(one, "", Cell(None, MANY), Concurrent(), 0.1) is None
    assert against_reference(one, "", Cell(FEW, None), Concurrent(), 0.1) is None
    assert against_reference(one, "", Cell(FEW, None), Paired(), 0.1) is None
    assert against_reference(one, "", Cell(FEW, MANY), Absolute(), 0.1) is None
    assert against_reference(one, "", Cell(FEW), Frozen({}), 0.1) is None
    nothing = Frozen({"failures": {"": Recorded(Count(0, 0))}})
    assert against_reference(one, "", Cell(FEW), nothing, 0.1) is None
    for comparison, cell in ((Concurrent(), Cell(FEW, MANY)), (RECORD, Cell(FEW)), (RECORD, Cell(FEW, MANY))):
        assert against_reference(one, "", cell, comparison, 0.1) is not None


def test_each_margin_is_tested_by_itself():
    one = guardrail()
    found = against_reference(one, "", Cell(FEW, MANY), Concurrent(), 0.1)
    assert found is not None
    margins = (found.tolerance.margin, found.max_harm.margin, found.max_harm_alone.margin)
    assert margins == ((1.0, 0.01), (1.0, 0.05), (1.0, 0.15))
    assert found.tolerance.boundary == pytest.approx(0.11)
    bound = against_bound(0.2, FEW, bounded=True)
    assert bound.tolerance.boundary == bound.max_harm.boundary == 0.2


@pytest.mark.parametrize("comparison", [Concurrent(), RECORD], ids=["stable", "record"])
def test_better_is_evidence_of_safety_and_worse_of_harm(comparison):
    def evidence(bad: float) -> tuple[float, float, float]:
        found = against_reference(guardrail(), "", Cell(Count(300, bad), Count(3000, 300)), comparison, 0.1)
        assert found is not None
        return max(found.harm()), max(found.safe()), found.safe_alone()

    good, same, bad = evidence(5), evidence(30), evidence(120)
    assert good[0] < 0 < good[1] < good[2]
    assert same[0] < 0 < same[2]
    assert bad[0] > 0 > bad[1]
    assert good[1] > same[1] > bad[1]


def test_where_better_than_stable_is_asked_for_being_as_good_is_no_evidence_of_safety():
    """A margin below stable's own rate: whoever is like stable, or worse, must never look proven."""
    half = Margin(0.5, 0.0)
    made = guardrail(tolerance=half, max_harm=half, max_harm_stratum=half)

    def safe(bad: float) -> list[float]:
        found = against_reference(made, "", Cell(Count(300, bad), Count(3000, 300)), Concurrent(), 0.1)
        assert found is not None
        return [*found.safe(), found.safe_alone()]

    for bad in (30, 90):
        assert max(safe(bad)) < 0
    assert min(safe(6)) > 0


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("bound", [0.02, 0.2])
@pytest.mark.parametrize("share", [0.5, 0.3])
def test_what_is_half_as_bad_as_a_bound_or_less_is_proven_to_be_within_it_as_fast_as_can_be(
    share: float, bound: float, once: bool
):
    """No bet grows faster than the one on the truth: by its divergence from the bound, a task."""
    n, true = 1000.0, share * bound
    found = max(against_bound(bound, Count(n, n * true), bounded=once).safe())
    divergence = true * log(true / bound) + (
        (1 - true) * log((1 - true) / (1 - bound)) if once else bound - true
    )
    assert found == pytest.approx(n * divergence)


# ---- records ---------------------------------------------------------------------------------------------


def test_a_stratum_without_a_record_is_held_to_all_together_where_they_were_least_and_most():
    record = Frozen({"failures": {
        "a": Recorded(Count(100, 10), 0.08, 0.2), "b": Recorded(Count(300, 20), 0.05, 0.12),
    }})  # fmt: skip
    assert recorded(record, "failures", "a") == Recorded(Count(100, 10), 0.08, 0.2)
    assert recorded(record, "failures", "c") == Recorded(Count(400, 30), 0.05, 0.2)
    assert recorded(record, "other", "a") is None


@pytest.mark.parametrize("strata", [1, 4])
@pytest.mark.parametrize("mean", [0.5, 3.0, 20.0, 400.0])
def test_a_record_misleads_no_more_often_than_it_is_said_to(mean: float, strata: int):
    """Whatever was counted, the true rate is outside the limits with half the risk on either side."""
    n, risk = 1000.0, 0.01 / strata / 2
    counts = range(int(mean + 40 * mean**0.5 + 60))
    above = [x for x in counts if limits(Count(n, x), strata)[0] * n > mean]
    below = [x for x in counts if limits(Count(n, x), strata)[1] * n < mean]
    assert poisson.sf(min(above) - 1, mean) <= risk
    assert not below or poisson.cdf(max(below), mean) <= risk
    assert all(limits(Count(n, x), strata)[0] <= x / n <= limits(Count(n, x), strata)[1] for x in counts)


def test_a_record_of_one_task_is_one_and_bounds_next_to_nothing():
    one = Frozen({"failures": {"": Recorded(Count(1, 0))}})
    found = against_reference(guardrail(), "", Cell(Count(300, 300)), one, 0.1)
    assert found is not None
    assert max(found.harm()) < 0


@pytest.mark.parametrize("bad", [20, 100, 3000])
def test_a_record_is_no_looser_than_bernsteins_bound(bad: float):
    """Of a mean at the lower limit just so much is counted as ``m + sqrt(2 m L) + L / 3``."""
    risk = log(2 / 0.01)
    mean = limits(Count(10_000, bad), 1)[0] * 10_000
    assert mean + (2 * mean * risk) ** 0.5 + risk / 3 == pytest.approx(bad)


def test_more_records_are_narrower_and_more_strata_wider():
    low, high = limits(Count(1000, 100), 1)
    narrow, wide = limits(Count(100_000, 10_000), 1), limits(Count(1000, 100), 9)
    assert wide[0] < low < narrow[0] < 0.1 < narrow[1] < high < wide[1]
    assert narrow[0] > 0.095
    assert narrow[1] < 0.105
    assert limits(Count(1000, 0), 1)[0] == 0.0


def test_harm_is_worse_than_stables_worst_hour_and_safe_is_better_than_its_usual_one():
    days = Frozen({"failures": {"": Recorded(Count(9000, 900), 0.12, 0.3)}})
    found = against_reference(guardrail(), "", Cell(FEW), days, 0.1)
    plain = against_reference(guardrail(), "", Cell(FEW), RECORD, 0.1)
    assert found is not None
    assert plain is not None
    assert found.tolerance.margin == pytest.approx((0.0, 0.31))
    assert found.max_harm.margin == pytest.approx((0.0, 0.17))
    assert found.max_harm_alone.margin == pytest.approx((0.0, 0.27))
    assert found.tolerance.rate == 0.12
    low, high = limits(Count(9000, 900), 1)
    assert plain.tolerance.margin == pytest.approx((0.0, high + 0.01))
    assert plain.max_harm.margin == pytest.approx((0.0, low + 0.05))
    assert plain.tolerance.rate == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("bounded", [True, False])
def test_only_what_can_go_wrong_once_a_task_is_tested_as_yes_or_no(bounded: bool):
    """Three bad events a task: a share would be cut to one, a rate is what it is."""
    cell = Cell(Count(10, 30), Count(100, 10))
    found = against_reference(guardrail(bounded=bounded), "", cell, Concurrent(), 0.1)
    capped = against_reference(
        guardrail(bounded=bounded), "", Cell(Count(10, 10), Count(100, 10)), Concurrent(), 0.1
    )
    assert found is not None
    assert capped is not None
    assert (found.harm() == capped.harm()) is bounded


# ---- pairs -----------------------------------------------------------------------------------------------


def test_pairs_that_agree_say_nothing_of_a_difference():
    seen = Pairs(100.0, 9.0, 6.0, 4.0)
    assert seen.apart(1.0) == (5.0, 2.0)
    assert seen.apart(2.0) == (5.0, 4.0), "twice stable's rate is allowed: half of both counts for stable"
    assert seen.apart(0.5) == (7.0, 2.0), "half of it is asked for: half of both counts for the candidate"


def test_before_any_pair_half_of_stables_bad_ones_are_expected_to_be_bad_in_stable_alone():
    few = Pairs().expecting(0.2)
    assert (few.n, few.candidate, few.stable, few.both) == (10.0, 2.0, 2.0, 1.0)
    more = Pairs(100.0, 9.0, 6.0, 4.0).expecting(0.2)
    assert (more.n, more.candidate, more.stable, more.both) == (110.0, 11.0, 8.0, 5.0)
    assert isclose(sum(few.apart(1.0)), 2.0)
