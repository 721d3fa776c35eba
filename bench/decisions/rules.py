"""Models of what other controllers decide on the same worlds, with documented defaults.

These are re-implementations of the rules, not the products: Flagger's failed-check counter, Argo Rollouts'
measurement counts, Kayenta's Mann-Whitney judge, and the sequential test of GrowthBook's Safe Rollouts.
Fixed limits are stable's long-run rate plus the same maxHarm that the operator uses, which is
generous: in production nobody knows that rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentrelease.core.guardrails import Plan
from bench.decisions.procedure import PROMOTED, ROLLED_BACK, RUNNING, Outcome
from bench.decisions.world import BASE, HARDNESS, MIX, WEIGHT, World

Floats = NDArray[np.float64]
Rule = Callable[[World, Plan], Outcome]


def limits(plan: Plan) -> Floats:
    rate = BASE * (MIX * HARDNESS).sum()
    return np.array([g.max_harm.of(p) for g, p in zip(plan.tested, rate, strict=True)])


def flagger(world: World, plan: Plan) -> Outcome:
    """Interval 1 m, threshold 10, promoted after 60 passing checks; no data is a failed check."""
    n, x = _candidate(world)
    failed = ~(_rates(x, n) <= limits(plan)).all(axis=2)
    return _counted(failed, failures=10, passes=60)


def flagger_tuned(world: World, plan: Plan) -> Outcome:
    """A window of 10 m, limits widened to 3 sigma of the expected window, threshold 5."""
    n, x = _candidate(world)
    n, x = _window(n, 10), _window(x, 10)
    limit = limits(plan)
    expected = world.traffic.per_minute * WEIGHT * 10
    wide = limit + 3 * np.sqrt(limit * (1 - limit) / expected)
    failed = ~(_rates(x, n) <= wide).all(axis=2)
    failed[:, :9] = False
    return _counted(failed, failures=5, passes=60)


def argo(world: World, plan: Plan) -> Outcome:
    """Interval 5 m, count 12, failureLimit 0: the defaults of an AnalysisTemplate's metric."""
    return _argo(world, plan, window=5, limit=0)


def argo_expert(world: World, plan: Plan) -> Outcome:
    """Compare with stable over 30 m, interval 5 m, count 12, failureLimit 3."""
    return _argo(world, plan, window=30, limit=3)


def kayenta(world: World, _plan: Plan) -> Outcome:
    """NetflixACAJudge: 1-minute points, baseline of the canary's size, judged every 15 m, 60 m long.

    High iff the lower end of the 98 % Mann-Whitney interval exceeds 0.25 of the Hodges-Lehmann shift and
    the means' ratio is at least 1; a metric without enough points is no data; pass 75, marginal 50.
    """
    rng = np.random.default_rng(17)
    n, x = _candidate(world)
    share = np.clip(world.n_c.sum(axis=2) / np.maximum(world.n_b.sum(axis=2), 1), 0, 1)
    base_n = rng.binomial(world.n_b.sum(axis=2).astype(int), share).astype(float)
    base_x = rng.binomial(world.x_b.sum(axis=3).astype(int), share[:, :, None]).astype(float)
    points_c, points_b = _rates(x, n), _rates(base_x, base_n)
    out = _fresh(world)
    for judged in (15, 30, 45, 60):
        open_ = out.state == RUNNING
        for run in np.nonzero(open_)[0]:
            score = _score(points_c[run, :judged], points_b[run, :judged])
            if score < 50 or (judged == 60 and score < 75):
                out.state[run], out.tick[run] = ROLLED_BACK, judged
            elif judged == 60:
                out.state[run], out.tick[run] = PROMOTED, judged
                out.blind[run] = not world.seen[run, judged - 1]
    return out


