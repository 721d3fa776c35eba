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
from typing import TYPE_CHECKING

from rich.console import Console

from bench.decisions import goals, plots, policy, show, study
from bench.decisions.world import WEIGHT

if TYPE_CHECKING:
    from bench.decisions.study import Row

VOLUMES = (100.0, 600.0, 6000.0)

NOTE = """\
Simulated releases: 5 % of the traffic for the candidate, six metrics with base rates of 0.2 to 10 %,
three strata (60, 30 and 10 % of the traffic), blocks of a minute, six hours, two hours of stable's
history. The other rules are models of what their documentation says, not the products
(`bench/decisions/rules.py`), and their fixed limits know stable's long-run rate, which nobody does in
production. At 100 requests a minute a candidate serves 1,800 tasks in six hours, and some 4,000 are
needed to exclude a tripled violation rate: holding is the right answer there.

![Wrong decisions at 100 requests a minute](errors-100.svg)
![Wrong decisions at 600 requests a minute](errors-600.svg)
![Wrong decisions at 6000 requests a minute](errors-6000.svg)
![Candidate tasks until rollback, and the bound](delay.svg)
"""


def _compare(job: tuple[float, int, int]) -> list[Row]:
    per_minute, runs, seed = job
    return list(study.compare(policy.plan(), per_minute, runs, seed, lambda _: None))


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.decisions", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=300, help="runs per scenario and traffic")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="directory for results.md and plots")
    options = parser.parse_args()
    console, began, plan = Console(width=200), time.monotonic(), policy.plan()
    with ProcessPoolExecutor(options.jobs) as pool:
        parts = list(
            pool.map(_compare, [(v, options.runs, options.seed) for v in sorted(VOLUMES, reverse=True)])
        )
        rows = [row for part in reversed(parts) for row in part]
        later = pool.submit(study.promises, plan, options.runs, options.seed)
        delays = list(study.delays(plan, options.runs, options.seed))
        promises = later.result()
    cost = study.cost(plan)
    judged = [
        *goals.of_rows(rows), *goals.of_delays(delays), *goals.of_promises(promises),
        goals.of_promotion(rows, max(study.planned(plan).values()), 600.0, WEIGHT), *goals.of_cost(*cost),
    ]  # fmt: skip
    sections = [
        ("Summary: mean over scenarios (worst), per cent", *show.summary(rows)),
        *(
            (
                f"{v:g} requests a minute: rolled back / promoted, tasks to rollback (excess bad outcomes)",
                *show.detail(rows, v),
            )
            for v in VOLUMES
        ),
        ("Delay against the information bound", *show.delay_lines(delays)),
        ("Goals", *show.goal_lines(judged)),
    ]
    for section in sections:
        show.table(console, *section)
    console.print(f"{options.runs} runs a cell, seed {options.seed}, {time.monotonic() - began:.0f} s")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        how = f"python -m bench.decisions --runs {options.runs} --seed {options.seed} --out …"
        text = f"# Decision quality, measured\n\nWritten by `{how}`.\n\n{NOTE}\n" + "\n".join(
            show.markdown(*section) for section in sections
        )
        (options.out / "results.md").write_text(text)
        for volume in VOLUMES:
            (options.out / f"errors-{volume:g}.svg").write_text(plots.errors(rows, volume))
        (options.out / "delay.svg").write_text(plots.delay(delays))
    return 0 if all(goal.met for goal in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
