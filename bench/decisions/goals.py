"""The goals, each with what was measured: printed as pass or fail, and the exit code of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, sqrt
from typing import TYPE_CHECKING

from bench.decisions.study import OURS, Delay, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def of_rows(rows: Sequence[Row]) -> list[Goal]:
    ours = [row for row in rows if row.rule == OURS]
    good = [row for row in ours if row.good]
    bad = [row for row in ours if not row.good and not row.late]
    worst_good = max(good, key=lambda r: r.rolled_back)
    worst_bad = max(bad, key=lambda r: r.promoted)
    return [
        Goal("false rollback, mean of the good scenarios", 100 * _mean([r.rolled_back for r in good]), 0.5),
        Goal(
            f"false rollback, worst good scenario ({_named(worst_good)})", 100 * worst_good.rolled_back, 2.0
        ),
        Goal("bad release promoted, mean of the bad scenarios", 100 * _mean([r.promoted for r in bad]), 0.1),
        Goal(
            f"bad release promoted, worst bad scenario ({_named(worst_bad)})", 100 * worst_bad.promoted, 1.0
        ),
        Goal("promoted while blind, any scenario", 100 * max(r.promoted_blind for r in ours), 0.0),
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
