"""The statistic of one block: its guarantee by enumeration, its shape, and published oracles."""

from __future__ import annotations

from decimal import Decimal, localcontext
from itertools import product
from math import exp, isclose, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from agentrelease.core import bounded, srm, statistics

MARGINS = [(1.0, 0.0), (1.1, 0.0002), (1.5, 0.002), (1.0, 0.03), (0.8, 0.05), (2.0, 0.2)]
DESIGNS = [(1, 1), (2, 7), (6, 3), (5, 10)]
RATES = [0.002, 0.05, 0.3, 0.7]
FORMS = {"counts": statistics.log_e_value, "once": bounded.log_e_value}

rates = st.floats(0.001, 0.9)
numbers = st.integers(0, 400)


def alternatives(margin: tuple[float, float], rate: float) -> list[tuple[float, bool]]:
    """Rates that either side of the procedure would bet on, and whether they are harm."""
    edge = margin[0] * rate + margin[1]
    harm = [(statistics.harmful(edge, horizon), True) for horizon in statistics.HORIZONS]
    return harm + [(min(rate * step, 0.9 * edge), False) for step in statistics.SAFE_STEPS]


def expectation(form, margin, rates_, design, truth) -> float:
    """E[S] over all outcomes of two binomials."""
    (n_c, n_b), (p_c, p_b) = design, truth
    chance_c, chance_b = stats.binom.pmf(range(n_c + 1), n_c, p_c), stats.binom.pmf(range(n_b + 1), n_b, p_b)
    return sum(
        chance_c[x] * chance_b[y] * exp(form(margin, rates_, (n_c, x), (n_b, y)))
        for x, y in product(range(n_c + 1), range(n_b + 1))
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("margin", MARGINS)
def test_no_world_within_the_null_makes_the_expected_evidence_exceed_one(form: str, margin) -> None:
    for design, rate, p_b in product(DESIGNS, RATES, [0.0, 0.001, 0.05, 0.2, 0.6]):
        edge = margin[0] * p_b + margin[1]
        for alternative, harm in alternatives(margin, rate):
            if form == "once" and not bounded.fits(margin, (alternative, rate)):
                continue
            worlds = [edge, 0.5 * edge] if harm else [edge, edge + 0.5 * (1 - edge)]
            for p_c in worlds:
                if 0.0 <= p_c <= 1.0:
                    mean = expectation(FORMS[form], margin, (alternative, rate), design, (p_c, p_b))
                    assert mean <= 1.0 + 1e-9, (design, rate, p_b, alternative, p_c)


@pytest.mark.parametrize("form", FORMS)
def test_outcomes_between_zero_and_one_keep_the_guarantee(form: str) -> None:
    margin, rate = (1.0, 0.05), 0.2
    values, chances = (0.0, 0.5, 1.0), (0.7, 0.1, 0.2)  # the mean is 0.25, exactly on the boundary
    for alternative, harm in alternatives(margin, rate):
        if not harm:
            continue
        mean = 0.0
        for outcomes in product(range(3), repeat=3):
            chance = float(np.prod([chances[o] for o in outcomes]))
            for y in range(4):
                weight = chance * stats.binom.pmf(y, 3, 0.2)
                x = sum(values[o] for o in outcomes)
                mean += weight * exp(FORMS[form](margin, (alternative, rate), (3, x), (3, y)))
        assert mean <= 1.0 + 1e-9


def test_counts_above_one_per_task_keep_the_guarantee() -> None:
    margin, rate, p_b = (1.1, 0.02), 0.3, 0.4
    p_c = margin[0] * p_b + margin[1]
    chance_c, chance_b = stats.poisson.pmf(range(60), 8 * p_c), stats.poisson.pmf(range(60), 12 * p_b)
    for alternative, harm in alternatives(margin, rate):
        mean = sum(
            chance_c[x]
            * chance_b[y]
            * exp(statistics.log_e_value(margin, (alternative, rate), (8, x), (12, y)))
            for x, y in product(range(60), range(60))
        )
        assert mean <= 1.0 + 1e-9, harm


@given(margin=st.sampled_from(MARGINS), rate=rates, n_c=st.integers(1, 5000), n_b=st.integers(1, 50_000))
def test_the_projection_is_the_nearest_point_of_the_boundary(margin, rate, n_c, n_b) -> None:
    r, d = margin
    for t_c, _ in alternatives(margin, rate):

        def distance(b: float, t_c: float = t_c) -> float:
            c = r * b + d
            return n_c * (c - t_c * log(c)) + n_b * (b - rate * log(b))

        found = statistics.projection(r, d, (n_c, n_b), (t_c, rate))
        oracle = optimize.minimize_scalar(
            distance, bounds=(1e-9, 3.0), method="bounded", options={"xatol": 1e-12}
        )
        assert distance(found) <= oracle.fun + 1e-7 * abs(oracle.fun)


@pytest.mark.parametrize("t_b", ["0.000000001", "0.0001", "0.3"])
def test_the_projection_keeps_its_digits_however_rare_the_event(t_b: str) -> None:
    """Against the textbook form of the root with fifty digits."""
    with localcontext() as context:
        context.prec = 50
        r, d, n_c, n_b, t_c, t = (Decimal(v) for v in ("1.1", "0.05", "50", "1000", "0.06", t_b))
        a = r * n_c + n_b
        q = d * a - r * (n_c * t_c + n_b * t)
        exact = float((-q + (q * q + 4 * r * a * n_b * t * d).sqrt()) / (2 * r * a))
    found = statistics.projection(1.1, 0.05, (50.0, 1000.0), (0.06, float(t_b)))
    assert isclose(found, exact, rel_tol=1e-13)


@given(x_c=numbers, x_b=numbers, rate=rates, margin=st.sampled_from(MARGINS))
def test_counts_are_a_poisson_likelihood_ratio(x_c: int, x_b: int, rate: float, margin) -> None:
    n_c, n_b = 500, 9000
    for t_c, _ in alternatives(margin, rate):
        b = statistics.projection(*margin, (n_c, n_b), (t_c, rate))
        c = margin[0] * b + margin[1]
        oracle = (
            stats.poisson.logpmf(x_c, n_c * t_c) + stats.poisson.logpmf(x_b, n_b * rate)
            - stats.poisson.logpmf(x_c, n_c * c) - stats.poisson.logpmf(x_b, n_b * b)
        )  # fmt: skip
        found = statistics.log_e_value(margin, (t_c, rate), (n_c, x_c), (n_b, x_b))
        assert isclose(found, oracle, rel_tol=1e-7, abs_tol=1e-6)


@given(x_c=st.integers(0, 300), x_b=st.integers(0, 300), rate=st.floats(0.01, 0.5))
def test_what_happens_at_most_once_is_nearly_a_binomial_likelihood_ratio(
    x_c: int, x_b: int, rate: float
) -> None:
    margin, n_c, n_b = (1.0, 0.02), 300, 5700
    for t_c, _ in alternatives(margin, rate):

        def distance(b: float, t_c: float = t_c) -> float:
            c = b + 0.02
            inside = t_c * log(c) + (1 - t_c) * log(1 - c)
            return -n_c * inside - n_b * (rate * log(b) + (1 - rate) * log(1 - b))

        b = optimize.minimize_scalar(
            distance, bounds=(1e-6, 0.97), method="bounded", options={"xatol": 1e-12}
        ).x
        oracle = (
            stats.binom.logpmf(x_c, n_c, t_c) + stats.binom.logpmf(x_b, n_b, rate)
            - stats.binom.logpmf(x_c, n_c, b + 0.02) - stats.binom.logpmf(x_b, n_b, b)
        )  # fmt: skip
        found = bounded.log_e_value(margin, (t_c, rate), (n_c, x_c), (n_b, x_b))
        assert found <= oracle + 0.5
        assert found >= oracle - 0.5


USUAL = [*MARGINS[:5], (0.5, 0.02)]
MANY = [(30, 570), (500, 500), (570, 30)]


def bets(margin, rate: float) -> list[float]:
    return [t_c for t_c, _ in alternatives(margin, rate) if bounded.fits(margin, (t_c, rate))]


@pytest.mark.parametrize("margin", [*USUAL, (2.0, 0.2), (1.0, 0.3)])
def test_many_outcomes_keep_the_guarantee_although_the_root_was_not_reached(margin) -> None:
    """``S`` is an exponential of what was bad in either arm, so its mean has a closed form at any size."""
    r, d = margin
    for design, rate in product([*MANY, (5000, 5000)], [0.002, 0.1, 0.3, 0.6]):
        for t_c in bets(margin, rate):
            (n_c, n_b), rates_ = design, (t_c, rate)
            corners = ((0, 0), (n_c, 0), (0, n_b))
            none, all_c, all_b = (bounded.log_e_value(margin, rates_, (n_c, x), (n_b, y)) for x, y in corners)
            up_c, up_b = exp((all_c - none) / n_c), exp((all_b - none) / n_b)
            for p_b in np.linspace(0.0, min(1.0, (1.0 - d) / r), 300):
                p_c = r * p_b + d
                mean = none + n_c * log(1 - p_c + p_c * up_c) + n_b * log(1 - p_b + p_b * up_b)
                assert mean <= 1e-9, (design, rates_, p_b)


@pytest.mark.parametrize("margin", USUAL)
def test_what_the_unreached_root_costs_is_a_tenth_of_the_evidence_at_most(margin) -> None:
    """Where the alternative is true, and stable is bad in three of ten tasks at most."""
    r, d = margin
    for (n_c, n_b), t_b in product(MANY, [0.002, 0.02, 0.1, 0.3]):
        for t_c in bets(margin, t_b):

            def gain(b: float, t_c=t_c, n_c=n_c, n_b=n_b, t_b=t_b) -> float:
                apart = stats.entropy([t_c, 1 - t_c], [r * b + d, 1 - r * b - d])
                return n_c * float(apart) + n_b * float(stats.entropy([t_b, 1 - t_b], [b, 1 - b]))

            ends = (1e-9, min(1.0, (1.0 - d) / r) - 1e-9)
            best = optimize.minimize_scalar(gain, bounds=ends, method="bounded", options={"xatol": 1e-10}).fun
            found = bounded.log_e_value(margin, (t_c, t_b), (n_c, n_c * t_c), (n_b, n_b * t_b))
            assert best - 0.1 * max(best, 1.0) <= found <= best + 1e-6


@pytest.mark.parametrize("stable", [0.1, 0.5, 0.75, 0.8, 0.84, 0.8495])
@pytest.mark.parametrize("apart", [0.03, 0.05, 0.15])
def test_a_candidate_that_fails_as_often_as_stable_is_shown_to_be_no_worse(
    stable: float, apart: float
) -> None:
    """However often both fail: most agents that automate a fifth of their tasks fail in four of five."""
    same = bounded.log_e_value((1.0, apart), (stable, stable), (50, 50 * stable), (950, 950 * stable))
    free = statistics.log_e_value((1.0, apart), (stable, stable), (50, 50 * stable), (950, 950 * stable))
    assert same >= free > 0.0


@pytest.mark.parametrize("margin", [*USUAL, (1.0, 0.3), (1.5, 0.002)])
def test_no_bet_is_lost_beforehand(margin) -> None:
    """It would ruin what a metric has earned in all blocks before."""
    for design, rate in product(MANY, [0.6, 0.75, 0.84, 0.9, 0.95]):
        for t_c in bets(margin, rate):
            expected = (design[0], design[0] * t_c), (design[1], design[1] * rate)
            assert bounded.log_e_value(margin, (t_c, rate), *expected) > 0.0


def test_harm_is_proven_where_both_arms_fail_mostly() -> None:
    assert bounded.log_e_value((1.0, 0.3), (0.95, 0.6), (5000, 4750), (5000, 3000)) == pytest.approx(
        21.8, abs=0.3
    )


@pytest.mark.parametrize("form", FORMS.values())
def test_one_task_is_evidence_already(form) -> None:
    assert form((1.0, 0.01), (0.2, 0.1), (1, 1), (100, 10)) > 0.0
    assert form((1.0, 0.01), (0.2, 0.1), (10, 5), (1, 0)) > 0.0
    assert form((0.5, 0.01), (0.2, 0.1), (10, 5), (100, 10)) > 0.0


def test_knowing_that_a_task_fails_once_gains_evidence() -> None:
    arguments = ((1.0, 0.01), (0.15, 0.10), (1000, 150), (19_000, 1900))
    assert bounded.log_e_value(*arguments) > 1.1 * statistics.log_e_value(*arguments)


@pytest.mark.parametrize("form", FORMS.values())
@given(x_c=st.integers(0, 99), x_b=st.integers(0, 1899), rate=rates, margin=st.sampled_from(MARGINS))
def test_one_more_bad_outcome_speaks_for_harm_and_one_more_in_stable_against_it(
    form, x_c, x_b, rate, margin
) -> None:
    for t_c, harm in alternatives(margin, rate):
        if form is bounded.log_e_value and not bounded.fits(margin, (t_c, rate)):
            continue
        here = form(margin, (t_c, rate), (100, x_c), (1900, x_b))
        worse = form(margin, (t_c, rate), (100, x_c + 1), (1900, x_b))
        excused = form(margin, (t_c, rate), (100, x_c), (1900, x_b + 1))
        assert (worse > here) == harm
        assert (excused <= here + 1e-12) == harm or isclose(excused, here, abs_tol=1e-12)


@pytest.mark.parametrize("form", FORMS.values())
@given(
    parts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), min_size=2, max_size=5),
    rate=st.floats(0.01, 0.3),
)
def test_cutting_a_block_in_pieces_with_the_same_split_changes_nothing(form, parts, rate: float) -> None:
    margin, t_c = (1.0, 0.02), 0.5
    pieces = sum(form(margin, (t_c, rate), (10, x_c), (100, x_b)) for x_c, x_b in parts)
    many = len(parts)
    whole = form(
        margin, (t_c, rate), (10 * many, sum(p[0] for p in parts)), (100 * many, sum(p[1] for p in parts))
    )
    assert isclose(pieces, whole, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("form", FORMS.values())
def test_an_arm_without_exposure_is_no_evidence(form) -> None:
    assert form((1.0, 0.01), (0.2, 0.1), (0, 0), (100, 10)) == 0.0
    assert form((1.0, 0.01), (0.2, 0.1), (10, 5), (0, 0)) == 0.0


@pytest.mark.parametrize("form", FORMS.values())
def test_a_plain_bound_needs_no_stable(form) -> None:
    with_stable = form((0.0, 0.1), (0.2, 0.5), (50, 20), (100, 90))
    assert with_stable == form((0.0, 0.1), (0.2, 0.5), (50, 20), (0, 0)) > 0.0


def test_the_bernoulli_form_is_for_rates_inside_zero_and_one_only() -> None:
    assert bounded.fits((1.0, 0.05), (0.2, 0.1))
    for margin, rates_ in [
        ((1.0, 0.9), (0.99, 0.1)), ((1.0, 0.05), (1.0, 0.1)), ((1.0, 0.05), (0.0, 0.1)),
        ((1.0, 0.05), (0.2, 0.0)), ((0.5, 0.05), (0.2, 1.0)),
    ]:  # fmt: skip
        assert not bounded.fits(margin, rates_)


def test_two_counters_scraped_a_moment_apart_cannot_break_the_logarithm() -> None:
    margin = (1.0, 0.01)
    over = bounded.log_e_value(margin, (0.2, 0.1), (10, 12), (100, 103))
    assert over == bounded.log_e_value(margin, (0.2, 0.1), (10, 10), (100, 100))


@given(boundary=st.floats(1e-6, 0.999))
def test_alternatives_are_harm_and_are_rates(boundary: float) -> None:
    tried = [statistics.harmful(boundary, horizon) for horizon in statistics.HORIZONS]
    assert all(boundary < rate < 1.0 for rate in tried)
    assert tried == sorted(tried, reverse=True)


def test_counts_that_exceed_tasks_still_have_an_alternative() -> None:
    assert statistics.harmful(1.2, 600.0) > 1.2


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=20))
def test_sums_of_logarithms_agree_with_scipy(values: list[float]) -> None:
    from scipy.special import logsumexp

    assert isclose(statistics.total(values), float(logsumexp(values)), rel_tol=1e-12, abs_tol=1e-12)
    assert isclose(
        statistics.mean(values), float(logsumexp(values)) - log(len(values)), rel_tol=1e-9, abs_tol=1e-9
    )


