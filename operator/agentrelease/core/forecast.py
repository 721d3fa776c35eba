"""What a rollout will take at the present traffic, phase by phase, said before it begins.

Expectations from the planner, with the agent's own traffic and stable's own rates put in. A
phase that cannot be decided before its deadline is named, because waiting for it would be in vain.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import TYPE_CHECKING

from agentrelease.core import planner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agentrelease.api.phase import Phase
    from agentrelease.core.guardrails import Plan

HORIZON = 3600.0
"""Seconds within which the smallest provable regression is asked for, in a phase that never ends."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The agent's tasks a second by audience, and stable's bad rates by metric.

    ``paired`` names the guardrails for which somebody counts pairs where requests are mirrored.
    """

    external: float
    internal: float
    rates: Mapping[str, float]
    paired: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Outlook:
    """One phase: candidate tasks and seconds until it can be left, and which guardrail decides that.

    ``smallest`` is the lowest bad rate that is expected to be proven by then (or by the deadline), in the
    guardrail ``caught_by`` and by ``bad`` more bad tasks than stable would have had.
    """

    phase: str
    tasks: int | None
    seconds: float | None
    decided_by: str
    smallest: float | None
    bad: float | None
    warning: str = ""
    caught_by: str = ""


def outlook(phases: Sequence[Phase], plan: Plan, flow: Flow) -> tuple[Outlook, ...]:
    """Return the outlook of every phase that compares with stable running beside it."""
    return tuple(_phase(phase, plan, flow) for phase in phases if (phase.weight or 0.0) < 100)


def _phase(phase: Phase, plan: Plan, flow: Flow) -> Outlook:
    candidate, stable = _arms(phase, flow)
    if candidate <= 0 or stable <= 0:
        return Outlook(phase.name, None, None, "", None, None, f"{phase.name} sees no traffic at present")
    traffic, paired = planner.Traffic(candidate, stable), flow.paired if phase.mirror is not None else ()
    needs = planner.needs(plan, traffic, flow.rates, 0.0, paired)
    if not needs or (phase.cohort is not None and phase.cohort.evidence == "optional"):
        return Outlook(phase.name, phase.min_samples, phase.min_samples / candidate, "minSamples", None, None)
    longest = needs[0]
    tasks = max(longest.tasks, float(phase.min_samples))
    seconds = max(tasks / candidate, phase.min_duration.seconds, _labelled(plan, needs, candidate))
    # what would only be proven later, a candidate that passes in the meantime takes into the next phase
    at_most = phase.deadline.seconds if phase.deadline else HORIZON if seconds == inf else inf
    horizon = min(seconds, at_most)
    found = planner.needs(plan, traffic, flow.rates, horizon * candidate, paired)
    decisive = next((need for need in found if need.smallest is not None), longest)
    return Outlook(
        phase=phase.name,
        tasks=ceil(tasks) if isfinite(tasks) else None,
        seconds=seconds if isfinite(seconds) else None,
        decided_by=longest.metric + (f" in {longest.group}" if longest.group else ""),
        smallest=decisive.smallest,
        bad=decisive.bad,
        warning=_warning(phase, tasks, seconds),
        caught_by=decisive.metric if decisive.smallest is not None else "",
    )


def _labelled(plan: Plan, needs: Sequence[planner.Need], candidate: float) -> float:
    """Seconds until the guardrails on late labels have their tasks, each a window after it ended."""
    window = {g.name: g.window for g in plan.tested}
    return max(need.tasks / candidate + window[need.metric] for need in needs)


def _arms(phase: Phase, flow: Flow) -> tuple[float, float]:
    """Return both arms' tasks a second in this phase."""
    everything = flow.external + flow.internal
    if phase.mirror is not None:
        return everything * phase.mirror / 100, everything
    if phase.cohort is not None:
        return flow.internal, flow.external
    share = (phase.weight or 0.0) / 100
    return flow.external * share, flow.external * (1 - share)


def _warning(phase: Phase, tasks: float, seconds: float) -> str:
    if seconds == inf:
        return f"{phase.name} can never be left: no number of tasks excludes the harm its guardrails name"
    if phase.deadline is None or seconds <= phase.deadline.seconds:
        return ""
    return (
        f"{phase.name} needs about {tasks:,.0f} tasks of the candidate, {span(seconds)} at the present "
        f"traffic, and its deadline is {phase.deadline}: give it more weight, more time or wider margins"
    )


def span(seconds: float) -> str:
    """Return a time span for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
