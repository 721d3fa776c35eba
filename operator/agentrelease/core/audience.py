"""Whose tasks are evidence: the cohort's and everybody else's are never added up.

In a cohort's phase only tasks count that the agent reports as ``internal``; they are set against all that
stable does, because the whole cohort is with the candidate. As soon as a weight exposes the candidate to
others, only ``external`` tasks count for both arms, also at 100 % and in the watch: the record of
stable that is compared with then is of external tasks alone. Without a cohort nobody is told apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agentrelease.api.phase import Phase
    from agentrelease.core.exposure import Exposure

EXTERNAL, INTERNAL, EVERYBODY = "external", "internal", ""
"""Values of the label ``audience``; a series without it is external, as everything is that says nothing."""


class Labelled(Protocol):
    """A series, or what was made of several."""

    @property
    def labels(self) -> Mapping[str, str]: ...


def of_candidate(exposure: Exposure, phases: Iterable[Phase]) -> str:
    """Return the audience whose tasks with the candidate count at an exposure."""
    if exposure.weight > 0:
        return of_stable(exposure, phases)
    return INTERNAL if exposure.cohort is not None else EVERYBODY


def of_stable(exposure: Exposure, phases: Iterable[Phase]) -> str:
    """Return the audience whose tasks with stable these are compared with."""
    named = any(phase.cohort is not None for phase in phases)
    return EXTERNAL if exposure.weight > 0 and named else EVERYBODY


def belongs(one: Labelled, audience: str) -> bool:
    """Whether a series counts for an audience."""
    return audience in (EVERYBODY, one.labels.get("audience", EXTERNAL))
