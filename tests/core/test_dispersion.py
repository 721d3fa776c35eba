"""Correlated outcomes: seen where they are, not imagined where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.conftest import guardrail, plan

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.dispersion import Scatter, floored
from agentrelease.core.evidence import Block, Cell, Concurrent, Count
from agentrelease.core.ledger import Ledger
from agentrelease.core.standing import stand


def clustered(rng: np.random.Generator, rate: float, size: int) -> Count:
    groups = int(rng.poisson(600 / size))
    return Count(size * groups, size * int(rng.binomial(groups, rate)))


def watched(size: int, seed: int, blocks: int = 800, *, drift: bool = False) -> Scatter:
    rng, scatter = np.random.default_rng(seed), Scatter()
    for minute in range(blocks):
        rate = 0.1 * (1 + 0.6 * np.sin(minute / 60)) if drift else 0.1
        scatter = scatter.after(clustered(rng, rate, size))
    return scatter


@pytest.mark.parametrize("size", [1, 3, 5])
def test_dispersion_of_clusters_is_their_size(size: int) -> None:
    scatter = watched(size, 1)
    assert scatter.pairs == 400
    assert scatter.seen / scatter.pairs == pytest.approx(size, rel=0.2)


def test_drift_is_not_dispersion() -> None:
    assert watched(1, 2, drift=True).phi == 1.0


def test_independent_outcomes_are_believed_to_be_independent() -> None:
    assert sum(watched(1, seed, 200).phi > 1.0 for seed in range(40)) <= 5


@pytest.mark.parametrize(
    ("seen", "pairs", "phi"),
    [(600, 200, 3.3), (238, 200, 1.0), (80, 200, 1.0), (0, 0, 1.0), (6, 2, 1.0), (8, 2, 8.0)],
)
def test_doubt_counts_to_the_safe_side(seen: float, pairs: int, phi: float) -> None:
    assert Scatter(seen, pairs).phi == pytest.approx(phi)


def test_blocks_pair_up_and_what_says_nothing_is_passed_over() -> None:
    scatter = Scatter().after(Count(0, 0)).after(Count(10, 1))
    assert scatter == Scatter(0, 0, Count(10, 1))
    assert scatter.after(Count(0, 0)) == scatter
    pair = scatter.after(Count(10, 3))
    assert (pair.pairs, pair.waiting) == (1, Count(0, 0))
    assert pair.seen == pytest.approx(0.2**2 / (0.2 * 0.8 * 0.2 * 20 / 19), rel=1e-4)
    for quiet in (0, 10):
        assert Scatter().after(Count(10, quiet)).after(Count(10, quiet)) == Scatter()
    assert Scatter().after(Count(1, 1)).after(Count(1, 0)) == Scatter(1, 1), "one task a block is a pair, too"
    assert Scatter().after(Count(0.5, 0.2)).after(Count(0.5, 0.1)) == Scatter()


def test_rare_metrics_get_at_least_the_median_of_all() -> None:
    assert floored({"a": 3.0, "b": 2.0, "rare": 1.0}) == {"a": 3.0, "b": 2.0, "rare": 2.0}
    assert floored({}) == {}


def history(size: int) -> list[Block]:
    rng = np.random.default_rng(size)
    cells = [{"failures": {"": Cell(None, clustered(rng, 0.1, size))}} for _ in range(120)]
    return [Block(60.0 * n - 7200, 60.0 * n - 7140, one) for n, one in enumerate(cells)]


def test_stable_before_the_release_protects_its_first_blocks() -> None:
    made = plan()
    bad = Block(0.0, 60.0, {"failures": {"": Cell(Count(60, 20), Count(600, 60))}})
    plain, warned = (
        Ledger.new(made, 0.0, past).absorb(made, bad, Autonomy.OBSERVE, Concurrent())
        for past in ((), history(5))
    )
    assert plain.phi(made) == {"failures": 1.0}
    assert 3.5 < warned.phi(made)["failures"] < 10.0
    assert stand(made, warned).family < 0.5 * stand(made, plain).family


def test_history_teaches_rates_and_is_no_evidence() -> None:
    made = plan()
    ledger = Ledger.new(made, 0.0, history(1))
    state = ledger.metrics["failures"]
    assert state.strata[""].past.x / state.strata[""].past.n == pytest.approx(0.1, rel=0.1)
    assert stand(made, ledger).family == pytest.approx(0.0, abs=1e-3)
    assert (ledger.blocks, ledger.through, state.known_at) == (0, 0.0, 0.0)
    assert state.strata[""].stable == Count(0, 0)
    assert Ledger.from_json(ledger.to_json()) == ledger


def test_a_given_dispersion_wins_and_sessions_need_none() -> None:
    ledger = Ledger.new(plan(), 0.0, history(5))
    assert ledger.phi(plan(phi={"failures": 2.0, "gone": 9.0})) == {"failures": 2.0}
    assert ledger.phi(plan(independent=True)) == {"failures": 1.0}
    assert ledger.phi(plan(guardrail("failures", weight=0.5), guardrail("new", weight=0.5)))["new"] > 2.0
