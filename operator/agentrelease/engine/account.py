"""One revision's account: what was seen of its effects, and how far they are undone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from agentrelease.api.revision import MAX_LOGS, CompensationStatus, ReadLog
from agentrelease.core.compensation import Bits, EffectRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.release import AgentRelease
    from agentrelease.engine.aftermath import RevisionKey


@dataclass(slots=True)
class Account:
    """One revision's record, as it is stored, and what only matters while this process lives."""

    key: RevisionKey
    status: CompensationStatus
    book: list[EffectRecord]
    known: set[str]
    waiting: dict[int, float] = field(default_factory=dict)
    tries: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    warned: set[str] = field(default_factory=set)


def rolled_back(release: AgentRelease, revision: str, since: float) -> bool:
    """Whether the release refused the revision in this rollout, not in one before it."""
    return any(
        one.revision == revision and datetime.fromisoformat(one.at).timestamp() >= since - 0.001
        for one in release.status.refused
    )


def settled(status: CompensationStatus) -> Bits:
    return Bits(Bits.from_text(status.undone_places).value | Bits.from_text(status.failed_places).value)


def put(account: Account, log: ReadLog) -> None:
    """Store how far a log was read; of too many, those that ended first are forgotten."""
    logs = list(account.status.logs)
    place = next((i for i, one in enumerate(logs) if one.log == log.log), None)
    if place is not None:
        logs[place] = log
    else:
        if len(logs) >= MAX_LOGS:
            logs.pop(next((i for i, one in enumerate(logs) if one.gone), 0))
        logs.append(log)
    account.status = account.status.model_copy(update={"logs": logs})


def missing(status: CompensationStatus, unread: Sequence[ReadLog]) -> str:
    parts = [f"{status.undone} of {status.effects} effects are undone"]
    if status.failed:
        parts.append(f"{status.failed} failed")
    if status.lost:
        parts.append(f"at least {status.lost} are lost")
    parts += [f"what {log.pod} did after record {log.next} is unknown" for log in unread[:5]]
    return "; ".join(parts)