def test_no_wealth_adds_nothing() -> None:
    assert statistics.add(statistics.NOTHING, -3.0) == -3.0
    assert statistics.add(statistics.NOTHING, statistics.NOTHING) == statistics.NOTHING
    assert statistics.total([]) == statistics.NOTHING
    assert isclose(statistics.add(0.0, 0.0), log(2.0))


@given(candidate=st.integers(0, 2000), stable=st.integers(0, 40_000), share=st.floats(0.01, 0.99))
def test_the_split_is_tested_by_a_beta_binomial(candidate: int, stable: int, share: float) -> None:
    units = candidate + stable
    mixture = stats.betabinom.logpmf(candidate, units, srm.STRENGTH * share, srm.STRENGTH * (1 - share))
    null = stats.binom.logpmf(candidate, units, share)
    assert isclose(srm.log_e_value(share, candidate, stable), mixture - null, rel_tol=1e-6, abs_tol=1e-5)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_a_split_there_is_nothing_to_mismatch(share: float) -> None:
    assert srm.log_e_value(share, 10, 90) == 0.0


@pytest.mark.parametrize("test", [bounded, statistics])
def test_an_arm_that_is_needed_and_has_no_exposure_is_no_evidence(test) -> None:
    rates = (0.2, 0.1)
    assert test.log_e_value((1.0, 0.01), rates, (0.0, 0.0), (90.0, 9.0)) == 0.0
    assert test.log_e_value((1.0, 0.01), rates, (90.0, 18.0), (0.0, 0.0)) == 0.0
    assert test.log_e_value((0.0, 0.1), rates, (0.0, 0.0), (0.0, 0.0)) == 0.0
    assert test.log_e_value((0.0, 0.1), rates, (90.0, 18.0), (0.0, 0.0)) > 0.0
