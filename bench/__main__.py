"""`make bench`: cold build and warm start of the control plane, reaction to a violation, operator memory.

Bounded: a few starts and a hundred rollbacks, on loopback, about half an hour; `--trials 10` is a first
look. `--scrape 5 --block 5` measures another pace, such as the one that is installed by default. Figures are
medians and 99th percentiles of what one shared machine did; compare ratios, not single numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agentrelease.local import builds, controlplane
from agentrelease.local.processes import Processes
from bench.reaction import USUAL, Pace, reactions

NAMESPACE = "bench"
GOAL = (1.0, 2.0)
"""Seconds from the first bad sample in Prometheus to safety: median and 99th percentile."""
ENOUGH = 100
"""Values of which a 99th percentile is taken."""


async def warm_starts(count: int) -> list[float]:
    """Seconds from the command to a ready API server."""
    found = []
    for _ in range(count):
        with tempfile.TemporaryDirectory() as scratch:
            began = time.monotonic()
            async with Processes() as processes:
                await controlplane.start(processes, Path(scratch) / "log")
                found.append(time.monotonic() - began)
    return found


async def measure(trials: int, starts: int, pace: Pace) -> Table:
    """Run everything and return the table."""
    title = f"agent-release, this machine, now: a scrape every {pace.scrape:g} s, blocks of {pace.block:g} s"
    table = Table("what", "n", "p50", "p99", "max", "goal", title=title)
    table.add_row("control plane, last build (s; Go may have had parts cached)", "1", _cold_build())
    _add(table, "control plane, warm start (s)", await warm_starts(starts))
    with tempfile.TemporaryDirectory() as scratch:
        logs = Path(scratch)
        async with Processes() as processes:
            plane = await controlplane.start(processes, logs / "controlplane.log")
            await _namespace(plane)
            found, memory = await reactions(plane, NAMESPACE, logs, trials, pace)
    for fault in sorted({reaction.fault for reaction in found}):
        some = [reaction for reaction in found if reaction.fault == fault]
        _add(table, f"{fault}: visible → flags safe (s)", [r.flags for r in some])
        _add(table, f"{fault}: visible → weight 0 (s)", [r.route for r in some])
        _add(table, f"{fault}: visible → flags safe and weight 0 (s)", [r.safe for r in some])
    _add(table, "all: visible → flags safe and weight 0 (s)", [r.safe for r in found], GOAL)
    _add(table, "operator, resident memory (MiB)", memory)
    return table


def _cold_build() -> str:
    built = Path("build/bin/.controlplane.seconds")  # written by the build itself
    return built.read_text() if built.exists() else "not built by this checkout"


def _add(table: Table, what: str, values: list[float], goal: tuple[float, float] | None = None) -> None:
    ordered = sorted(values)
    middle, worst = statistics.median(ordered), ordered[max(0, math.ceil(0.99 * len(ordered)) - 1)]
    enough = len(ordered) >= ENOUGH  # of fewer, the 99th percentile is only the worst
    shown = (f"{middle:.2f}", f"{worst:.2f}" if enough else "", f"{ordered[-1]:.2f}")
    table.add_row(what, str(len(ordered)), *shown, _judged(middle, worst, goal, enough=enough))


def _judged(middle: float, worst: float, goal: tuple[float, float] | None, *, enough: bool) -> str:
    if goal is None:
        return ""
    said = f"≤ {goal[0]:g}, ≤ {goal[1]:g}: "
    if not enough:
        return said + f"needs {ENOUGH}"
    return said + ("pass" if middle <= goal[0] and worst <= goal[1] else "FAIL")


async def _namespace(plane: controlplane.ControlPlane) -> None:
    program = await asyncio.to_thread(builds.kubectl)
    process = await asyncio.create_subprocess_exec(
        program, f"--kubeconfig={plane.kubeconfig}", "create", "namespace", NAMESPACE
    )
    if await process.wait():
        raise RuntimeError("kubectl create namespace failed")


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=ENOUGH, help="rollbacks, half of each fault")
    parser.add_argument("--starts", type=int, default=3, help="warm starts of the control plane")
    parser.add_argument("--scrape", type=float, default=USUAL.scrape, help="seconds between two scrapes")
    parser.add_argument("--block", type=float, default=USUAL.block, help="seconds of evidence judged at once")
    chosen = parser.parse_args()
    pace = Pace(chosen.scrape, chosen.block)
    Console(width=120).print(asyncio.run(measure(chosen.trials, chosen.starts, pace)))


if __name__ == "__main__":
    main()
