"""The two arms of a rollout, as reasons, routers and Prometheus name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.core import blocks, intent
from agentrelease.core.exposure import ALL
from agentrelease.core.span import Services

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate
    from agentrelease.core.series import Series, Snapshot


def arms_of(release: AgentRelease, candidate: Candidate) -> list[tuple[str, str]]:
    """Return who there is in words, and its revision; the candidate first, stable where there is one."""
    stable = release.status.stable
    return [("the candidate", candidate.revision)] + ([("stable", stable.revision)] if stable else [])


def of_revision(series: tuple[Series, ...], revision: str) -> tuple[Series, ...]:
    """Return the series that a revision reports."""
    return tuple(one for one in series if one.labels.get("release") == revision)


def judged_arms(release: AgentRelease, candidate: Candidate, snapshot: Snapshot) -> list[tuple[Series, ...]]:
    """Return the tasks of each arm that is judged now: at 100 % the candidate alone, stable is silent."""
    judged = arms_of(release, candidate)[: 2 if intent.exposure(release).weight < ALL else 1]
    series = snapshot.of(blocks.TASKS, release.namespace, release.name)
    return [of_revision(series, revision) for _, revision in judged]


def services_of(release: AgentRelease, candidate: Candidate) -> Services:
    """Return the Services that the router sends the arms' requests to; none where there are no slots."""
    slots, stable = release.spec.delivery.slots or {}, release.status.stable
    mine, theirs = slots.get(candidate.slot), slots.get(stable.slot) if stable else None
    return Services(mine.service if mine else "", theirs.service if theirs else "")
