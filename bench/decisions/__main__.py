"""``python -m bench.decisions``: is the decision procedure right, how fast, and compared with what?

Prints tables and the goals with pass or fail, and returns 1 when a goal is missed. Everything follows
from ``--seed``. ``--out`` also writes the tables and plots that the documentation shows.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.decisions import agreement, goals, plots, policy, rollouts, show, study
from bench.decisions.world import WEIGHT

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

VOLUMES = (100.0, 600.0, 6000.0)
WHOLE = (6000.0,)
INSTALLED = 6000.0

NOTE = """\
Simulated releases: 5 % of the traffic for the candidate, six metrics with base rates of 0.2 to 10 % and
the defaults of their classes, three strata (60, 30 and 10 % of the traffic), blocks of a minute, six
hours, two hours of stable's history and, for whole rollouts, the seven days before that, hour by hour.
*Rolled back* includes candidates that were drained because evidence was missing and did not come back;
*promoted* means that the first phase was left. The other rules are models of what their documentation
says, not the products (`bench/decisions/rules.py`), and their fixed limits know stable's long-run rate,
which nobody does in production. At 100 requests a minute a candidate serves 1,800 tasks in six hours, and
some 4,000 are needed to exclude a tripled violation rate: holding is the right answer there.

What is called *this operator* is its decision procedure on arrays, all runs at once (`ledgers.py`,
`procedure.py`). Its own functions (`Ledger.warmed`, `absorb`, `enter_phase`, `forgiven`, `assess`, `decide`)
need some three milliseconds for a block and its decision, and hours for all this. They decide a sample of
the runs of every scenario again (`product.py`): the table *Agreement* says in how many both came to the
same end in the same block, with every phase entered in the same block on the way.

![Wrong decisions at 100 requests a minute](errors-100.svg)
![Wrong decisions at 600 requests a minute](errors-600.svg)
![Wrong decisions at 6000 requests a minute](errors-6000.svg)
![Candidate tasks until rollback, and the bound](delay.svg)
"""


def _compare(per_minute: float, runs: int, seed: int) -> list[study.Row]:
    return list(study.compare(policy.plan(), per_minute, runs, seed))


def _wholes(per_minute: float, runs: int, seed: int) -> list[rollouts.Whole]:
    return list(rollouts.wholes(policy.plan(), per_minute, runs, seed))


def _installed(per_minute: float, runs: int, seed: int) -> list[study.Row]:
    return list(rollouts.as_installed(per_minute, runs, seed))


def _agreement(volumes: tuple[float, ...], runs: int, seed: int) -> list[agreement.Sampled]:
    cases = agreement.cases(seed, runs, volumes) if volumes else agreement.special(seed, runs)
    return [one for case in cases for one in agreement.compare(case)]


def _promises(runs: int, seed: int) -> dict[str, tuple[float, float]]:
    return study.promises(policy.plan(), runs, seed)


def _delays(runs: int, seed: int) -> list[study.Delay]:
    return list(study.delays(policy.plan(), runs, seed))


class _Told:
    """Says on stderr which part is done, and when."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool, self._began = pool, time.monotonic()

    def submit(self, part: Callable[..., Any], *of: Any) -> Future[Any]:
        def told(_: Future[Any]) -> None:
            named = f"{part.__name__[1:]} {of[0]}" if len(of) > 2 else part.__name__[1:]
            print(f"{time.monotonic() - self._began:.0f} s: {named}", file=sys.stderr, flush=True)

        future = self._pool.submit(part, *of)
        future.add_done_callback(told)
        return future


class Measured:
    """Everything, from a pool of processes: the longest parts first."""

    def __init__(self, options: argparse.Namespace) -> None:
        runs, seed = options.runs, options.seed
        with ProcessPoolExecutor(options.jobs) as pool:
            submit = _Told(pool).submit
            wholes = [submit(_wholes, volume, runs, seed) for volume in WHOLE]
            installed = submit(_installed, INSTALLED, runs, seed)
            promises = submit(_promises, runs, seed)
            sampled = [
                submit(_agreement, volumes, options.sample, seed)
                for volumes in (*((volume,) for volume in VOLUMES), ())
            ]
            rows = [submit(_compare, volume, runs, seed) for volume in VOLUMES]
            delays = submit(_delays, runs, seed)
            self.rows, self.wholes, self.sampled = _all(rows), _all(wholes), _all(sampled)
            self.installed, self.promises, self.delays = (
                installed.result(),
                promises.result(),
                delays.result(),
            )
        self.cost = study.cost(policy.plan())

    def judged(self) -> list[goals.Goal]:
        plan = policy.plan()
        needed = max(study.planned(plan).values())
        return [
            goals.of_agreement(self.sampled),
            *goals.of_rows(self.rows),
            *goals.of_rows(self.installed, ", as installed (blocks of 5 s)"),
            *goals.of_wholes(self.wholes, study.at_tolerance(plan).name, plan.false_rollback),
            *goals.of_delays(self.delays),
            *goals.of_promises(self.promises),
            goals.of_promotion(self.rows, needed, 600.0, WEIGHT),
            *goals.of_cost(*self.cost),
        ]

    def sections(self) -> list[tuple[str, list[str], show.Lines]]:
        what = "rolled back / promoted, tasks to rollback (excess bad outcomes)"
        return [
            ("Summary: mean over scenarios (worst), per cent", *show.summary(self.rows)),
            *((f"{v:g} requests a minute: {what}", *show.detail(self.rows, v)) for v in VOLUMES),
            ("All phases (5, 50, 100 %) and a 7-day watch, per cent", *show.whole_lines(self.wholes)),
            (
                f"As installed: looked at every 5 s, scraped every 15 s, {INSTALLED:g}/min, per cent",
                *show.installed_lines(self.installed),
            ),
            ("Delay against the information bound", *show.delay_lines(self.delays)),
            ("Agreement", *show.agreement_lines(self.sampled)),
            ("Goals", *show.goal_lines(self.judged())),
        ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.decisions", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=300, help="runs per scenario and traffic")
    parser.add_argument("--sample", type=int, default=2, help="runs per scenario and traffic played twice")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="directory for results.md and plots")
    options = parser.parse_args()
    console, began = Console(width=200), time.monotonic()
    measured = Measured(options)
    sections = measured.sections()
    for section in sections:
        show.table(console, *section)
    console.print(f"{options.runs} runs a cell, seed {options.seed}, {time.monotonic() - began:.0f} s")
    if options.out:
        _write(options, measured, sections)
    return 0 if all(goal.met for goal in measured.judged()) else 1


def _write(options: argparse.Namespace, measured: Measured, sections: Any) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    how = f"python -m bench.decisions --runs {options.runs} --seed {options.seed} --out …"
    text = f"# Decision quality, measured\n\nWritten by `{how}`.\n\n{NOTE}\n"
    text += "\n".join(show.markdown(*section) for section in sections)
    (options.out / "results.md").write_text(text)
    for volume in VOLUMES:
        (options.out / f"errors-{volume:g}.svg").write_text(plots.errors(measured.rows, volume))
    (options.out / "delay.svg").write_text(plots.delay(measured.delays))


def _all(parts: list[Future[list[Any]]]) -> list[Any]:
    return [one for part in parts for one in part.result()]


if __name__ == "__main__":
    sys.exit(main())
