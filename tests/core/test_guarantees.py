"""The promises under continuous looking, by simulation; and that the simulation is the operator's test."""

from __future__ import annotations

import numpy as np
import pytest
from bench.decisions import policy, procedure
from bench.decisions.procedure import PROMOTED, ROLLED_BACK, Engine
from bench.decisions.world import METRICS, STRATA, Effect, Scenario, generate, index

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.evidence import Block, Cell, Concurrent, Count
from agentrelease.core.ledger import Ledger
from agentrelease.core.standing import log_safety, stand
from agentrelease.core.wealth import UNIT

RUNS, LOOKS = 120, 720


@pytest.fixture(scope="module")
def made():
    return policy.plan()


def recorded(world, minute: int) -> Block:
    """The second run of a world as the operator would have read it."""
    cells = {
        metric: {
            key: Cell(
                Count(world.n_c[1, minute, s], world.x_c[1, minute, m, s]),
                Count(world.n_b[1, minute, s], world.x_b[1, minute, m, s]),
            )
            for s, key in enumerate(STRATA)
        }
        for m, metric in enumerate(METRICS)
    }
    return Block(60.0 * minute, 60.0 * minute + 60, cells)


def test_the_simulation_takes_the_same_steps_as_the_operator(made) -> None:
    scenario = Scenario("parity", False, (Effect("violations", times=4),), drift=True, clustered=True)
    world = generate(scenario, 600, 2, 60, 3)
    engine, past = Engine(made, 2), generate(scenario, 600, 2, 30, 4)
    for minute in range(past.ticks):
        engine.warm(past.n_b[:, minute], past.x_b[:, minute])
    ledger = Ledger.new(made, 0.0, [recorded(past, minute) for minute in range(past.ticks)])
    for minute in range(world.ticks):
        engine.absorb(*(a[:, minute] for a in (world.n_c, world.x_c, world.n_b, world.x_b)))
        ledger = ledger.absorb(made, recorded(world, minute), Autonomy.OBSERVE, Concurrent())
        assert engine.phi()[1] == pytest.approx(list(ledger.phi(made).values()), rel=1e-4)
        standing = stand(made, ledger)
        assert engine.family()[1] == pytest.approx(standing.family, abs=0.02)
        safe = np.logaddexp.reduce(engine.safe, axis=0) - np.log(len(engine.safe))
        for m, metric in enumerate(METRICS):
            state = ledger.metrics[metric]
            assert safe[1, m] == pytest.approx(log_safety(state), abs=0.02)
            assert engine.required[0, 1, m] == pytest.approx(state.required[STRATA[2]] / UNIT, abs=0.02)
    assert min(ledger.phi(made).values()) > 1.5


def boundary(name: str, margin) -> Effect:
    return Effect(name, times=margin.relative, plus=margin.absolute)


@pytest.mark.parametrize("drift", [False, True])
def test_a_release_exactly_at_its_tolerance_is_rarely_rolled_back_in_720_looks(made, drift: bool) -> None:
    effects = tuple(boundary(g.name, g.tolerance) for g in made.tested)
    world = generate(Scenario("boundary", True, effects, drift=drift), 600, RUNS, LOOKS, 5)
    outcome = procedure.run(world, made, soak=LOOKS + 1)
    assert (outcome.state == ROLLED_BACK).mean() <= made.false_rollback


@pytest.mark.parametrize("metric", ["violations", "completion"])
def test_a_release_exactly_at_the_harm_to_exclude_is_rarely_promoted_in_720_looks(made, metric: str) -> None:
    guardrail = made.tested[index(metric)]
    effect = boundary(metric, guardrail.max_harm)
    world = generate(Scenario("at max harm", False, (effect,)), 600, RUNS, LOOKS, 6)
    outcome = procedure.run(world, made, soak=1)
    # 1 % of 120 runs: three are as many as a right procedure shows in 97 of 100 such tests
    assert (outcome.state == PROMOTED).sum() <= (3 if metric == "violations" else 0.05 * RUNS)


def test_a_candidate_that_is_silent_is_never_promoted(made) -> None:
    world = generate(Scenario("silent", True, silent_from=5), 6000, 40, 60, 7)
    outcome = procedure.run(world, made, soak=6)
    assert not (outcome.state == PROMOTED).any()
    assert (outcome.state == ROLLED_BACK).all()
