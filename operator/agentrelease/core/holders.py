"""Who needs a revision: the release that serves it or could go back to it, and open incidents about it.

A revision that nobody holds may be deleted. One that somebody holds may not, because a rollback would
have nowhere to go, or an incident would have lost what it is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agentrelease.api.release import AgentRelease

SEPARATOR = "; "


@dataclass(frozen=True, slots=True)
class Case:
    """An open incident, and the revision that it is about."""

    name: str
    revision: str


def roles(release: AgentRelease) -> tuple[tuple[str, str], ...]:
    """Return ``(role, revision)`` for every revision that a release needs, the most important first."""
    status = release.status
    found = (
        ("stable", status.stable.revision if status.stable else ""),
        ("candidate", status.candidate.revision if status.candidate else ""),
        ("previous", status.previous.revision if status.previous else ""),
        ("rollback target", release.spec.rollback.to or ""),
    )
    return tuple((role, revision) for role, revision in found if revision)


def holders(release: AgentRelease | None, cases: Iterable[Case]) -> Mapping[str, tuple[str, ...]]:
    """Return who holds each revision, in words; ``None`` is a release that is gone and holds nothing.

    A release that is being deleted still holds what it names: its candidate has yet to be withdrawn.
    """
    found: dict[str, tuple[str, ...]] = {}
    for role, revision in roles(release) if release else ():
        found[revision] = (*found.get(revision, ()), f"{role} of release {release.name if release else ''}")
    for case in sorted(cases, key=lambda one: one.name):
        found[case.revision] = (*found.get(case.revision, ()), f"open incident {case.name}")
    return found


__all__ = ["SEPARATOR", "Case", "holders", "roles"]
