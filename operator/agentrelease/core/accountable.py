"""Whose effects would have to be undone, and from when on they count.

* A candidate's from the beginning of its rollout.
* A revision's that serves and is watched: those of the compensation window before its return, and none
  from before its promotion. Its rollout proved it good, so what is found wrong later began later.
* A person's order counts like a guardrail's breach. While an older bundle is loaded for it the watch has
  ended already, and what serves goes on acting: whoever was followed until then is followed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.core.instants import unix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentrelease.api.release import AgentRelease


@dataclass(frozen=True, slots=True)
class Followed:
    """A revision whose effects are kept, in Unix seconds.

    Its account began at ``since``, and what it did from ``counts_from`` on would be undone. ``serves`` says
    that it is no candidate, ``begins`` that an account is opened where there is none.
    """

    revision: str
    slot: str
    since: float
    counts_from: float
    serves: bool = False
    begins: bool = True


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A revision that the release refused: its effects ``since`` are undone, agents act ``until`` at most.

    ``since`` is ``None`` where the release wants nothing undone.
    """

    since: float | None
    until: float


def followed(release: AgentRelease, now: float) -> Iterator[Followed]:
    """Yield whose effects are kept at ``now``; nobody's where the release names no hooks."""
    if not release.spec.rollback.compensations:
        return
    status, window = release.status, release.spec.watch.compensation_window.seconds
    candidate, stable = status.candidate, status.stable
    if candidate is not None:
        yield Followed(candidate.revision, candidate.slot, candidate.started_at, candidate.started_at)
    recalling = candidate is not None and candidate.recalled
    if stable is not None and window and (status.watch is not None or recalling):
        since = _moment(stable.since)
        yield Followed(stable.revision, stable.slot, since, max(since, now - window), True, not recalling)


def taken_back(release: AgentRelease, revision: str, since: float) -> TakenBack | None:
    """Say what is undone of a revision; ``None`` unless it was refused in this rollout, not in one before."""
    refused = next((one for one in release.status.refused if one.revision == revision), None)
    if refused is None or (at := _moment(refused.at)) < since - 0.001:
        return None
    if not refused.served_from:
        return TakenBack(since, at)
    window = release.spec.watch.compensation_window.seconds
    begins = max(_moment(refused.served_from), at - window) if window else None
    return TakenBack(begins, at + release.spec.delivery.flags.lease_seconds)


def _moment(at: str) -> float:
    return unix(at) if at else 0.0
