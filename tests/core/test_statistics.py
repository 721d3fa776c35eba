"""The closed forms by themselves: no exposure is no evidence, and sums of logarithms are what they say."""

from __future__ import annotations

from math import exp, inf, isclose, log

import pytest

from agentrelease.core import srm
from agentrelease.core.statistics import NOTHING, add, harmful, log_e_value, mean, projection, total

MARGIN, RATES = (1.0, 0.01), (0.2, 0.1)


def test_an_arm_that_is_needed_and_has_no_exposure_is_no_evidence():
    assert log_e_value(MARGIN, RATES, (0.0, 0.0), (570.0, 57.0)) == 0.0
    assert log_e_value(MARGIN, RATES, (30.0, 9.0), (0.0, 0.0)) == 0.0
    assert log_e_value(MARGIN, RATES, (30.0, 9.0), (570.0, 57.0)) > 0.0
    bound = (0.0, 0.11)
    assert log_e_value(bound, RATES, (30.0, 9.0), (0.0, 0.0)) == pytest.approx(
        9 * log(0.2 / 0.11) - 30 * (0.2 - 0.11)
    ), "a bound needs no stable"
    assert log_e_value(bound, RATES, (0.0, 0.0), (570.0, 57.0)) == 0.0


@pytest.mark.parametrize("d", [0.0, 0.01])
def test_the_projection_is_the_nearest_point_on_the_boundary(d: float):
    def distance(b: float) -> float:
        c = b + d
        return 30.0 * (c - 0.2 * log(c)) + 570.0 * (b - 0.1 * log(b))

    b = projection(1.0, d, (30.0, 570.0), RATES)
    assert distance(b) < min(distance(0.999 * b), distance(1.001 * b))


def test_alternatives_are_worse_than_the_boundary_and_never_certain():
    for boundary in (1e-5, 0.01, 0.3, 0.9):
        nearer = [harmful(boundary, horizon) for horizon in (150.0, 600.0, 2400.0)]
        assert boundary < nearer[2] <= nearer[1] <= nearer[0] <= 0.5 * (1.0 + boundary)
    assert harmful(2.0, 150.0) > 2.0, "cost may be more than one a task"


@pytest.mark.parametrize("boundary", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("horizon", [150.0, 600.0, 2400.0])
def test_an_alternative_is_proven_by_about_as_many_tasks_as_it_is_chosen_for(boundary, horizon):
    """A proof takes six nats: that many tasks at the Kullback-Leibler divergence of a Poisson rate."""
    rate = harmful(boundary, horizon)
    tasks = 6.0 / (rate * log(rate / boundary) - (rate - boundary))
    assert 0.7 < tasks / horizon < 1.4


def test_sums_and_means_of_logarithms():
    assert isclose(add(log(2), log(3)), log(5))
    assert isclose(add(log(3), log(2)), log(5))
    assert (add(NOTHING, 1.0), add(1.0, NOTHING), add(NOTHING, NOTHING)) == (1.0, 1.0, NOTHING)
    assert isclose(total([log(1), log(2), log(4)]), log(7))
    assert total([]) == total([NOTHING, NOTHING]) == -inf
    assert total([NOTHING, 2.0]) == 2.0
    assert isclose(total([-1000.0, 1000.0]), 1000.0)
    assert isclose(mean([log(2), log(4)]), log(3))
    assert isclose(total([1000.0, 1000.0]), 1000.0 + log(2)), "beyond what a float can hold by itself"


# ---- the split -------------------------------------------------------------------------------------------


def test_a_split_as_it_was_intended_is_no_mismatch_and_another_one_is():
    assert srm.log_e_value(0.1, 100.0, 900.0) < 0.0
    assert srm.log_e_value(0.1, 200.0, 900.0) > log(1000.0)
    assert srm.log_e_value(0.1, 30.0, 900.0) > log(1000.0)
    for nothing in (0.0, 1.0):
        assert srm.log_e_value(nothing, 100.0, 900.0) == 0.0


def test_the_splits_evidence_is_one_on_average_while_it_is_as_intended():
    chances = [exp(srm.log_e_value(0.3, float(k), 3.0 - k)) for k in range(4)]
    likely = [0.7**3, 3 * 0.3 * 0.7**2, 3 * 0.3**2 * 0.7, 0.3**3]
    assert isclose(sum(e * p for e, p in zip(chances, likely, strict=True)), 1.0)
