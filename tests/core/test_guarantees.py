"""The promises under continuous looking, by simulation; and that it decides as the operator does."""

from __future__ import annotations

import numpy as np
import pytest
from bench.decisions import agreement, policy, study
from bench.decisions.ledgers import Counts, Ledgers
from bench.decisions.procedure import DRAINED, PROMOTED, ROLLED_BACK, Procedure
from bench.decisions.product import recorded
from bench.decisions.world import METRICS, STRATA, WEIGHT, Effect, Scenario, Traffic, generate, history, index

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.evidence import Concurrent
from agentrelease.core.ledger import Ledger
from agentrelease.core.standing import log_safety, stand
from agentrelease.core.wealth import UNIT

RUNS, LOOKS, CANARY, BUSY = 120, 720, 100 * WEIGHT, Traffic(600)


@pytest.fixture(scope="module")
def made():
    return policy.plan()


def test_the_simulation_takes_the_same_steps_as_the_operator(made) -> None:
    scenario = Scenario("parity", False, (Effect("violations", times=4),), drift=True, clustered=True)
    world = generate(scenario, Traffic(600), 2, 60, 3)
    past = history(scenario, Traffic(600), 2, 30, 3)
    arrays = Ledgers(made, 2)
    arrays.warmed(past)
    ledger = Ledger.new(made, 0.0).warmed(made, [recorded(past, 1, t) for t in range(past.ticks)], "history")
    every, none = np.ones(2, dtype=bool), np.zeros(2, dtype=bool)
    for tick in range(world.ticks):
        counts = (a[:, tick] for a in (world.n_c, world.x_c, world.n_b, world.x_b))
        arrays.absorb(Counts(*counts, every, every, np.full(2, np.nan), none), 60.0 * tick + 60, every)
        ledger = ledger.absorb(made, recorded(world, 1, tick), Autonomy.OBSERVE, Concurrent())
    assert arrays.scatter.phi()[1] == pytest.approx(list(ledger.phi(made).values()), rel=1e-5)
    assert arrays.harm()[1][1] == pytest.approx(stand(made, ledger).family, abs=0.001)
    safe = np.logaddexp.reduce(arrays.safe / UNIT, axis=1) - np.log(arrays.safe.shape[1])
    for m, metric in enumerate(METRICS):
        state = ledger.metrics[metric]
        assert safe[1, m] == pytest.approx(log_safety(state), abs=0.001)
        assert arrays.required[1, m] / UNIT == pytest.approx(state.required[STRATA[2]] / UNIT, abs=0.001)
    assert min(ledger.phi(made).values()) > 1.5


CASES = [
    Scenario(
        "harm that begins late, in a swing", False, (Effect("violations", times=4, onset=20),), drift=True
    ),
    Scenario("gaps", True, gaps=True),
    Scenario("bad and silent", False, (Effect("completion", plus=0.02),), silent_from=9),
]


@pytest.mark.parametrize("scenario", CASES, ids=lambda scenario: scenario.name)
def test_the_simulation_decides_in_the_same_block_as_the_operators_own_functions(made, scenario) -> None:
    traffic, runs = Traffic(3000), 2
    world, past = generate(scenario, traffic, runs, 100, 3), history(scenario, traffic, runs, 30, 3)
    case = agreement.Case("parity", study.released(scenario), made, {CANARY: world}, past)
    assert [one.said for one in agreement.compare(case) if not one.same] == []


def test_it_does_so_through_phases_drains_deadlines_interventions_and_the_watch() -> None:
    found = [one for case in agreement.special(5, 1) for one in agreement.compare(case)]
    assert [(one.case, one.said) for one in found if not one.same] == []


def boundary(name: str, margin) -> Effect:
    return Effect(name, times=margin.relative, plus=margin.absolute)


def played(made, scenario: Scenario, *, soak: float, seed: int, traffic=BUSY, runs=RUNS, ticks=LOOKS):
    world = generate(scenario, traffic, runs, ticks, seed)
    past = study.past_of(scenario, traffic, runs, seed)
    return Procedure(policy.release(soak=soak), made, {CANARY: world}).run(past)


@pytest.mark.parametrize("drift", [False, True])
def test_a_release_exactly_at_its_tolerance_is_rarely_rolled_back_in_720_looks(made, drift: bool) -> None:
    effects = tuple(boundary(g.name, g.tolerance) for g in made.tested)
    outcome = played(made, Scenario("boundary", True, effects, drift=drift), soak=LOOKS + 1, seed=5)
    assert (outcome.state == ROLLED_BACK).mean() <= made.false_rollback


@pytest.mark.parametrize("metric", ["violations", "completion"])
def test_a_release_exactly_at_the_harm_to_exclude_is_rarely_promoted_in_720_looks(made, metric: str) -> None:
    guardrail = made.tested[index(metric)]
    effect = boundary(metric, guardrail.max_harm)
    outcome = played(made, Scenario("at max harm", False, (effect,)), soak=1, seed=6)
    # 1 % of 120 runs: three are as many as a right procedure shows in 97 of 100 such tests
    assert (outcome.state == PROMOTED).sum() <= (3 if metric == "violations" else 0.05 * RUNS)


def test_a_candidate_that_is_silent_is_never_promoted(made) -> None:
    silent = Scenario("silent", True, silent_from=5)
    outcome = played(made, silent, soak=6, seed=7, traffic=Traffic(6000), runs=40, ticks=60)
    assert (outcome.state == DRAINED).all()
