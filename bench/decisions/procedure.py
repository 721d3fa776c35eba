"""The operator's own procedure for many runs at once, with the constants of the core.

The same arithmetic as ``agentrelease.core`` on arrays; ``tests/core/test_vectorised.py`` holds both
against each other. Differences between the two would be bugs of one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentrelease.core import bounded, dispersion, ledger, standing, statistics, wealth
from bench.decisions.world import BOUNDED, STRATA, World

if TYPE_CHECKING:
    from agentrelease.core.guardrails import Plan

Floats = NDArray[np.float64]
RUNNING, ROLLED_BACK, PROMOTED = 0, 1, 2
SAMPLES = 100


@dataclass
class Outcome:
    """What became of each run: state, and the tick after which it was decided."""

    state: NDArray[np.int64]
    tick: NDArray[np.int64]
    blind: NDArray[np.bool_]
    """Whether the decision fell while evidence was missing."""
    peak: Floats = field(default_factory=lambda: np.zeros(0))


def projection(r: Floats, d: Floats, n_c: Floats, n_b: Floats, t_c: Floats, t_b: Floats) -> Floats:
    a = r * n_c + n_b
    q = d * a - r * (n_c * t_c + n_b * t_b)
    root = np.sqrt(q * q + 4.0 * r * a * n_b * t_b * d)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(q <= 0.0, (root - q) / (2.0 * r * a), 2.0 * n_b * t_b * d / (root + q))


def log_e_values(
    margin: tuple[Floats, Floats], t_c: Floats, t_b: Floats, arms: tuple[Floats, Floats, Floats, Floats]
) -> Floats:
    """Arrays (R, M, S); the form is chosen by metric as the plan does."""
    r, d = (np.broadcast_to(m, t_c.shape) for m in margin)
    n_c, x_c, n_b, x_b = arms
    both = (n_c > 0) & (n_b > 0)
    n1, n2 = np.where(both, n_c, 1.0), np.where(both, n_b, 1.0)
    n1, n2 = np.broadcast_to(n1, t_c.shape), np.broadcast_to(n2, t_c.shape)
    b = projection(r, d, n1, n2, t_c, t_b)
    fits = BOUNDED[None, :, None] & (r * t_b + d < 1.0) & (t_c < 1.0)
    c = r * b + d
    free = x_c * np.log(t_c / c) - n1 * (t_c - c) + x_b * np.log(t_b / b) - n2 * (t_b - b)
    out = np.where(fits, 0.0, free)
    if fits.any():
        at = np.nonzero(fits)
        picked = [np.broadcast_to(v, t_c.shape)[at] for v in (r, d, t_c, t_b, n1, x_c, n2, x_b, b)]
        out[at] = _once(*picked)
    return np.where(both, out, 0.0)


def _once(r, d, t_c, t_b, n_c, x_c, n_b, x_b, b):
    edge = bounded.EDGE
    b = np.clip(b, edge, 1 - edge)
    c = np.minimum(r * b + d, 1 - edge)
    sc, sb = c * (1 - c), b * (1 - b)
    slope = n_c * r * (t_c - c) / sc + n_b * (t_b - b) / sb
    bend = n_c * r * r * (c * c - 2 * t_c * c + t_c) / sc**2 + n_b * (b * b - 2 * t_b * b + t_b) / sb**2
    inside = np.minimum(1.0, (1 - d) / r)
    b = np.clip(b + slope / bend, edge * inside, (1 - edge) * inside)
    c = r * b + d
    slope = n_c * r * (t_c - c) / (c * (1 - c)) + n_b * (t_b - b) / (b * (1 - b))
    paid = np.where(slope > 0, slope * (inside - b), -slope * b)
    stay_c, stay_b = (1 - t_c) / (1 - c), (1 - t_b) / (1 - b)
    gain_c = x_c * np.log(t_c / (c * stay_c)) + n_c * np.log(stay_c)
    return gain_c + x_b * np.log(t_b / (b * stay_b)) + n_b * np.log(stay_b) - paid


@dataclass
class Engine:
    """Wealth of R runs."""

    plan: Plan
    runs: int
    guarded: bool = True

    def __post_init__(self) -> None:
        tested = self.plan.tested
        shape = (self.runs, len(tested), len(STRATA))
        self.tolerance = _margins(tested, "tolerance")
        self.max_harm = _margins(tested, "max_harm")
        self.alone = _margins(tested, "max_harm_stratum")
        self.log_weight = np.log([g.weight for g in tested])
        self.log_alpha = np.log([1.0 / g.alpha for g in tested])
        self.expected = np.array([g.expected for g in tested])[None, :, None]
        self.past_n, self.past_x = np.zeros(shape), np.zeros(shape)
        steps = len(statistics.HORIZONS)
        self.pooled = np.full((steps, *shape[:2]), -np.inf)
        self.strata = np.full((steps, *shape), -np.inf)
        self.safe = np.zeros((len(statistics.SAFE_STEPS), *shape[:2]))
        self.required = np.zeros((len(self.plan.required), *shape[:2]))
        self.blocks = 0
        self.scatter, self.pairs = np.zeros(shape[:2]), np.zeros(shape[:2])
        self.waiting_n, self.waiting_x = np.zeros(shape[:2]), np.zeros(shape[:2])

    def absorb(self, n_c: Floats, x_c: Floats, n_b: Floats, x_b: Floats) -> None:
        """One block: ``n`` (R, S) and ``x`` (R, M, S); no exposures mean that nothing was seen."""
        before, after = (
            ledger.waiting_share(ledger.epochs_begun(self.blocks)),
            ledger.waiting_share(ledger.epochs_begun(self.blocks + 1)),
        )
        self.blocks += 1
        if before > after:
            self.pooled = np.logaddexp(self.pooled, np.log(before - after))
            self.strata = np.logaddexp(self.strata, np.log(before - after))
        arms = (n_c[:, None, :], x_c, n_b[:, None, :], x_b)
        rate = (self.past_x + wealth.PSEUDO_TASKS * self.expected) / (self.past_n + wealth.PSEUDO_TASKS)
        rate = np.clip(rate, 1e-6, 0.999)
        tempered = self.phi()[:, :, None]
        edge = self.tolerance[0] * rate + self.tolerance[1]
        for place, horizon in enumerate(statistics.HORIZONS):
            t_c = edge + np.sqrt(2 * statistics.EFFORT * edge / horizon) + statistics.EFFORT / (3 * horizon)
            t_c = np.where(edge < 1.0, np.minimum(t_c, 0.5 * (1.0 + edge)), t_c)
            gain = log_e_values(self.tolerance, t_c, rate, arms) / tempered
            self.strata[place] += gain
            self.pooled[place] += gain.sum(axis=2)
        for place, step in enumerate(statistics.SAFE_STEPS):
            inside = 0.9 * (self.max_harm[0] * rate + self.max_harm[1])
            gain = log_e_values(self.max_harm, np.minimum(rate * step, inside), rate, arms) / tempered
            self.safe[place] += gain.sum(axis=2)
        for place, group in enumerate(self.plan.required):
            inside = 0.9 * (self.alone[0] * rate + self.alone[1])
            gain = log_e_values(self.alone, np.minimum(rate, inside), rate, arms) / tempered
            self.required[place] += gain[:, :, STRATA.index(group)]
        self.warm(n_b, x_b)

    def warm(self, n_b: Floats, x_b: Floats) -> None:
        """What stable alone teaches: rates and dispersion."""
        fade = np.where((n_b > 0), wealth.DECAY, 1.0)[:, None, :]
        self.past_n = self.past_n * fade + n_b[:, None, :]
        self.past_x = self.past_x * fade + x_b
        self._see(np.broadcast_to(n_b.sum(axis=1)[:, None], self.pairs.shape), x_b.sum(axis=2))

    def phi(self) -> Floats:
        """Dispersion as far as it is known (R, M)."""
        pairs = np.maximum(self.pairs, 1)
        error, found = np.sqrt(2 / pairs), self.scatter / pairs
        own = np.where((self.pairs > 0) & (found > 1 + dispersion.CERTAIN * error), found * (1 + error), 1.0)
        return np.maximum(own, np.median(own, axis=1, keepdims=True))

    def _see(self, n: Floats, x: Floats) -> None:
        first = self.waiting_n <= 0
        whole, bad = n + self.waiting_n, x + self.waiting_x
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = bad / whole
            spread = rate * (1 - rate) * (1 / n + 1 / self.waiting_n) * whole / (whole - 1)
            gap = (self.waiting_x / self.waiting_n - x / n) ** 2 / spread
        paired = (n > 0) & ~first
        counted = paired & (rate > 0) & (rate < 1)
        self.scatter += np.where(counted, gap, 0.0)
        self.pairs += counted
        begun = (n > 0) & first
        self.waiting_n = np.where(begun, n, np.where(paired, 0.0, self.waiting_n))
        self.waiting_x = np.where(begun, x, np.where(paired, 0.0, self.waiting_x))

    def family(self) -> Floats:
        """Log evidence for harm, weighted over metrics (R)."""
        waiting = np.log(ledger.waiting_share(ledger.epochs_begun(self.blocks)))
        strata = np.logaddexp(_mean(self.strata), waiting)
        share = np.log((1 - standing.POOLED_SHARE) / len(STRATA))
        pooled = np.logaddexp(_mean(self.pooled), waiting) + np.log(standing.POOLED_SHARE)
        metric = np.logaddexp(pooled, np.logaddexp.reduce(strata + share, axis=2))
        self.metric = metric + self.log_weight
        return np.logaddexp.reduce(self.metric, axis=1)

    def excluded(self) -> NDArray[np.bool_]:
        """Whether every metric excludes its harm (R)."""
        ok = (np.logaddexp.reduce(self.safe, axis=0) - np.log(len(self.safe)) >= self.log_alpha).all(axis=1)
        if self.guarded:
            ok &= (self.required >= self.log_alpha).all(axis=(0, 2))
        return ok


def run(
    world: World, plan: Plan, *, soak: int = 30, past: World | None = None, guarded: bool = True
) -> Outcome:
    """Play the procedure on a world; blind rules as in the plan, in ticks of a minute."""
    runs = world.n_c.shape[0]
    engine = Engine(plan, runs, guarded)
    for tick in range(past.ticks if past else 0):
        engine.warm(past.n_b[:, tick], past.x_b[:, tick])
    state, tick = np.zeros(runs, dtype=np.int64), np.full(runs, world.ticks, dtype=np.int64)
    blind_decision = np.zeros(runs, dtype=bool)
    dark, tasks = np.zeros(runs), np.zeros(runs)
    peak = np.full(runs, -np.inf)
    dead, bound = plan.blind_after / plan.grid, -np.log(plan.false_rollback)
    for now in range(world.ticks):
        engine.absorb(world.n_c[:, now], world.x_c[:, now], world.n_b[:, now], world.x_b[:, now])
        seen = world.seen[:, now]
        dark = np.where(seen, 0.0, dark + 1)
        tasks += world.n_c[:, now].sum(axis=1)
        family = engine.family()
        peak = np.maximum(peak, family)
        rolled = (family >= bound) | (dark >= dead)
        ready = seen & (family < np.log(plan.suspect_at)) & (now + 1 >= soak) & (tasks >= SAMPLES)
        promoted = ready & ~rolled & engine.excluded()
        fresh = (state == RUNNING) & (rolled | promoted)
        state[fresh & rolled], state[fresh & promoted] = ROLLED_BACK, PROMOTED
        tick[fresh] = now + 1
        blind_decision[fresh & promoted & ~seen] = True
        if (state != RUNNING).all():
            break
    return Outcome(state, tick, blind_decision, peak)


def _mean(logs: Floats) -> Floats:
    return np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))


def _margins(tested, name: str) -> tuple[Floats, Floats]:
    pairs = np.array([getattr(g, name).pair() for g in tested])
    return pairs[:, 0][None, :, None], pairs[:, 1][None, :, None]
