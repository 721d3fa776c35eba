"""Whole rollouts: canary, half, all traffic, promotion, and seven days of watch against the frozen record.

And the canary as an operator runs it that was installed with the defaults: looked at every five seconds,
scraped every fifteen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from agentrelease.core import swing
from bench.decisions import policy, study
from bench.decisions.ledgers import Ledgers
from bench.decisions.procedure import DRAINED, PROMOTED, ROLLED_BACK, Procedure
from bench.decisions.watching import DAY, days, watched
from bench.decisions.world import BAD, GOOD, WEIGHT, Effect, Scenario, Traffic, generate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentrelease.core.guardrails import Plan
    from bench.decisions.study import Row

WATCHED = 7.0
"""Days."""

MINUTES = 720
"""For the three phases."""

LATER = MINUTES + 3 * DAY
PROVIDER = tuple(
    Scenario(f"{name} after 3 days", False, (replace(effect, onset=round(LATER)),))
    for name, effect in (
        ("violations x3", Effect("violations", times=3.0)),
        ("completion -5", Effect("completion", plus=0.05)),
    )
)
"""Good releases whose provider changes the model under a fixed name."""

INSTALLED = "violations x5", "completion -5", "stratum violations x10", "silent after 30"
SHORT = 120
"""Minutes in blocks of five seconds."""

DEFAULTS = {"grid": 5.0, "scraped": 3}


@dataclass(frozen=True)
class Whole:
    """A scenario through all phases; shares of all runs. ``hours`` is from harm to return, in the median."""

    scenario: str
    good: bool
    later: bool
    per_minute: float
    runs: int
    rolled_back: float
    """Before the promotion."""
    promoted: float
    returned: float
    """By the watch, of all runs."""
    hours: float

    @property
    def undone(self) -> float:
        """Rolled back or returned."""
        return self.rolled_back + self.returned


def wholes(plan: Plan, per_minute: float, runs: int, seed: int) -> Iterable[Whole]:
    """Return what becomes of whole releases. A weight that follows the day is no rollout by phases."""
    good = [s for s in GOOD if not s.ramp]
    for scenario in (*good, study.at_tolerance(plan), *BAD, *PROVIDER):
        yield _whole(plan, scenario, per_minute, runs, seed)


def _whole(plan: Plan, scenario: Scenario, per_minute: float, runs: int, seed: int) -> Whole:
    release = study.released(scenario)
    worlds = {
        weight: generate(scenario, Traffic(per_minute, weight / 100), runs, MINUTES, seed)
        for weight in sorted({phase.weight or 0.0 for phase in release.spec.phases})
    }
    procedure = Procedure(release, plan, worlds, len(release.spec.phases))
    out = procedure.run(study.past_of(scenario, Traffic(per_minute), runs, seed, days=swing.DAYS))
    later, returned = scenario in PROVIDER, np.zeros(0, dtype=np.int64)
    if procedure.ended and (scenario.good or later):
        ids = np.concatenate([ids for ids, _ in procedure.ended])
        held = Ledgers.joined([held for _, held in procedure.ended])
        after = days(scenario, Traffic(per_minute, 1.0), runs, seed, MINUTES, WATCHED)
        returned, _ = watched(held, ids, after, MINUTES)
    back = returned[returned > 0]
    early = back <= LATER - MINUTES if later else np.zeros(len(back), dtype=bool)
    found = back[~early] - (LATER - MINUTES)
    rolled = np.isin(out.state, (ROLLED_BACK, DRAINED))
    return Whole(
        scenario.name, scenario.good, later, per_minute, runs,
        float(rolled.mean()) + float(early.sum()) / runs, float((out.state == PROMOTED).mean()),
        float((~early).sum()) / runs, float(np.median(found)) / 60 if later and len(found) else float("nan"),
    )  # fmt: skip


def as_installed(per_minute: float, runs: int, seed: int, chunk: int = 150) -> Iterable[Row]:
    """Return scenarios in blocks of five seconds, of which every third has a sample."""
    traffic = Traffic(per_minute, **DEFAULTS)
    plan, ticks = policy.plan(traffic.grid), traffic.ticks(SHORT)
    for scenario in (*GOOD, *(bad for bad in BAD if bad.name in INSTALLED)):
        parts = []
        for first in range(0, runs, chunk):
            many = min(chunk, runs - first)
            world = generate(scenario, traffic, many, ticks, seed + 31 * (first + 1))
            past = study.past_of(scenario, traffic, many, seed + 31 * (first + 1))
            outcome = Procedure(study.released(scenario), plan, {100 * WEIGHT: world}).run(past)
            parts.append(study.row(study.OURS, world, outcome))
        yield _mean(parts)


def _mean(parts: list[Row]) -> Row:
    """Return the mean of rows of the same scenario, by what they are means of."""
    runs = sum(p.runs for p in parts)

    def mean(field: str, by: str | None = None) -> float:
        weights = [p.runs * (getattr(p, by) if by else 1.0) for p in parts]
        known = [(getattr(p, field), w) for p, w in zip(parts, weights, strict=True) if w > 0]
        return sum(v * w for v, w in known) / sum(w for _, w in known) if known else float("nan")

    return replace(
        parts[0], runs=runs, rolled_back=mean("rolled_back"), promoted=mean("promoted"),
        promoted_blind=mean("promoted_blind"), minutes=mean("minutes", "rolled_back"),
        minutes_to_promote=mean("minutes_to_promote", "promoted"), tasks=mean("tasks", "rolled_back"),
        excess=mean("excess", "rolled_back"),
    )  # fmt: skip
