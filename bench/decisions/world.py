"""Synthetic releases: traffic, strata, drift and effects, generated for many runs at once.

Shapes: R runs, T one-minute ticks, M metrics, S strata. ``n`` are tasks (R, T, S), ``x`` bad
outcomes (R, T, M, S). Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

METRICS = ("completion", "correction", "escalation", "violations", "tool-failure", "slow")
BASE = np.array([0.10, 0.08, 0.06, 0.002, 0.03, 0.05])
BOUNDED = np.array([True, False, False, False, False, True])
MIX = np.array([0.6, 0.3, 0.1])
HARDNESS = np.array([0.8, 1.1, 1.9])
STRATA = ("risk_tier=low", "risk_tier=mid", "risk_tier=high")
HIGH = 2
WEIGHT = 0.05
GROUP = 5
GROUPED = 0.4


def index(metric: str) -> int:
    return METRICS.index(metric)


@dataclass(frozen=True)
class Effect:
    """What the candidate does to one metric: times, plus, in which strata, from which minute on."""

    metric: str
    times: float = 1.0
    plus: float = 0.0
    strata: tuple[int, ...] = (0, 1, 2)
    onset: int = 0


@dataclass(frozen=True)
class Scenario:
    name: str
    good: bool
    effects: tuple[Effect, ...] = ()
    drift: bool = False
    ramp: bool = False
    mix: tuple[float, float, float] | None = None
    clustered: bool = False
    gaps: bool = False
    silent_from: int | None = None
    late: bool = False


def everywhere(times: float) -> tuple[Effect, ...]:
    return tuple(Effect(metric, times=times) for metric in METRICS)


GOOD = (
    Scenario("stationary", True),
    Scenario("diurnal", True, drift=True),
    Scenario("ramp at peak", True, drift=True, ramp=True),
    Scenario("harder mix", True, mix=(0.45, 0.30, 0.25)),
    Scenario("clustered", True, clustered=True),
    Scenario("gaps", True, gaps=True),
    Scenario("20 % better", True, effects=everywhere(0.8)),
    Scenario("3 % worse", True, effects=everywhere(1.03)),
)

BAD = (
    Scenario("violations x3", False, (Effect("violations", times=3.0),)),
    Scenario("violations x5", False, (Effect("violations", times=5.0),)),
    Scenario("violations x10", False, (Effect("violations", times=10.0),)),
    Scenario("completion -5", False, (Effect("completion", plus=0.05),)),
    Scenario("completion -10", False, (Effect("completion", plus=0.10),)),
    Scenario("correction +5", False, (Effect("correction", plus=0.05),)),
    Scenario("slow +5", False, (Effect("slow", plus=0.05),)),
    Scenario("stratum violations x10", False, (Effect("violations", times=10.0, strata=(HIGH,)),)),
    Scenario("stratum completion -15", False, (Effect("completion", plus=0.15, strata=(HIGH,)),)),
    Scenario("silent after 30", False, (Effect("completion", plus=0.05),), silent_from=30),
    Scenario("masked by easy mix", False, everywhere(1.5), mix=(0.85, 0.13, 0.02)),
    Scenario("clustered violations x5", False, (Effect("violations", times=5.0),), clustered=True),
)

LATE = (
    Scenario("late violations x10", False, (Effect("violations", times=10.0, onset=120),), late=True),
    Scenario("late completion -10", False, (Effect("completion", plus=0.10, onset=120),), late=True),
)


@dataclass
class World:
    """Counts as a scraper would have collected them, and what they came from."""

    scenario: Scenario
    per_minute: float
    n_c: Floats
    x_c: Floats
    n_b: Floats
    x_b: Floats
    seen: NDArray[np.bool_]
    excess: Floats

    @property
    def ticks(self) -> int:
        return self.n_c.shape[1]


def generate(scenario: Scenario, per_minute: float, runs: int, ticks: int, seed: int) -> World:
    """Generate runs of a scenario at a total traffic in requests a minute."""
    rng = np.random.default_rng([seed, round(per_minute), *scenario.name.encode()])
    phase = rng.uniform(0, 2 * np.pi, (runs, 1)) if not scenario.ramp else np.full((runs, 1), -np.pi / 2)
    swing = (
        np.sin(phase + 2 * np.pi * np.arange(ticks) / 360.0) if scenario.drift else np.zeros((runs, ticks))
    )
    volume = per_minute * (1.0 + 0.7 * swing)
    level = 1.0 + 0.6 * swing
    weight = np.full((runs, ticks), WEIGHT)
    if scenario.ramp:  # from 2 % to 10 % while the daily peak comes, back down after it
        weight = 0.02 + 0.08 * np.clip(0.5 + 0.5 * swing, 0, 1)
    mix_c = MIX if scenario.mix is None else np.array(scenario.mix)
    rate_b = np.minimum(0.95, level[:, :, None, None] * BASE[:, None] * HARDNESS)
    rate_c = rate_b.copy()
    for effect in scenario.effects:
        place = index(effect.metric)
        for stratum in effect.strata:
            changed = rate_c[:, effect.onset :, place, stratum] * effect.times + effect.plus
            rate_c[:, effect.onset :, place, stratum] = np.minimum(0.95, changed)
    n_c, x_c = _arm(rng, volume * weight, mix_c, rate_c, scenario.clustered)
    n_b, x_b = _arm(rng, volume * (1 - weight), MIX, rate_b, scenario.clustered)
    excess = np.einsum("rts,rtms->rtm", n_c, rate_c - rate_b)
    seen = np.ones((runs, ticks), dtype=bool)
    if scenario.gaps:
        seen &= rng.random((runs, ticks)) >= 0.10
        begin = rng.integers(30, 90, runs)
        for run in range(runs):
            seen[run, begin[run] : begin[run] + 15] = False
        n_c, x_c, n_b, x_b = (_scraped(a, seen) for a in (n_c, x_c, n_b, x_b))
    if scenario.silent_from is not None:
        seen[:, scenario.silent_from :] = False
        for array in (n_c, x_c):
            array[:, scenario.silent_from :] = 0
    return World(scenario, per_minute, n_c, x_c, n_b, x_b, seen, excess)


def history(scenario: Scenario, per_minute: float, runs: int, minutes: int, seed: int) -> World:
    """What was there before the rollout; only stable's counts are looked at."""
    past = Scenario("history", True, drift=scenario.drift, clustered=scenario.clustered)
    return generate(past, per_minute, runs, minutes, seed + 7919)


def _arm(
    rng: np.random.Generator, volume: Floats, mix: Floats, rate: Floats, clustered: bool
) -> tuple[Floats, Floats]:
    expected = volume[:, :, None] * mix
    if not clustered:
        n = rng.poisson(expected)
        return n.astype(float), rng.binomial(n[:, :, None, :], rate).astype(float)
    alone, groups = rng.poisson((1 - GROUPED) * expected), rng.poisson(GROUPED * expected / GROUP)
    x = rng.binomial(alone[:, :, None, :], rate) + GROUP * rng.binomial(groups[:, :, None, :], rate)
    return (alone + GROUP * groups).astype(float), x.astype(float)


def _scraped(counts: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Move what a lost scrape would have shown into the next one, as cumulative counters do."""
    moved = counts.copy()
    for tick in range(counts.shape[1] - 1):
        lost = ~seen[:, tick]
        moved[lost, tick + 1] += moved[lost, tick]
        moved[lost, tick] = 0
    return moved
