"""Phases that somebody edits while a candidate is in one of them: an edit counts at once and never raises.

* A phase is known by its name, wherever it moves to in the list.
* Less than what the phase was entered with is lowered at once; then the phase begins anew.
* More has to be earned: the phase is passed as it was entered, and entered again as it is now.
* What can't be compared (other people) or is gone: back to the last phase that exposes no more than what
  was entered; where there is none, the rollout begins anew.

Samples, times, deadlines and approvals are read anew at every look, so they need no rule here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.phase import PhaseStratum
from agentrelease.api.status import Granted, Stage
from agentrelease.core import strata
from agentrelease.core.exposure import Cohort, Exposure, of_phase, tools_alone
from agentrelease.core.phases import passes_through

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.bundle import Tool
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate


def followed(release: AgentRelease) -> AgentRelease:
    """Return the release with its running candidate at the place that its phase has in the list now."""
    candidate = release.status.candidate
    if candidate is None or candidate.stage is not Stage.RUNNING:
        return release
    place = _place(release, candidate.phase_name)
    if place in (None, candidate.phase_index):
        return release
    moved = candidate.model_copy(update={"phase_index": place})
    return release.model_copy(update={"status": release.status.model_copy(update={"candidate": moved})})


def point(release: AgentRelease, candidate: Candidate, tools: Sequence[Tool]) -> Exposure:
    """Return what the candidate's phase exposes, and no more than it was entered with."""
    entered, now = _entered(candidate, tools), _now(release, candidate, tools)
    if entered is None or now is None:
        return now or entered or Exposure()
    return _least(entered, now)


def raised(release: AgentRelease) -> bool:
    """Whether the candidate's phase was edited to expose more than it was entered with."""
    candidate, tools = release.status.candidate, release.spec.bundle.tools
    if candidate is None or candidate.stage is not Stage.RUNNING:
        return False
    entered, now = _entered(candidate, tools), _now(release, candidate, tools)
    return entered is not None and now is not None and not now.within(entered)


def lowered(release: AgentRelease) -> tuple[str, int | None] | None:
    """Say what an edit took from a running candidate's phase, and to which phase it leads: ``None`` is out.

    Returns ``None`` as a whole where nothing was taken.
    """
    candidate, tools = release.status.candidate, release.spec.bundle.tools
    entered = _entered(candidate, tools) if candidate else None
    if candidate is None or entered is None:
        return None
    now = _now(release, candidate, tools)
    if now is None:
        return f"phase {candidate.phase_name} was taken out of the list", _back(release, entered, tools)
    if entered.within(now):
        return None
    why = f"phase {candidate.phase_name} was edited to expose less, or others"
    left = _least(entered, now)
    return why, candidate.phase_index if left.reached else _back(release, entered, tools)


def granted(release: AgentRelease, index: int, *, rises: bool) -> Granted:
    """Return with what a phase is entered: as it is now, and if it doesn't rise no more than before."""
    tools = release.spec.bundle.tools
    exposure = of_phase(release.spec.phases, index, tools)
    candidate = release.status.candidate
    entered = _entered(candidate, tools) if candidate else None
    if not rises and entered is not None:
        exposure = _least(entered, exposure)
    return Granted(
        mirror=exposure.mirror,
        cohort=str(exposure.cohort or ""),
        weight=exposure.weight,
        autonomy=exposure.autonomy,
        strata=[
            PhaseStratum(match=dict(one.labels), autonomy=one.permission.autonomy) for one in exposure.strata
        ],
    )


def _least(entered: Exposure, now: Exposure) -> Exposure:
    """Return the lower of two exposures, or what both allow."""
    if entered.within(now):
        return entered
    return now if now.within(entered) else entered.meet(now)


def _entered(candidate: Candidate, tools: Sequence[Tool]) -> Exposure | None:
    kept = candidate.granted
    if kept is None:
        return None
    return Exposure(
        mirror=kept.mirror,
        cohort=Cohort.read(kept.cohort),
        weight=kept.weight,
        autonomy=kept.autonomy,
        tools=tools_alone(tools, kept.autonomy),
        strata=strata.of(kept.strata, kept.autonomy, tools),
    )


def _now(release: AgentRelease, candidate: Candidate, tools: Sequence[Tool]) -> Exposure | None:
    """Return what the candidate's phase says now; ``None`` when it is gone."""
    place = _place(release, candidate.phase_name)
    return None if place is None else of_phase(release.spec.phases, place, tools)


def _place(release: AgentRelease, name: str) -> int | None:
    return next((n for n, phase in enumerate(release.spec.phases) if phase.name == name), None)


def _back(release: AgentRelease, entered: Exposure, tools: Sequence[Tool]) -> int | None:
    """Return the last phase that exposes no more than what was entered."""
    places = reversed(range(len(release.spec.phases)))
    within = (n for n in places if of_phase(release.spec.phases, n, tools).within(entered))
    return next((n for n in within if passes_through(release, n)), None)
