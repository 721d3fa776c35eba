"""The bounded copy of the decision log on a revision, and how the revision fared, from the same entries.

The copy never outgrows its room: whole entries go first, oldest first, then their short forms, and what
is gone is said in ``dropped``. The full stream is on the operator's stdout.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agentrelease.api.revision import MAX_DECISIONS, MAX_DROPPED, MAX_PACKED, DecisionRecord, Dropped
from agentrelease.api.status import Outcome
from agentrelease.core.chain import LONGEST, Link
from agentrelease.core.packing import packed, unpacked
from agentrelease.core.steps import Move

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from agentrelease.api.revision import RevisionStatus
    from agentrelease.core.chain import Entry

WHOLE_OBJECT = 208 * 1024
"""Bytes that a revision may have with its copy: well below what etcd and clients handle in one piece."""

ROOM = 144 * 1024
"""Bytes that the copy may have where the bundle leaves them."""


def room_beside(obj: Mapping[str, Any]) -> int:
    """Return the bytes that a revision object leaves for its copy."""
    rest = {name: value for name, value in obj.items() if name != "status"}
    return max(min(ROOM, WHOLE_OBJECT - len(json.dumps(rest))), 0)


def with_entry(status: RevisionStatus, revision: str, entry: Entry, room: int) -> RevisionStatus:
    """Return the status with one more entry, within ``room`` bytes; the same where it is there already.

    An entry that is about another revision is kept, and says nothing about how this one fared.
    """
    if any(one.hash == entry.hash for one in status.decisions):
        return status
    decisions = sorted([*status.decisions, _short(entry)], key=lambda one: one.sequence)
    changes = {"decisions": decisions, **_fate(status, revision, entry)}
    return _within(status.model_copy(update=changes), room)


def links(status: RevisionStatus) -> Iterator[Link]:
    """Yield the entries of a copy; one whose packing can't be read keeps its hashes alone."""
    for one in status.decisions:
        yield Link(one.sequence, one.hash, one.previous, unpacked(one.entry))


def dropped(statuses: Iterable[RevisionStatus]) -> frozenset[int]:
    """Return the places of all entries that copies let go."""
    return frozenset(
        place
        for status in statuses
        for gap in status.dropped
        for place in range(max(gap.first, 1), min(gap.last, LONGEST) + 1)
    )


def _short(entry: Entry) -> DecisionRecord:
    content = entry.content
    outcome = content["outcome"]
    return DecisionRecord(
        at=content["at"],
        id=content["id"],
        phase=content["phase"],
        verdict=outcome["verdict"],
        action=f"{outcome['move']}: {outcome['cause']}",
        reason=outcome["reason"][:512],
        sequence=content["sequence"],
        hash=entry.hash,
        previous=content["previous"],
        entry=packed(content, MAX_PACKED),
    )


def _fate(status: RevisionStatus, revision: str, entry: Entry) -> dict[str, str]:
    """Return what an entry says about how its revision began or ended."""
    content, outcome = entry.content, entry.content["outcome"]
    if revision != content["revision"]:
        return {}
    before = content["inputs"]["release"]["status"]
    at, reason = content["at"], outcome["reason"][:1024]
    match outcome["move"]:
        case Move.START:
            return {"started_at": status.started_at or at, "ended_at": "", "outcome": "", "reason": ""}
        case Move.PROMOTE:
            return {"outcome": Outcome.PROMOTED.value, "reason": reason, "ended_at": at}
        case Move.FINISH:
            ended = before["candidate"].get("outcome") or Outcome.SUPERSEDED.value
            return {"outcome": ended, "reason": reason, "ended_at": at}
        case Move.RETURN:
            return {"outcome": Outcome.ROLLED_BACK.value, "reason": reason, "ended_at": at}
    return {}


def _within(status: RevisionStatus, room: int) -> RevisionStatus:
    decisions, gone = list(status.decisions), list(status.dropped)
    while len(decisions) > MAX_DECISIONS:
        gone = _gaps(gone, decisions.pop(0).sequence)
    sizes = [_size(one) for one in decisions]
    for place, one in enumerate(decisions):
        if sum(sizes) <= room:
            break
        decisions[place] = one.model_copy(update={"entry": ""})
        sizes[place] = _size(decisions[place])
    while decisions and sum(sizes) > room:
        gone = _gaps(gone, decisions.pop(0).sequence)
        sizes.pop(0)
    return status.model_copy(update={"decisions": decisions, "dropped": gone})


def _size(one: DecisionRecord) -> int:
    """Bytes as the API server counts them; its escapes of ``<``, ``>`` and ``&`` included."""
    text = json.dumps(one.to_object(), ensure_ascii=False)
    return len(text.encode()) + 5 * sum(text.count(sign) for sign in "<>&")


def _gaps(gaps: Sequence[Dropped], place: int) -> list[Dropped]:
    """Return the gaps with one more place; where there are too many, neighbours become one."""
    places = sorted([*((gap.first, gap.last) for gap in gaps), (place, place)])
    joined: list[tuple[int, int]] = []
    for first, last in places:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    while len(joined) > MAX_DROPPED:
        joined[:2] = [(joined[0][0], joined[1][1])]
    return [Dropped(first=first, last=last) for first, last in joined]
