"""The parts of the benchmark: rules on scenarios, delays and bound, promises on the boundary, cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import planner
from agentrelease.core.assess import Requirements, assess
from agentrelease.core.evidence import Block, Cell, Concurrent, Count
from agentrelease.core.ledger import Ledger
from bench.decisions import bound, procedure
from bench.decisions.procedure import PROMOTED, ROLLED_BACK, Outcome
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
    World,
    generate,
    history,
    index,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agentrelease.core.guardrails import Plan

OURS = "this operator"
MINUTES = 360
HISTORY = 120
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


def compare(
    plan: Plan, per_minute: float, runs: int, seed: int, told: Callable[[str], None]
) -> Iterable[Row]:
    """Every rule on every scenario at one traffic."""
    for scenario in (*GOOD, *BAD, *LATE):
        world = generate(scenario, per_minute, runs, MINUTES, seed)
        told(f"{per_minute:g}/min {scenario.name}")
        soak = 240 if scenario.late else 30
        past = history(scenario, per_minute, runs, HISTORY, seed)
        yield row(OURS, world, procedure.run(world, plan, soak=soak, past=past))
        for named in RULES:
            yield row(named.name, world, named.rule(world, plan))


def row(rule: str, world: World, outcome: Outcome) -> Row:
    rolled, promoted = outcome.state == ROLLED_BACK, outcome.state == PROMOTED
    tasks = np.cumsum(world.n_c.sum(axis=2), axis=1)
    harm = np.cumsum(np.maximum(world.excess, 0).sum(axis=2), axis=1)
    last = np.maximum(outcome.tick - 1, 0)
    runs = np.arange(len(rolled))
    at = lambda values: float(values[runs, last][rolled].mean()) if rolled.any() else float("nan")  # noqa: E731
    return Row(
        rule, world.scenario.name, world.scenario.good, world.scenario.late, world.per_minute, len(rolled),
        float(rolled.mean()), float(promoted.mean()), float((promoted & outcome.blind).mean()),
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
        world = generate(Scenario(name, False, (effect,)), 600, runs, ticks, seed + 1)
        outcome = procedure.run(world, plan, soak=ticks + 1)
        tasks = np.cumsum(world.n_c.sum(axis=2), axis=1)[np.arange(runs), outcome.tick - 1]
        yield Delay(
            name, least, float(tasks.mean()), float(np.median(tasks)), float((outcome.state == 0).mean())
        )


def promises(plan: Plan, runs: int, seed: int, days: int = 7) -> dict[str, tuple[float, float]]:
    """Errors measured exactly on the boundary, beside what is guaranteed."""
    found = {}
    on_tolerance = tuple(_boundary(g.name, g.tolerance.relative, g.tolerance.absolute) for g in plan.tested)
    for per_minute, ticks, chunks, much in ((600, 720, 1, runs), (100, days * 1440, 10, max(1, runs // 30))):
        states = [
            procedure.run(
                generate(Scenario("boundary", True, on_tolerance), per_minute, much, ticks, seed + 2 + chunk),
                plan,
                soak=ticks + 1,
            ).state
            for chunk in range(chunks)
        ]
        share = float((np.concatenate(states) == ROLLED_BACK).mean())
        found[f"false rollback, all metrics on the tolerance boundary, {ticks:,} looks"] = (
            share,
            plan.false_rollback,
        )
    for name in ("violations", "completion"):
        g = plan.tested[index(name)]
        effect = _boundary(name, g.max_harm.relative, g.max_harm.absolute)
        world = generate(Scenario("at max harm", False, (effect,)), 600, runs, 720, seed + 3)
        outcome = procedure.run(world, plan, soak=1)
        found[f"promotion, {name} exactly at maxHarm, 720 looks"] = (
            float((outcome.state == PROMOTED).mean()),
            g.alpha,
        )
    return found


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
    ledger, best_block, best_decision = Ledger.new(plan, 0.0), np.inf, np.inf
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
