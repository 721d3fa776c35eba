"""What a phase takes and what it can find, and while it runs what is still needed and how long that takes."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.cli.figures import span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.text import Text

    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import MetricStatus, PhaseOutlook, ReleaseStatus
    from agentrelease.cli.frame import Frame

_LINES = 2


def plan_lines(release: AgentRelease, frame: Frame) -> list[Text]:
    """Say what the phase, or while a candidate loads the first one, takes; a warning comes alone."""
    status, candidate = release.status, release.status.candidate
    if candidate is None or candidate.stage is Stage.WITHDRAWING:
        return []
    running = candidate.stage is Stage.RUNNING
    here = [one for one in status.outlook if not running or one.phase == candidate.phase_name]
    rest = _rest(status) if running else ""
    if here and here[0].warning:
        warned = "; ".join(part for part in (rest, here[0].warning) if part)
        return frame.said("plan", warned, _LINES, "yellow")
    said = "; ".join(part for part in (rest, _expected(here[0]) if here else "") if part)
    return frame.said("plan", said, _LINES) if said else []


def _expected(one: PhaseOutlook) -> str:
    if one.tasks is None:
        return f"{one.phase} can't be left: no number of tasks will do"
    said = f"{one.phase} takes about {one.tasks:,} candidate tasks"
    if one.seconds is not None:
        said += f", {span(one.seconds)} at the traffic seen"
    if one.smallest is None:
        return f"{said}; by then no regression is proven"
    found = f"{said}; by then it catches {100 * one.smallest:.1f} % bad in {one.caught_by or 'a guardrail'}"
    more = "" if one.bad is None else f", by about {max(one.bad, 1.0):,.0f} bad tasks more than stable's"
    return found + more


def _rest(status: ReleaseStatus) -> str:
    """Say how many tasks the slowest guardrail still needs, and how long they take at the present traffic.

    A group that has to pass by itself gets only its share of the tasks.
    """
    whole = {m.name: m.candidate.n for m in status.metrics if not m.stratum and m.candidate}
    needed = ceil(max((_of_all(m, whole) for m in status.metrics if m.verdict == "collecting"), default=0))
    if not needed:
        return ""
    pace = _pace(status)
    takes = f", {span(needed / pace)} at the present traffic" if pace else ""
    return f"about {needed:,} more candidate tasks{takes}"


def _of_all(metric: MetricStatus, whole: Mapping[str, float]) -> float:
    """Return how many tasks of all groups bring a line the tasks that it needs."""
    needed, mine = metric.needed or 0, metric.candidate.n if metric.candidate else 0.0
    return needed * max(1.0, whole.get(metric.name, 0.0) / mine) if metric.stratum and mine else needed


def _pace(status: ReleaseStatus) -> float:
    """Return the candidate's tasks a second as they were measured last; 0 where that is not known."""
    measured = status.exposure.measured
    if measured is None or not measured.tasks or not measured.seconds:
        return 0.0
    return measured.tasks / max(measured.seconds, 1.0)
