"""The decision log of one release as a hash chain, and how it is checked.

Every entry carries the SHA-256 of the one before; the release's status names the last one. So an entry
that was changed, taken out or moved is found, and said which one it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from agentrelease.api.status import LogHead
from agentrelease.core.instants import exact_stamp
from agentrelease.core.packing import unpacked
from agentrelease.core.record import digest, inputs_of, outcome_of
from agentrelease.core.steps import Move

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agentrelease.api.status import ReleaseStatus
    from agentrelease.core.decision import Decision
    from agentrelease.core.situation import Situation

VERSION = 1
LONGEST = 1_000_000
"""Entries of one log at most; a number beyond was written by somebody else."""


class FaultKind(StrEnum):
    """What is wrong with a chain."""

    CHANGED = "changed"
    MISSING = "missing"
    REORDERED = "reordered"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, at which entry, in a sentence."""

    kind: FaultKind
    id: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Link:
    """One entry as it was found; ``entry`` is ``None`` where only its hashes were kept."""

    sequence: int
    hash: str
    previous: str
    entry: Mapping[str, Any] | None

    @classmethod
    def of(cls, entry: Mapping[str, Any], stated: str) -> Link:
        """Return the link of an entry whose hash is said to be ``stated``."""
        return cls(int(entry["sequence"]), stated, str(entry["previous"]), entry)


@dataclass(frozen=True, slots=True)
class Entry:
    """A sealed entry: its content and its hash."""

    content: Mapping[str, Any]
    hash: str

    @property
    def head(self) -> LogHead:
        """What the status says about the log after this entry."""
        return LogHead(
            id=self.content["id"], sequence=self.content["sequence"], hash=self.hash, at=self.content["at"]
        )


_NAMED = {"namespace", "release", "revision"}


def restored(status: ReleaseStatus) -> Entry | None:
    """Return the newest entry of a status that has it whole; nothing whose hash is not the one it names."""
    head, content = status.decision, unpacked(status.decision_entry)
    if head is None or not content or not _whole(Link(head.sequence, head.hash, "", content)):
        return None
    if (content.get("id"), content.get("sequence")) != (
        head.id,
        head.sequence,
    ) or not content.keys() >= _NAMED:
        return None
    return Entry(content, head.hash)


def name_of(sequence: int) -> str:
    """Return an entry's name, for example ``d-000042``."""
    return f"d-{sequence:06d}"


def sealed(situation: Situation, decision: Decision, now: float, epoch: int) -> Entry:
    """Return the entry that follows the last one of the release's log."""
    release = situation.release
    before, after = release.status, decision.status
    withdrawn = before.stable if decision.step.move is Move.RETURN else None
    about = withdrawn or after.candidate or before.candidate or after.stable
    last = before.decision or (situation.former.head if situation.former else None)
    sequence = last.sequence + 1 if last else 1
    content = {
        "version": VERSION,
        "sequence": sequence,
        "id": name_of(sequence),
        "at": exact_stamp(now),
        "namespace": release.namespace,
        "release": release.name,
        "uid": release.uid,
        "revision": about.revision if about else situation.desired.revision,
        "digest": about.digest if about else situation.desired.digest,
        "phase": after.phase,
        "epoch": epoch,
        "previous": last.hash if last else "",
        "inputs": inputs_of(situation, now),
        "outcome": outcome_of(before, decision, situation.assessment),
    }
    return Entry(content, digest(content))


def check(
    links: Sequence[Link], head: LogHead | None = None, dropped: Iterable[int] = ()
) -> tuple[Fault, ...]:
    """Return what is wrong with one release's chain, entries given in the order in which they were found.

    ``head`` is what the status says about the newest entry. ``dropped`` are sequence numbers of entries
    that are known to have been let go for want of room. The same entry found twice is no fault.
    """
    faults, kept = _changed(links)
    faults += _reordered(links)
    known = dict(sorted(kept.items()))
    last = max([*known, head.sequence if head else 0])
    faults += _missing(known, last, frozenset(dropped))
    for sequence, link in known.items():
        before = known.get(sequence - 1)
        expected = before.hash if before else "" if sequence == 1 else link.previous
        if link.previous != expected:
            faults.append(_fault(FaultKind.CHANGED, sequence - 1, f"{name_of(sequence)} follows another one"))
    if head and head.sequence in known and known[head.sequence].hash != head.hash:
        faults.append(_fault(FaultKind.CHANGED, head.sequence, "the release's status names another hash"))
    if head and last > head.sequence:
        faults.append(_fault(FaultKind.CHANGED, last, f"the release's status ends at {head.id}"))
    return tuple(sorted(faults, key=lambda fault: fault.id))


def _changed(links: Sequence[Link]) -> tuple[list[Fault], dict[int, Link]]:
    faults: list[Fault] = []
    kept: dict[int, Link] = {}
    for link in links:
        if not 0 < link.sequence <= LONGEST:
            faults.append(_fault(FaultKind.CHANGED, link.sequence, "no log has an entry of this number"))
            continue
        if not _whole(link):
            faults.append(
                _fault(FaultKind.CHANGED, link.sequence, "its content has another hash than it says")
            )
        if link.entry and (link.entry.get("sequence"), link.entry.get("previous")) != (
            link.sequence,
            link.previous,
        ):
            faults.append(_fault(FaultKind.CHANGED, link.sequence, "it does not stand where it says"))
        known = kept.setdefault(link.sequence, link)
        if known.hash != link.hash:
            faults.append(
                _fault(FaultKind.CHANGED, link.sequence, "there are two different entries of this name")
            )
    return faults, kept


def _whole(link: Link) -> bool:
    """Whether an entry's content, where it is there, has the hash that it should have."""
    try:
        return link.entry is None or digest(link.entry) == link.hash
    except (ValueError, RecursionError):  # content that the canonical form has no place for
        return False


def _reordered(links: Sequence[Link]) -> list[Fault]:
    faults, seen, newest = [], set(), 0
    for link in links:
        if link.sequence > LONGEST:
            continue
        if link.sequence < newest and link.sequence not in seen:
            why = f"it stands after {name_of(newest)}"
            faults.append(_fault(FaultKind.REORDERED, link.sequence, why))
        seen.add(link.sequence)
        newest = max(newest, link.sequence)
    return faults


def _missing(known: Mapping[int, Link], last: int, dropped: frozenset[int]) -> list[Fault]:
    """One fault for each gap, told by its first entry."""
    gone = {number for number in range(1, last + 1) if number not in known and number not in dropped}
    faults = []
    for first in sorted(number for number in gone if number - 1 not in gone):
        end = first
        while end + 1 in gone:
            end += 1
        why = "it is not there" if end == first else f"nothing is there up to {name_of(end)}"
        faults.append(_fault(FaultKind.MISSING, first, why))
    return faults


def _fault(kind: FaultKind, sequence: int, why: str) -> Fault:
    return Fault(kind, name_of(sequence), f"{name_of(sequence)} {_WORDS[kind]}: {why}")


_WORDS = {
    FaultKind.CHANGED: "was changed",
    FaultKind.MISSING: "is missing",
    FaultKind.REORDERED: "is out of order",
}
