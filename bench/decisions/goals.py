"""The goals, each with what was measured: printed as pass or fail, and the exit code of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, sqrt
from typing import TYPE_CHECKING

from bench.decisions.study import OURS, Delay, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.decisions.agreement import Sampled
    from bench.decisions.rollouts import Whole

COMPARED = 100.0
"""Bounds below this many tasks are dominated by block length and single events; shown, not judged."""


@dataclass(frozen=True)
class Goal:
    text: str
    value: float
    limit: float
    unit: str = "%"

    @property
    def met(self) -> bool:
        return self.value <= self.limit


def of_rows(rows: Sequence[Row], where: str = "") -> list[Goal]:
    """Return the goals of a first phase."""
    ours = [row for row in rows if row.rule == OURS]
    good = [(100 * row.rolled_back, _named(row)) for row in ours if row.good]
    bad = [(100 * row.promoted, _named(row)) for row in ours if not row.good and not row.late]
    return [
        *_mean_and_worst(f"false rollback{where}", "good", good, (0.5, 2.0)),
        *_mean_and_worst(f"bad release promoted{where}", "bad", bad, (0.1, 1.0)),
        Goal(f"promoted while blind{where}, any scenario", 100 * max(r.promoted_blind for r in ours), 0.0),
    ]


def of_wholes(wholes: Sequence[Whole], boundary: str, guarantee: float) -> list[Goal]:
    """Return the goals of whole rollouts with their watch."""
    where = ", all phases and a 7-day watch"
    named = lambda w: f"{w.scenario}, {w.per_minute:g}/min"  # noqa: E731
    good = [(100 * w.undone, named(w)) for w in wholes if w.good and w.scenario != boundary]
    bad = [(100 * w.promoted, named(w)) for w in wholes if not w.good and not w.later]
    edge = max(w.undone for w in wholes if w.scenario == boundary)
    return [
        *_mean_and_worst(f"false rollback{where}", "good", good, (0.5, 2.0)),
        *_mean_and_worst("bad release promoted, all phases", "bad", bad, (0.1, 1.0)),
        Goal(
            f"false rollback, all metrics on the tolerance boundary{where} (guarantee)",
            100 * edge, 100 * guarantee,
        ),
    ]  # fmt: skip


def of_agreement(sampled: Sequence[Sampled]) -> Goal:
    text = f"runs of {len(sampled):,} that the operator's own functions decide otherwise, or in another block"
    return Goal(text, sum(not one.same for one in sampled), 0.0, "")


def _mean_and_worst(
    what: str, kind: str, shares: Sequence[tuple[float, str]], limits: tuple[float, float]
) -> list[Goal]:
    worst, named = max(shares)
    return [
        Goal(f"{what}, mean of the {kind} scenarios", _mean([share for share, _ in shares]), limits[0]),
        Goal(f"{what}, worst {kind} scenario ({named})", worst, limits[1]),
    ]


def of_delays(delays: Sequence[Delay]) -> list[Goal]:
    goals = []
    for delay in delays:
        if delay.bound >= COMPARED:
            limit = 2.2 if delay.effect.startswith("violations") else 3.0
            goals.append(
                Goal(
                    f"mean candidate tasks to rollback over the bound, {delay.effect}",
                    delay.ratio,
                    limit,
                    "x",
                )
            )
    return goals


def of_promises(promises: dict[str, tuple[float, float]]) -> list[Goal]:
    return [
        Goal(f"{name} (guarantee)", 100 * share, 100 * bound) for name, (share, bound) in promises.items()
    ]


def of_promotion(rows: Sequence[Row], needed: float, per_minute: float, weight: float) -> Goal:
    stationary = next(
        r for r in rows if r.rule == OURS and r.scenario == "stationary" and r.per_minute == per_minute
    )
    tasks = stationary.minutes_to_promote * per_minute * weight
    ratio = float("inf") if isnan(tasks) else tasks / needed
    return Goal(
        "median candidate tasks to promote a good release, over the planner's number", ratio, 1.2, "x"
    )


def of_cost(block: float, decision: float, state: int) -> list[Goal]:
    return [
        Goal("one metric-stratum block", block, 50.0, "µs"),
        Goal("one release decision, 6 metrics in 12 strata", decision, 0.3, "ms"),
        Goal("state, 6 metrics in 12 strata", state, 8192, "bytes"),
    ]


def error(share: float, runs: int) -> float:
    """Standard error of a share in per cent."""
    return 100 * sqrt(max(share * (1 - share), 1 / runs / 4) / runs)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _named(row: Row) -> str:
    return f"{row.scenario}, {row.per_minute:g}/min"
