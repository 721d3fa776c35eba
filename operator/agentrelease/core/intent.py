"""What a release intends to expose, derived from its spec and status alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.core import draining, edits
from agentrelease.core.exposure import NOTHING, Exposure, kept

if TYPE_CHECKING:
    from agentrelease.api.phase import PhaseStratum
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate
    from agentrelease.api.vocabulary import Autonomy


def exposure(release: AgentRelease) -> Exposure:
    """Return the candidate's intended exposure; ``NOTHING`` unless it is in a phase, or drained."""
    candidate = release.status.candidate
    if candidate is not None and candidate.stage is Stage.WITHDRAWING:
        return draining.exposure(release, candidate)
    if candidate is None or candidate.stage is not Stage.RUNNING:
        return NOTHING
    return exposure_in(release, candidate)


def exposure_in(release: AgentRelease, candidate: Candidate) -> Exposure:
    """Return what the candidate's phase exposes, less what interventions took: autonomy and tools."""
    tools = kept(release.spec.bundle.tools, candidate.tools_cut)
    return edits.point(release, candidate, tools).capped(candidate.autonomy_cap, tools)


def final_autonomy(release: AgentRelease) -> Autonomy:
    """Return the level of the last phase: what a promoted revision keeps."""
    return release.spec.phases[-1].autonomy


def final_strata(release: AgentRelease, level: Autonomy) -> list[PhaseStratum]:
    """Return the strata of the last phase that stay below ``level``: those too a promoted revision keeps."""
    return [one for one in release.spec.phases[-1].strata if one.autonomy < level]
