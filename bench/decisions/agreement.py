"""Is the procedure on arrays the operator's? A sample of runs in every scenario, through both.

The arrays are here because a block and its decision take the operator's own functions some three
milliseconds: all runs of this benchmark would take hours. So some runs of each scenario and traffic are
played again through those functions (:mod:`bench.decisions.product`). Both must come to the same end in
the same block, with every phase entered in the same block on the way, and the same evidence for harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.decisions import policy, study
from bench.decisions.ledgers import Ledgers
from bench.decisions.procedure import PROMOTED, Procedure
from bench.decisions.product import Operator
from bench.decisions.watching import watched
from bench.decisions.world import BAD, GOOD, LATE, WEIGHT, Effect, Scenario, Traffic, generate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agentrelease.api.release import AgentRelease
    from agentrelease.core.guardrails import Plan
    from bench.decisions.procedure import Outcome
    from bench.decisions.product import Played
    from bench.decisions.world import World

CANARY = 100 * WEIGHT
ROUNDING = 0.001
"""Nats by which the evidence for harm may differ: the core keeps steps of 1/10,000 of each bet."""


@dataclass(frozen=True)
class Sampled:
    """One run through both; ``same`` is whether they agree."""

    case: str
    run: int
    same: bool
    said: str


@dataclass(frozen=True)
class Case:
    """What is played: a release in its worlds, until a phase is entered."""

    name: str
    release: AgentRelease
    plan: Plan
    worlds: Mapping[float, World]
    past: World | None
    until: int = 1
    after: World | None = None
    """What the watch sees, if the release is promoted."""


def cases(seed: int, runs: int, volumes: Iterable[float]) -> Iterable[Case]:
    """Return every scenario at every traffic."""
    plan = policy.plan()
    for per_minute in volumes:
        for scenario in (*GOOD, *BAD, *LATE):
            traffic = Traffic(per_minute)
            world = generate(scenario, traffic, runs, study.MINUTES, seed)
            past = study.past_of(scenario, traffic, runs, seed)
            name = f"{scenario.name}, {per_minute:g}/min"
            yield Case(name, study.released(scenario), plan, {CANARY: world}, past)


def special(seed: int, runs: int) -> Iterable[Case]:
    """Whole rollouts, no history, a deadline, milder actions that are forgiven, blocks of five seconds."""
    for scenario in (GOOD[0], GOOD[1], GOOD[5]):
        worlds = {
            weight: generate(scenario, Traffic(6000, weight / 100), runs, 240, seed)
            for weight in (CANARY, 50.0, 100.0)
        }
        past = study.past_of(scenario, Traffic(6000), runs, seed, days=2)
        after = generate(scenario, Traffic(6000, 1.0), runs, 240, seed, start=240)
        name = f"all phases and watch, {scenario.name}"
        yield Case(name, study.released(scenario), policy.plan(), worlds, past, 3, after)
    yield _provider(seed, runs)
    worlds = {w: generate(GOOD[0], Traffic(3000, w / 100), runs, 120, seed) for w in (CANARY, 50.0, 100.0)}
    hasty = policy.release(soak=1, later=1)
    yield Case("all phases in haste", hasty, policy.plan(), worlds, None, 3)
    world = generate(GOOD[4], Traffic(600), runs, 120, seed)
    yield Case("without history", study.released(GOOD[4]), policy.plan(), {CANARY: world}, None)
    world = generate(GOOD[0], Traffic(100), runs, 120, seed)
    yield Case("deadline", policy.release(deadline=90.0), policy.plan(), {CANARY: world}, None)
    mild = policy.plan(actions={"escalation": "lowerAutonomy", "slow": "lowerAutonomy"})
    for effects in ((Effect("escalation", plus=0.06),), (Effect("slow", plus=0.2, onset=10),)):
        scenario = Scenario(f"lowers autonomy, {effects[0].metric}", False, effects)
        world = generate(scenario, Traffic(600), runs, 240, seed)
        yield Case(scenario.name, study.released(scenario), mild, {CANARY: world}, None)
    for scenario in (GOOD[0], BAD[1]):
        traffic = Traffic(6000, grid=5.0, scraped=3)
        world = generate(scenario, traffic, runs, 480, seed)
        past = study.past_of(scenario, traffic, runs, seed)
        yield Case(
            f"blocks of 5 s, {scenario.name}",
            study.released(scenario),
            policy.plan(5.0),
            {CANARY: world},
            past,
        )


def _provider(seed: int, runs: int) -> Case:
    """A model that changes during the watch: what serves is taken back."""
    scenario = Scenario("good until it serves", False, (Effect("completion", plus=0.05, onset=150),))
    worlds = {
        weight: generate(scenario, Traffic(6000, weight / 100), runs, 110, seed)
        for weight in (CANARY, 50.0, 100.0)
    }
    after = generate(scenario, Traffic(6000, 1.0), runs, 120, seed, start=110)
    past = study.past_of(scenario, Traffic(6000), runs, seed, days=2)
    return Case("returned in the watch", study.released(scenario), policy.plan(), worlds, past, 3, after)


def compare(case: Case) -> Iterable[Sampled]:
    """Play all runs of a case through both."""
    procedure = Procedure(case.release, case.plan, case.worlds, case.until)
    out, first = procedure.run(case.past), next(iter(case.worlds.values()))
    returned = np.zeros(first.runs, dtype=np.int64)
    if case.after is not None and procedure.ended:
        ids = np.concatenate([ids for ids, _ in procedure.ended])
        held = Ledgers.joined([held for _, held in procedure.ended])
        returned[ids], out.evidence[ids] = watched(held, ids, iter([case.after]), first.ticks)
    for run in range(first.runs):
        operator = Operator(case.release, case.plan, case.worlds, run, case.past)
        played = operator.play(case.until)
        watches = case.after is not None and played.state == PROMOTED
        back = operator.watch(case.after, first.ticks) if watches else 0
        ours, theirs = (*_of_arrays(out, run), int(returned[run])), (*_of_operator(played), back)
        apart = abs(float(out.evidence[run]) - operator.played.families[-1])
        same = ours == theirs and apart <= ROUNDING
        yield Sampled(case.name, run, same, f"arrays {ours}, operator {theirs}, {apart:.2g} nats apart")


def _of_arrays(out: Outcome, run: int) -> tuple[int, int, int, tuple[int, ...]]:
    entered = tuple(int(tick) for tick in out.entered[run])
    return int(out.state[run]), int(out.tick[run]), int(out.interventions[run]), entered


def _of_operator(played: Played) -> tuple[int, int, int, tuple[int, ...]]:
    return played.state, played.tick, played.interventions, tuple(played.entered)
