"""The watch after promotion on arrays: what serves alone, against the record of stable, for seven days.

As ``engine.observe`` and ``core.watch`` do it: blocks go into the evidence of the rollout, compared with the
record that was frozen when stable's traffic ended. A breach returns to the revision before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.decisions.ledgers import Counts, Ledgers
from bench.decisions.world import Scenario, Traffic, generate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bench.decisions.world import World

DAY = 1440.0
"""Minutes."""


def days(
    scenario: Scenario, traffic: Traffic, runs: int, seed: int, first: int, many: float
) -> Iterator[World]:
    """Return the worlds of the watch, a quarter of a day each, from tick ``first`` on."""
    ticks = traffic.ticks(DAY / 4)
    for part in range(round(4 * many)):
        yield generate(scenario, traffic, runs, ticks, seed, start=first + part * ticks)


def watched(
    ledgers: Ledgers, ids: NDArray[np.int64], worlds: Iterator[World], began: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the tick of the watch (from 1) in which each was taken back, 0 for never, and its last evidence.

    ``ids`` are the places of these runs in the worlds; ``began`` is the tick in which the watch begins.
    """
    returned, evidence = np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids))
    left, passed = np.arange(len(ids)), 0
    for world in worlds:
        for tick in range(world.ticks):
            at = ids[left]
            ledgers.absorb(
                _block(world, at, tick), (began + passed + tick + 1) * world.traffic.grid, _all(at)
            )
            harmed = ledgers.breached()[0].any(axis=1)
            evidence[left] = ledgers.family
            if harmed.any():
                returned[left[harmed]] = passed + tick + 1
                left = left[~harmed]
                ledgers.keep(~harmed)
            if len(left) == 0:
                return returned, evidence
        passed += world.ticks
    return returned, evidence


def _block(world: World, at: NDArray[np.int64], tick: int) -> Counts:
    n, x = world.n_c[at, tick], world.x_c[at, tick]
    nobody = np.zeros(len(at), dtype=bool)
    return Counts(
        n, x, np.zeros_like(n), np.zeros_like(x), world.seen_c[at, tick], nobody,
        np.full(len(at), np.nan), _all(at),
    )  # fmt: skip


def _all(at: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.ones(len(at), dtype=bool)