def sequential_t(world: World, _plan: Plan) -> Outcome:
    """GrowthBook: asymptotic confidence sequence against zero per metric; ships when inconclusive."""
    n_c, x_c = (np.cumsum(a, axis=1) for a in _candidate(world))
    n_b = np.cumsum(world.n_b.sum(axis=2), axis=1)
    x_b = np.cumsum(world.x_b.sum(axis=3), axis=1)
    alpha = 0.05
    p_c, p_b = _rates(x_c, n_c), _rates(x_b, n_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = p_c * (1 - p_c) / n_c[:, :, None] + p_b * (1 - p_b) / n_b[:, :, None]
        whole = (n_c + n_b)[:, :, None]
        rho2 = (-2 * np.log(2 * alpha) + np.log(1 - 2 * np.log(2 * alpha))) / 5000
        inner = whole * rho2 + 1
        half = np.sqrt(variance * whole) * np.sqrt(
            2 * inner / (whole**2 * rho2) * np.log(1 + np.sqrt(inner) / (2 * alpha))
        )
        worse = (p_c - p_b - half > 0).any(axis=2)
    out = _fresh(world)
    hit = worse.any(axis=1)
    out.state[:] = np.where(hit, ROLLED_BACK, PROMOTED)
    out.tick[:] = np.where(hit, worse.argmax(axis=1) + 1, world.ticks)
    out.blind[:] = ~hit & ~world.seen[:, -1]
    return out


@dataclass(frozen=True)
class Named:
    name: str
    rule: Rule


RULES = (
    Named("Flagger", flagger),
    Named("Flagger tuned", flagger_tuned),
    Named("Argo", argo),
    Named("Argo expert", argo_expert),
    Named("Kayenta-like", kayenta),
    Named("sequential t", sequential_t),
)


def _candidate(world: World) -> tuple[Floats, Floats]:
    return world.n_c.sum(axis=2), world.x_c.sum(axis=3)


def _rates(x: Floats, n: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return x / n[:, :, None]


def _window(counts: Floats, ticks: int) -> Floats:
    sums = np.cumsum(counts, axis=1)
    late = sums.copy()
    late[:, ticks:] -= sums[:, :-ticks]
    return late


def _fresh(world: World) -> Outcome:
    return Outcome.open(world.runs, world.ticks)


def _counted(failed: NDArray[np.bool_], failures: int, passes: int) -> Outcome:
    """Failed checks never decrease; enough of them roll back, enough passing ones promote."""
    runs, ticks = failed.shape
    bad = np.cumsum(failed, axis=1) >= failures
    good = np.cumsum(~failed, axis=1) >= passes
    never = ticks + 1
    first_bad = np.where(bad.any(axis=1), bad.argmax(axis=1), never)
    first_good = np.where(good.any(axis=1), good.argmax(axis=1), never)
    state = np.where(first_bad <= first_good, np.where(first_bad < never, ROLLED_BACK, RUNNING), PROMOTED)
    tick = np.minimum(np.minimum(first_bad, first_good) + 1, ticks)
    out = Outcome.open(runs, ticks)
    out.state[:], out.tick[:] = state, tick
    return out


def _argo(world: World, plan: Plan, window: int, limit: int) -> Outcome:
    n, x = _candidate(world)
    rates = _rates(_window(x, window), _window(n, window))
    allowed: Floats = limits(plan)[None, None, :]
    if limit:
        base = _rates(_window(world.x_b.sum(axis=3), window), _window(world.n_b.sum(axis=2), window))
        r = np.array([g.max_harm.relative for g in plan.tested])
        d = np.array([g.max_harm.absolute for g in plan.tested])
        allowed = r * base + d
    failed = ~(rates <= allowed)
    measured = failed[:, 4::5][:, :12]
    over = (np.cumsum(measured, axis=1) > limit).any(axis=2)
    out = _fresh(world)
    hit = over.any(axis=1)
    out.state[:] = np.where(hit, ROLLED_BACK, PROMOTED)
    out.tick[:] = np.where(hit, 5 * (over.argmax(axis=1) + 1), 60)
    out.blind[:] = ~hit & ~world.seen[:, 59]
    return out


def _score(candidate: Floats, baseline: Floats) -> float:
    passed = counted = 0
    for metric in range(candidate.shape[1]):
        a = candidate[:, metric][~np.isnan(candidate[:, metric])]
        b = baseline[:, metric][~np.isnan(baseline[:, metric])]
        if len(a) == 0 or len(b) == 0:
            counted += len(b) > 0
            continue
        counted += 1
        passed += not _high(a, b)
    return 100.0 * passed / counted if counted else 100.0


def _high(candidate: Floats, baseline: Floats) -> bool:
    shifts = np.sort((candidate[:, None] - baseline[None, :]).ravel())
    m, n = len(candidate), len(baseline)
    rank = m * n / 2 - 2.326 * np.sqrt(m * n * (m + n + 1) / 12)
    low = shifts[max(0, int(np.floor(rank)))]
    middle = float(np.median(shifts))
    base = baseline.mean()
    return bool(low > 0.25 * abs(middle) and low > 0 and base > 0 and candidate.mean() / base >= 1.0)
