"""One revision's account: what was seen of its effects, and how far they are undone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentrelease.api.revision import MAX_LOGS, CompensationStatus, ReadLog
from agentrelease.core.compensation import Bits, EffectRecord, older

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.engine.aftermath import RevisionKey


@dataclass(slots=True)
class Account:
    """One revision's record, as it is stored, and what only matters while this process lives."""

    key: RevisionKey
    status: CompensationStatus
    book: list[EffectRecord]
    known: set[str]
    stays: Bits = field(default_factory=Bits)
    read_at: float = float("-inf")
    waiting: dict[int, float] = field(default_factory=dict)
    tries: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    warned: set[str] = field(default_factory=set)

    def change(self, **changes: object) -> None:
        """Change the record; it is stored by whoever stores accounts."""
        self.status = self.status.model_copy(update=changes)

    def settled(self) -> Bits:
        """Return the places of effects of which nothing more will become."""
        done, failed = (
            Bits.from_text(text).value for text in (self.status.undone_places, self.status.failed_places)
        )
        return Bits(self.stays.value | done | failed)

    def part(self) -> None:
        """Tell effects that have to be undone from those that are too old, from here on."""
        self.stays = older(self.book, self.status.undone_from)
        self.change(older=len(self.stays), effects=len(self.book) - len(self.stays))

    def lose(self, count: int, moment: float) -> None:
        """Count effects that happened and can't be undone, the last of them at ``moment`` at the latest."""
        self.change(lost=self.status.lost + count, lost_until=max(self.status.lost_until, moment))

    def forgive(self, since: float) -> None:
        """Forget what was missing of the time before ``since``: it would not be undone anyway."""
        logs = [log for log in self.status.logs if not log.gone or log.gone_at >= since]
        if logs != self.status.logs:
            self.change(logs=logs)
        if self.status.lost and self.status.lost_until < since:
            self.change(lost=0)

    def put(self, log: ReadLog) -> None:
        """Store how far a log was read; of too many, those that ended first are forgotten."""
        logs = list(self.status.logs)
        place = next((i for i, one in enumerate(logs) if one.log == log.log), None)
        if place is not None:
            logs[place] = log
        else:
            if len(logs) >= MAX_LOGS:
                logs.pop(next((i for i, one in enumerate(logs) if one.gone), 0))
            logs.append(log)
        self.change(logs=logs)


def missing(status: CompensationStatus, unread: Sequence[ReadLog]) -> str:
    parts = [f"{status.undone} of {status.effects} effects are undone"]
    if status.failed:
        parts.append(f"{status.failed} failed")
    if status.lost:
        parts.append(f"at least {status.lost} are lost")
    parts += [f"what {log.pod} did after record {log.next} is unknown" for log in unread[:5]]
    return "; ".join(parts)
