"""The plan line: what a phase takes and finds, what is still needed, and a warning that nothing cuts off."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from agentrelease.cli.view import view

CANARY = {
    "phase": "canary-5",
    "tasks": 4200,
    "seconds": 940.0,
    "decidedBy": "task-completion",
    "smallest": 0.064,
    "bad": 41.3,
    "caughtBy": "task-completion",
}
WARNING = (
    "canary-5 needs about 4,200 tasks of the candidate, 16 min at the present traffic, and its deadline is "
    "5m: give it more weight, more time or wider margins"
)


def plan(recorded: Any, columns: int = 140, rows: int | None = None, **status: Any) -> str:
    """Return the plan as it is shown, on one line; empty for none."""
    console = Console(width=columns, height=rows or 50, no_color=True)
    with console.capture() as shown:
        console.print(view(recorded.release({**recorded.canary, **status}), recorded.now, rows))
    lines = shown.get().splitlines()
    at = next((place for place, line in enumerate(lines) if line.startswith("plan: ")), None)
    if at is None:
        return ""
    more = [line for line in lines[at + 1 : at + 3] if line.startswith("     ") and line[5:6] != " "]
    return " ".join(line.strip() for line in [lines[at], *more])


def test_it_says_tasks_time_and_the_smallest_regression_with_where_and_after_how_many_bad_tasks(
    recorded: Any,
) -> None:
    settled = [{**one, "needed": None} for one in recorded.canary["metrics"]]
    assert plan(recorded, outlook=[CANARY], metrics=settled) == (
        "plan: canary-5 takes about 4,200 candidate tasks, 15m40s at the traffic seen; "
        "by then it catches 6.4 % bad in task-completion, by about 41 bad tasks more than stable's"
    )


def test_in_a_phase_it_says_first_what_the_slowest_guardrail_still_needs_and_how_long_that_takes(
    recorded: Any,
) -> None:
    # 212 tasks in the 11 seconds from confirmation to the measurement; a stratum with 41 of them needs 420
    assert plan(recorded, outlook=[CANARY]).startswith(
        "plan: about 2,172 more candidate tasks, 1m53s at the present traffic; canary-5 takes about 4,200"
    )
    unmeasured = {**recorded.canary["exposure"], "measured": None}
    assert plan(recorded, exposure=unmeasured) == "plan: about 2,172 more candidate tasks"


@pytest.mark.parametrize("size", [(140, None), (80, 24)])
def test_a_plan_that_is_too_slow_is_said_whole_instead(recorded: Any, size: tuple[int, int | None]) -> None:
    settled = [{**one, "needed": None} for one in recorded.canary["metrics"]]
    warned = [{**CANARY, "warning": WARNING}]
    said = plan(recorded, *size, outlook=warned, metrics=settled)
    assert said.startswith("plan: canary-5 needs about 4,200 tasks of the candidate, 16 min at the present")
    assert "its deadline is 5m" in said


def test_while_a_candidate_loads_it_is_the_first_phases_and_in_a_phase_it_is_no_others(recorded: Any) -> None:
    shadow = {**CANARY, "phase": "shadow"}
    loading = {**recorded.canary["candidate"], "stage": "Loading", "phaseIndex": -1, "phaseName": ""}
    assert plan(recorded, outlook=[shadow, CANARY], candidate=loading).startswith("plan: shadow takes about")
    settled = [{**one, "needed": None} for one in recorded.canary["metrics"]]
    assert plan(recorded, outlook=[shadow], metrics=settled) == ""


def test_what_no_number_of_tasks_proves_is_said_so(recorded: Any) -> None:
    settled = [{**one, "needed": None} for one in recorded.canary["metrics"]]
    never = CANARY | {"tasks": None, "seconds": None}
    assert plan(recorded, outlook=[never], metrics=settled) == (
        "plan: canary-5 can't be left: no number of tasks will do"
    )
    unseen = CANARY | {"smallest": None, "bad": None}
    assert plan(recorded, outlook=[unseen], metrics=settled).endswith("; by then no regression is proven")
