"""Synthetic releases: traffic, strata, drift and effects, generated for many runs at once.

Shapes: R runs, T ticks (blocks), M metrics, S strata. ``n`` are tasks (R, T, S), ``x`` bad outcomes
(R, T, M, S). Everything follows from the seed. A scenario's history, its worlds at other weights and the
days after its promotion are of the same agent: its daily swing goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentrelease.core import swing

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = NDArray[np.float64]

METRICS = ("completion", "correction", "escalation", "violations", "tool-failure", "slow")
BASE = np.array([0.10, 0.08, 0.06, 0.002, 0.03, 0.05])
BOUNDED = np.array([True, False, False, False, False, True])
MIX = np.array([0.6, 0.3, 0.1])
HARDNESS = np.array([0.8, 1.1, 1.9])
STRATA = ("risk_tier=low", "risk_tier=mid", "risk_tier=high")
HIGH = 2
WEIGHT = 0.05
PART = 600.0
"""Seconds of a past hour within which rates are taken to be steady."""
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

    @property
    def routed(self) -> bool:
        """Whether a route splits single tasks at one weight, so that the split can be judged.

        Groups that stay together are sessions, which flags split; a weight that follows the day has no
        phase of its own.
        """
        return not (self.ramp or self.clustered)


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


@dataclass(frozen=True)
class Traffic:
    """Requests a minute in all, the candidate's share, seconds in a block, and blocks between two scrapes."""

    per_minute: float
    weight: float = WEIGHT
    grid: float = 60.0
    scraped: int = 1

    def ticks(self, minutes: float) -> int:
        return round(minutes * 60 / self.grid)


@dataclass
class World:
    """Counts as a scraper would have collected them, and what they came from."""

    scenario: Scenario
    traffic: Traffic
    n_c: Floats
    x_c: Floats
    n_b: Floats
    x_b: Floats
    seen_c: NDArray[np.bool_]
    seen_b: NDArray[np.bool_]
    excess: Floats
    days: World | None = None
    """Of a history: stable's hours in the days before it."""

    @property
    def ticks(self) -> int:
        return self.n_c.shape[1]

    @property
    def runs(self) -> int:
        return self.n_c.shape[0]

    @property
    def seen(self) -> NDArray[np.bool_]:
        return self.seen_c & self.seen_b


def generate(
    scenario: Scenario, traffic: Traffic, runs: int, ticks: int, seed: int, *, start: int = 0
) -> World:
    """Generate runs of a scenario from tick ``start`` on; what lies before 0 is history."""
    key = [seed, round(traffic.per_minute), *scenario.name.encode()]
    moved = np.random.default_rng([0, *key]).uniform(0, 2 * np.pi, (runs, 1))
    rng = np.random.default_rng([*key, round(10 * traffic.weight * 100), abs(start)])
    phase = np.full((runs, 1), -np.pi / 2) if scenario.ramp else moved
    minutes = (start + np.arange(ticks)) * traffic.grid / 60.0
    swing = np.sin(phase + 2 * np.pi * minutes / 360.0) if scenario.drift else np.zeros((runs, ticks))
    volume = traffic.per_minute * traffic.grid / 60.0 * (1.0 + 0.7 * swing)
    weight = np.full((runs, ticks), traffic.weight)
    if scenario.ramp:  # from 2 % to 10 % while the daily peak comes, back down after it
        weight = 0.02 + 0.08 * np.clip(0.5 + 0.5 * swing, 0, 1)
    mix_c = MIX if scenario.mix is None else np.array(scenario.mix)
    rate_b = np.minimum(0.95, (1.0 + 0.6 * swing)[:, :, None, None] * BASE[:, None] * HARDNESS)
    rate_c = _changed(scenario, rate_b, traffic.ticks, start)
    n_c, x_c = _arm(rng, volume * weight, mix_c, rate_c, scenario.clustered)
    n_b, x_b = _arm(rng, volume * (1 - weight), MIX, rate_b, scenario.clustered)
    excess = np.einsum("rts,rtms->rtm", n_c, rate_c - rate_b)
    seen = _seen(scenario, rng, (runs, ticks), traffic.ticks, start)
    seen[:, (start + np.arange(ticks) + 1) % traffic.scraped != 0] = False
    if not seen.all():
        n_c, x_c, n_b, x_b = (_scraped(a, seen) for a in (n_c, x_c, n_b, x_b))
    seen_c = seen.copy()
    if scenario.silent_from is not None:
        silent = max(0, traffic.ticks(scenario.silent_from) - start)
        seen_c[:, silent:] = False
        for array in (n_c, x_c):
            array[:, silent:] = 0
    return World(scenario, traffic, n_c, x_c, n_b, x_b, seen_c, seen, excess)


def history(
    scenario: Scenario, traffic: Traffic, runs: int, ticks: int, seed: int, *, days: int = 0
) -> World:
    """What was there before the rollout; only stable's counts are looked at."""
    before = replace(scenario, effects=(), gaps=False)
    past = generate(before, traffic, runs, ticks, seed, start=-ticks)
    if not days:
        return past
    parts = round(swing.HOUR / PART)
    many = days * swing.DAY * parts
    finer = replace(traffic, grid=PART, scraped=1)
    hours = generate(before, finer, runs, many, seed, start=-many)
    for name in ("n_c", "x_c", "n_b", "x_b"):
        counts = getattr(hours, name)
        whole = counts.reshape(runs, many // parts, parts, *counts.shape[2:]).sum(axis=2)
        setattr(hours, name, whole)
    hours.traffic = replace(traffic, grid=swing.HOUR)
    hours.seen_c, hours.seen_b = hours.seen_c[:, ::parts], hours.seen_b[:, ::parts]
    return replace(past, days=hours)


def _changed(scenario: Scenario, rate_b: Floats, at: Callable[[float], int], start: int) -> Floats:
    """The candidate's rates: stable's, and what the scenario's effects do to them."""
    rate_c = rate_b.copy()
    for effect in scenario.effects:
        place, onset = index(effect.metric), max(0, at(effect.onset) - start)
        for stratum in effect.strata:
            changed = rate_c[:, onset:, place, stratum] * effect.times + effect.plus
            rate_c[:, onset:, place, stratum] = np.minimum(0.95, changed)
    return rate_c


def _seen(
    scenario: Scenario, rng: np.random.Generator, shape: tuple[int, int], at: Callable[[float], int],
    start: int,
) -> NDArray[np.bool_]:  # fmt: skip
    """Which scrapes succeed: with gaps, one in ten is lost, and once all of a quarter of an hour."""
    seen = np.ones(shape, dtype=bool)
    if scenario.gaps:
        seen &= rng.random(shape) >= 0.10
        begin = at(30) + rng.integers(0, at(60), shape[0]) - start
        for run in range(shape[0]):
            seen[run, max(0, begin[run]) : max(0, begin[run] + at(15))] = False
    return seen


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
