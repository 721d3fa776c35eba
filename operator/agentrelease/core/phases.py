"""Which phase comes next and which came before: places in ``spec.phases``.

A first release has no stable revision whose requests could be copied, so its phases that mirror are passed
over in both directions. All others mean what they say: a cohort is that cohort, 1 % is 1 %, and who isn't
chosen gets what was there before, or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease


def following(release: AgentRelease, index: int) -> int | None:
    """Return the place of the phase after ``index`` (-1: before the first); ``None`` after the last."""
    later = range(index + 1, len(release.spec.phases))
    return next((place for place in later if passes_through(release, place)), None)


def preceding(release: AgentRelease, index: int) -> int | None:
    """Return the place of the phase before ``index``; ``None`` before the first."""
    earlier = range(min(index, len(release.spec.phases)) - 1, -1, -1)
    return next((place for place in earlier if passes_through(release, place)), None)


def passes_through(release: AgentRelease, index: int) -> bool:
    """Whether this release's candidates enter a phase at all."""
    return release.status.stable is not None or release.spec.phases[index].mirror is None
