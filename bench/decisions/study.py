"""The parts of the benchmark: rules on scenarios, delays and bound, promises on the boundary, cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import planner, swing
from agentrelease.core.assess import Requirements, assess
from agentrelease.core.evidence import Block, Cell, Concurrent, Count
from agentrelease.core.ledger import Ledger
from agentrelease.engine.absorbing import HISTORY, HISTORY_BLOCKS
from bench.decisions import bound, policy
from bench.decisions.procedure import DRAINED, PROMOTED, ROLLED_BACK, RUNNING, Outcome, Procedure
from bench.decisions.rules import RULES
from bench.decisions.world import (
    BAD,
    BASE,
    GOOD,
    HARDNESS,
    LATE,
    METRICS,
    MIX,
    STRATA,
    WEIGHT,
    Effect,
    Scenario,
    Traffic,
    World,
    generate,
    history,
    index,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentrelease.api.release import AgentRelease
    from agentrelease.core.guardrails import Plan

OURS = "this operator"
MINUTES = 360
LATE_SOAK = 240.0
WEEK = swing.DAYS * swing.DAY
DELAYS = (
    Effect("violations", times=3), Effect("violations", times=5), Effect("violations", times=10),
    Effect("completion", plus=0.05), Effect("completion", plus=0.10), Effect("correction", plus=0.05),
    Effect("slow", plus=0.03), Effect("slow", plus=0.05),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One rule on one scenario; shares of runs, and means over the runs that were rolled back."""

    rule: str
    scenario: str
    good: bool
    late: bool
    per_minute: float
    runs: int
    rolled_back: float
    promoted: float
    promoted_blind: float
    minutes: float
    minutes_to_promote: float
    tasks: float
    excess: float


@dataclass(frozen=True)
class Delay:
    effect: str
    bound: float
    mean: float
    median: float
    undecided: float

    @property
    def ratio(self) -> float:
        return self.mean / self.bound


def past_of(scenario: Scenario, traffic: Traffic, runs: int, seed: int, days: int = 0) -> World:
    """Return as much of stable's history as the engine reads; its ``days`` matter only at 100 % and later."""
    ticks = round(min(HISTORY, HISTORY_BLOCKS * traffic.grid) / traffic.grid)
    return history(scenario, traffic, runs, ticks, seed, days=days)


def released(scenario: Scenario) -> AgentRelease:
    """Return the release that a scenario is about."""
    return policy.release(soak=LATE_SOAK if scenario.late else policy.SOAK, routed=scenario.routed)


def compare(plan: Plan, per_minute: float, runs: int, seed: int) -> Iterable[Row]:
    """Every rule on every scenario at one traffic: whether the first phase is left, and how."""
    for scenario in (*GOOD, *BAD, *LATE):
        world = generate(scenario, traffic := Traffic(per_minute), runs, MINUTES, seed)
        yield row(OURS, world, ours(plan, world, past_of(scenario, traffic, runs, seed)))
        for named in RULES:
            yield row(named.name, world, named.rule(world, plan))


def ours(plan: Plan, world: World, past: World) -> Outcome:
    return Procedure(released(world.scenario), plan, {100 * WEIGHT: world}).run(past)


def row(rule: str, world: World, outcome: Outcome) -> Row:
    rolled = (outcome.state == ROLLED_BACK) | (outcome.state == DRAINED)
    promoted = outcome.state == PROMOTED
    tasks = np.cumsum(world.n_c.sum(axis=2), axis=1)
    harm = np.cumsum(np.maximum(world.excess, 0).sum(axis=2), axis=1)
    last = np.maximum(outcome.tick - 1, 0)
    runs = np.arange(len(rolled))
    at = lambda values: float(values[runs, last][rolled].mean()) if rolled.any() else float("nan")  # noqa: E731
    return Row(
        rule, world.scenario.name, world.scenario.good, world.scenario.late, world.traffic.per_minute,
        len(rolled), float(rolled.mean()), float(promoted.mean()), float((promoted & outcome.blind).mean()),
        float(np.median(outcome.tick[rolled])) if rolled.any() else float("nan"),
        float(np.median(outcome.tick[promoted])) if promoted.any() else float("nan"),
        at(tasks), at(harm),
    )  # fmt: skip


def delays(plan: Plan, runs: int, seed: int) -> Iterable[Delay]:
    """Candidate tasks until rollback at 600 requests a minute, with the whole family, against the bound."""
    for effect in DELAYS:
        guardrail = plan.tested[index(effect.metric)]
        least = bound.tasks(effect, guardrail.tolerance, plan.false_rollback)
        ticks = int(max(120, 6 * least / (600 * WEIGHT)))
        name = f"{effect.metric} " + (
            f"x{effect.times:g}" if effect.times != 1 else f"+{100 * effect.plus:g} points"
        )
        scenario = Scenario(name, False, (effect,))
        world = generate(scenario, traffic := Traffic(600), runs, ticks, seed + 1)
        outcome = _endless(plan, world, past_of(scenario, traffic, runs, seed + 1))
        tasks = np.cumsum(world.n_c.sum(axis=2), axis=1)[np.arange(runs), outcome.tick - 1]
        undecided = float((outcome.state == RUNNING).mean())
        yield Delay(name, least, float(tasks.mean()), float(np.median(tasks)), undecided)


