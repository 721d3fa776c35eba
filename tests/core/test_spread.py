"""The estimate and its interval, which may be looked at at any time."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from agentrelease.core.evidence import Absolute, Cell, Concurrent, Count, Frozen
from agentrelease.core.spread import Spread, joined


def test_the_interval_covers_the_true_difference_at_every_look() -> None:
    rng, missed = np.random.default_rng(11), 0
    for _ in range(150):
        spread, wrong, weighted, weight = Spread(), False, 0.0, 0.0
        for minute in range(200):
            p_b = 0.1 * (1 + 0.6 * np.sin(minute / 30))
            p_c = p_b + 0.04
            n, m = int(rng.poisson(30)), int(rng.poisson(570))
            cell = Cell(Count(n, rng.binomial(n, p_c)), Count(m, rng.binomial(m, p_b)))
            spread = spread.after(cell, 0.1, Concurrent())
            share = n * m / (n + m)
            weighted, weight = weighted + share * (p_c - p_b), weight + share
            if abs((spread.estimate or 0.0) - weighted / weight) > spread.radius(0.05, 1.0):
                wrong = True
        missed += wrong
    assert missed <= 0.05 * 150


def test_the_interval_narrows_and_widens_with_doubt() -> None:
    few = Spread().after(Cell(Count(30, 3), Count(570, 57)), 0.1, Concurrent())
    many = few
    for _ in range(200):
        many = many.after(Cell(Count(30, 3), Count(570, 57)), 0.1, Concurrent())
    assert many.radius(0.05, 1.0) < 0.1 * few.radius(0.05, 1.0)
    assert many.radius(0.05, 3.0) > 1.5 * many.radius(0.05, 1.0)
    assert many.radius(0.01, 1.0) > many.radius(0.05, 1.0)
    assert many.radius(0.05, 1.0) < 0.03


def test_the_estimate_compares_like_with_like() -> None:
    easy = Spread().after(Cell(Count(10, 1), Count(990, 99)), 0.1, Concurrent())
    hard = Spread().after(Cell(Count(90, 45), Count(10, 5)), 0.5, Concurrent())
    both = joined([easy, hard])
    assert both.estimate == pytest.approx(0.0)
    assert both.weight == pytest.approx(10 * 990 / 1000 + 90 * 10 / 100)


@pytest.mark.parametrize("comparison", [Absolute(), Frozen({})])
def test_without_stable_beside_it_the_rate_itself_is_estimated(comparison) -> None:
    spread = Spread().after(Cell(Count(40, 10), Count(100, 1)), 0.2, comparison)
    assert spread.estimate == 0.25
    assert spread.variation == pytest.approx(10 * 0.8**2 + 30 * 0.2**2)


def test_nothing_seen_is_no_estimate() -> None:
    assert Spread().estimate is None
    assert Spread().radius(0.05, 1.0) == inf
    assert Spread().after(Cell(Count(0, 0), Count(9, 1)), 0.1, Concurrent()) == Spread()
    assert Spread().after(Cell(Count(9, 1), Count(0, 0)), 0.1, Concurrent()) == Spread()
    assert Spread().after(Cell(Count(9, 1)), 0.1, Concurrent()) == Spread()


def test_each_arm_adds_the_variation_of_its_share() -> None:
    """Half a block in each arm: the difference weighs each by a half, and its variation by a quarter."""
    even = Spread().after(Cell(Count(40, 10), Count(40, 20)), 0.2, Concurrent())
    assert (even.estimate, even.weight) == (-0.25, 20.0)
    mine, theirs = 10 * 0.8**2 + 30 * 0.2**2, 20 * 0.8**2 + 20 * 0.2**2
    assert even.variation == pytest.approx((mine + theirs) / 4)
    odd = Spread().after(Cell(Count(10, 4), Count(30, 3)), 0.1, Concurrent())
    mine, theirs = 4 * 0.9**2 + 6 * 0.1**2, 3 * 0.9**2 + 27 * 0.1**2
    assert odd.variation == pytest.approx(0.75**2 * mine + 0.25**2 * theirs)


def test_one_task_in_an_arm_counts() -> None:
    one = Spread().after(Cell(Count(1, 1), Count(1, 0)), 0.5, Concurrent())
    assert (one.estimate, one.weight) == (1.0, 0.5)
    assert one.radius(0.05, 1.0) < inf
    assert Spread(0.1, 0.4, 0.1).estimate == pytest.approx(0.25)


def test_pairs_differ_by_those_that_one_side_alone_was_bad_in() -> None:
    """Of 40 pairs 6 are bad in the candidate alone, 2 in stable alone; a pair is half a task in each arm."""
    pairs = Spread().after(Cell(Count(40, 10), Count(40, 6), both=4), 0.2, Concurrent())
    assert (pairs.estimate, pairs.weight) == (0.1, 20.0)
    assert pairs.variation == pytest.approx(8 / 4)
    arms = Spread().after(Cell(Count(40, 10), Count(40, 6)), 0.2, Concurrent())
    assert pairs.radius(0.05, 1.0) < arms.radius(0.05, 1.0), "what both find hard is no doubt"
