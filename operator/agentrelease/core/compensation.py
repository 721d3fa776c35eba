"""What a rolled-back revision did to the world, and which of it has to be undone next.

* An effect counts when the candidate's own log says that it happened (``executed`` or ``approved``),
  under this revision, since this rollout began, and when the release names a hook for its class.
* The class is the bundle's, where the bundle has the tool: a log may say what happened, not how grave
  it is. A tool that the bundle doesn't have is irreversible.
* Of a revision that was taken back after its promotion only what it did last counts: the window's length
  before the return, and never what it did before it served. Older lines are let go, part by part.
* Newest first. Within a session an older effect waits for every newer one, because it may have been
  its ground; a compensation that failed for good holds nobody up.
* Whether an effect is undone or given up is one bit by its place in the book, so that the record of
  ten thousand effects stays small and its size is known.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import Effect

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from agentrelease.api.bundle import Tool

MAX_EFFECTS = 10_000
MAX_SERVED = 5_000
"""Effects that are kept of a revision that serves, so that there is always room for the newest."""
PART = 250
"""Effects in one part of the book: what is written, and let go, at once."""
HAPPENED = frozenset({"executed", "approved"})
CLOCKS_APART = 5.0
"""Seconds by which an agent's clock may be behind the operator's."""


@dataclass(frozen=True, slots=True)
class EffectRecord:
    """One line of an agent's action log. ``at`` is RFC 3339 as it was told, ``moment`` Unix seconds."""

    id: str
    log: str
    seq: int
    tool: str
    effect: Effect
    session: str
    release: str
    disposition: str
    at: str
    moment: float
    arguments: str


@dataclass(frozen=True, slots=True)
class Bits:
    """A set of places, as one number."""

    value: int = 0

    @classmethod
    def from_text(cls, text: str) -> Bits:
        """Read what ``str`` wrote; what can't be read is empty, which means: undo again, by the same key."""
        try:
            return cls(int.from_bytes(base64.b64decode(text, validate=True), "little"))
        except ValueError:
            return cls()

    def __str__(self) -> str:
        size = (self.value.bit_length() + 7) // 8
        return base64.b64encode(self.value.to_bytes(size, "little")).decode()

    def __contains__(self, place: int) -> bool:
        return bool(self.value >> place & 1)

    def __len__(self) -> int:
        return self.value.bit_count()

    def with_(self, place: int) -> Bits:
        """Return the set with one more place."""
        return Bits(self.value | 1 << place)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What of a log would be undone: of which revision, since when, and of classes that have a hook."""

    revision: str
    since: float
    classes: frozenset[Effect]


def belonging(
    records: Iterable[EffectRecord], bounds: Bounds, tools: Sequence[Tool], known: Container[str]
) -> Iterator[EffectRecord]:
    """Yield the records that have to be undone if this rollout fails, each with its true class."""
    classes = {tool.name: tool.effect for tool in tools}
    for record in records:
        effect = classes.get(record.tool, Effect.IRREVERSIBLE)
        if (
            record.release == bounds.revision
            and record.disposition in HAPPENED
            and not _older(record, bounds.since)
            and effect in bounds.classes
            and record.id not in known
        ):
            yield EffectRecord(
                record.id, record.log, record.seq, record.tool, effect, record.session, record.release,
                record.disposition, record.at, record.moment, record.arguments,
            )  # fmt: skip


def due(
    book: Sequence[EffectRecord], settled: Bits, waiting: Mapping[int, float], now: float
) -> Iterator[int]:
    """Yield places that may be undone now, newest first, at most one of each session.

    ``waiting`` has the moment before which a place that failed is not tried again.
    """
    busy: set[str] = set()
    order = sorted(range(len(book)), key=lambda place: (book[place].moment, book[place].seq), reverse=True)
    for place in order:
        if place in settled:
            continue
        session = book[place].session or book[place].id  # without a session it depends on nothing
        if session not in busy and waiting.get(place, now) <= now:
            yield place
        busy.add(session)


def older(book: Sequence[EffectRecord], since: float) -> Bits:
    """Return the places of effects that happened before ``since``: they stay as they are."""
    return Bits(sum(1 << place for place, record in enumerate(book) if _older(record, since)))


def to_let_go(book: Sequence[EffectRecord], since: float) -> int:
    """Return how many effects at the book's beginning can go: whole parts older than ``since``."""
    first = next((place for place, record in enumerate(book) if not _older(record, since)), len(book))
    return first // PART * PART


def _older(record: EffectRecord, since: float) -> bool:
    return record.moment < since - CLOCKS_APART


def missed(cursor: int, first: int) -> int:
    """Return how many records a log had already dropped when it was read from ``cursor`` on."""
    return max(0, first - cursor - 1)
