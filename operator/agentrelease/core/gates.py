"""Gates: what has to be true before anything is raised, besides evidence. Lowering never asks them.

A gate answers with an empty text when it is open, and with a sentence for people while it is closed.
Whatever can't be understood, such as an unknown time zone, keeps it closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import AUTHOR_ANNOTATION
from agentrelease.core.edits import raised
from agentrelease.core.phases import following, preceding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, tzinfo

    from agentrelease.api.release import AgentRelease

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of some weekdays in a zone; ``start`` after ``end`` runs over midnight into the next day."""

    days: frozenset[str]
    start: time
    end: time
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Freeze:
    """Dates on which nothing is raised, first and last included, in a zone."""

    first: date
    last: date
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Calendar:
    """When a release may be raised: in any of the hours (none = always), and not in a freeze."""

    hours: tuple[Hours, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    problem: str = ""

    def closed(self, now: float) -> str:
        """Say why nothing may be raised at this unix time; by local clocks, so right across DST changes."""
        if self.problem:
            return self.problem
        for freeze in self.freezes:
            if freeze.first <= datetime.fromtimestamp(now, freeze.zone).date() <= freeze.last:
                return f"frozen from {freeze.first} to {freeze.last} ({freeze.zone})"
        if not self.hours or any(_within(hours, now) for hours in self.hours):
            return ""
        return "outside the release windows"


def _within(hours: Hours, now: float) -> bool:
    local = datetime.fromtimestamp(now, hours.zone)
    clock = local.time()
    if hours.start <= hours.end:
        return DAYS[local.weekday()] in hours.days and hours.start <= clock < hours.end
    if clock >= hours.start:
        return DAYS[local.weekday()] in hours.days
    return clock < hours.end and DAYS[(local - timedelta(days=1)).weekday()] in hours.days


@dataclass(frozen=True, slots=True)
class Consent:
    """One AgentApproval. ``expires`` is in unix seconds, ``leaves`` is empty for the start."""

    name: str
    release: str
    digest: str
    leaves: str
    enters: str
    approver: str
    expires: float


def approval_missing(release: AgentRelease, consents: Sequence[Consent], now: float) -> str:
    """Say which approval the candidate's next phase waits for; empty when none is, or it has been given.

    Consent is to one bundle and one step, by somebody else than its author. What was given for another
    bundle, another step or an earlier time is no consent, and is named so that nobody searches for it.
    Admission asks the same; here it holds where admission's policies are not in force.
    """
    step = next_phase(release)
    candidate = release.status.candidate
    if step is None or candidate is None or not approval_needed(release, step):
        return ""
    before = preceding(release, step)
    leaves = "" if before is None else release.spec.phases[before].name
    enters = release.spec.phases[step].name
    wanted = f"{leaves or 'the start'} → {enters}"
    seen = []
    for consent in consents:
        if consent.release != release.name or consent.enters != enters:
            continue
        author = release.annotations.get(AUTHOR_ANNOTATION)
        why = (
            "wrote the bundle"
            if consent.approver == author
            else _void(consent, candidate.digest, leaves, now)
        )
        if not why:
            return ""
        seen.append(f"{consent.name} by {consent.approver} {why}")
    return f"{wanted} needs an AgentApproval" + (f"; {'; '.join(seen[:3])}" if seen else "")


def approval_needed(release: AgentRelease, step: int) -> bool:
    """Whether entering a phase takes consent: the phase says so, or something that happened asks for it."""
    candidate = release.status.candidate
    asked = candidate is not None and candidate.approval_asked
    return asked or release.spec.phases[step].approval == "required"


def next_phase(release: AgentRelease) -> int | None:
    """Return the phase that would be entered next; ``None`` after the last, or without a candidate.

    That is the same phase once more if it was edited to expose more than it was entered with.
    """
    candidate = release.status.candidate
    if candidate is not None and raised(release):
        return candidate.phase_index
    return None if candidate is None else following(release, candidate.phase_index)


def _void(consent: Consent, digest: str, leaves: str, now: float) -> str:
    if consent.digest != digest:
        return "is for another bundle"
    if consent.leaves != leaves:
        return f"is for leaving {consent.leaves or 'the start'}"
    if consent.expires <= now:
        return f"expired at {datetime.fromtimestamp(consent.expires, UTC):%Y-%m-%d %H:%M} UTC"
    return ""