def promises(plan: Plan, runs: int, seed: int, days: int = 7) -> dict[str, tuple[float, float]]:
    """Errors measured exactly on the boundary, beside what is guaranteed."""
    found = {}
    scenario = at_tolerance(plan)
    for per_minute, ticks, chunks in ((600, 720, 1), (100, days * 1440, 3)):
        states = []
        for chunk in range(chunks):
            worlds = scenario, Traffic(per_minute), max(1, runs // chunks)
            world = generate(*worlds, ticks, seed + 2 + chunk)
            states.append(_endless(plan, world, past_of(*worlds, seed + 2 + chunk)).state)
        share = float((np.concatenate(states) == ROLLED_BACK).mean())
        named = f"false rollback, all metrics on the tolerance boundary, {ticks:,} looks beside stable"
        found[named] = share, plan.false_rollback
    for name in ("violations", "completion"):
        g = plan.tested[index(name)]
        effect = _boundary(name, g.max_harm.relative, g.max_harm.absolute)
        scenario = Scenario("at max harm", False, (effect,))
        world = generate(scenario, Traffic(600), runs, 720, seed + 3)
        outcome = Procedure(policy.release(soak=1), plan, {100 * WEIGHT: world}).run(
            past_of(scenario, Traffic(600), runs, seed + 3)
        )
        promoted = float((outcome.state == PROMOTED).mean())
        found[f"promotion, {name} exactly at maxHarm, 720 looks"] = promoted, g.alpha
    return found


def at_tolerance(plan: Plan) -> Scenario:
    """A good release, only just: every metric exactly at its tolerance."""
    effects = (_boundary(g.name, g.tolerance.relative, g.tolerance.absolute) for g in plan.tested)
    return Scenario("at its tolerance", True, tuple(effects))


def _endless(plan: Plan, world: World, past: World) -> Outcome:
    """A phase that is never left but by a rollback."""
    return Procedure(policy.release(soak=world.ticks + 1), plan, {100 * WEIGHT: world}).run(past)


def planned(plan: Plan) -> dict[str, float]:
    """The planner's number of candidate tasks to promote, by guardrail."""
    ratio = (1 - WEIGHT) / WEIGHT
    out = {}
    for metric, base, guardrail in zip(METRICS, BASE, plan.tested, strict=True):
        out[metric] = planner.to_promote(guardrail, base, ratio)
        high = planner.to_promote(guardrail, base * HARDNESS[2], ratio, alone=True) / MIX[2]
        out[f"{metric} in {STRATA[2]}"] = high
    return out


def cost(plan: Plan) -> tuple[float, float, int]:
    """Microseconds per metric-stratum block, milliseconds per decision, bytes of state; 12 strata."""
    rng = np.random.default_rng(3)
    strata = [
        f"risk_tier={tier},workflow_class=w{kind}" for tier in ("high", "low", "mid") for kind in range(4)
    ]
    past = [
        Block(
            swing.HOUR * (hour - WEEK),
            swing.HOUR * (hour + 1 - WEEK),
            {
                g.name: {
                    key: Cell(None, Count(n := int(rng.poisson(5000)), int(rng.binomial(n, 0.05))))
                    for key in strata
                }
                for g in plan.tested
            },
        )
        for hour in range(WEEK)
    ]
    ledger = Ledger.new(plan, 0.0).remembering(plan, past, "168 hours of its past days are known")
    best_block, best_decision = np.inf, np.inf
    for tick in range(300):
        cells = {
            g.name: {
                key: Cell(
                    Count(n := int(rng.poisson(5)), int(rng.binomial(n, 0.05))),
                    Count(m := int(rng.poisson(95)), int(rng.binomial(m, 0.05))),
                )
                for key in strata
            }
            for g in plan.tested
        }
        block = Block(60.0 * tick, 60.0 * tick + 60, cells)
        began = time.perf_counter()
        ledger = ledger.absorb(plan, block, Autonomy.OBSERVE, Concurrent())
        middle = time.perf_counter()
        assess(plan, ledger, block.end, Requirements())
        ended = time.perf_counter()
        best_block, best_decision = min(best_block, middle - began), min(best_decision, ended - middle)
    return (
        1e6 * best_block / (len(strata) * len(plan.tested)),
        1e3 * best_decision,
        len(ledger.to_json().encode()),
    )


def _boundary(metric: str, relative: float, absolute: float) -> Effect:
    return Effect(metric, times=relative, plus=absolute)
