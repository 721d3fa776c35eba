"""The action log: what an agent really did, for those who may have to undo it.

The contract that compensations read (``GET /actions?since=N&limit=M``)::

    {"log": "<id of this log>", "first": 1, "next": 42, "actions": [<record>, …]}

    <record> = {"id": "…", "seq": 42, "tool": "payments.refund", "effect": "irreversible",
                "session": "…", "release": "support-3f9a0c11de", "disposition": "executed",
                "at": "2026-11-23T07:00:00.123Z", "arguments": "sha256:…"}

* The Pod serves it on the port of its slot's Service, without credentials, to the operator alone; a
  NetworkPolicy or the gateway keeps others out. At most ``limit`` records and ``LONGEST_PAGE`` come at
  once, and an empty page is the end.
* Texts are bounded: an id and a tool to 128 characters, a session to 256. What is longer is cut.
* Only effects that happened are in it, once each, in order; it is only ever appended to.
* ``id`` is unique for ever and is the idempotency key of the compensation. Delivery of a compensation
  is at least once; the key makes it one effect.
* ``since`` is a cursor, not a time: pass ``next`` of the last page, 0 at first. A ``first`` above the
  cursor plus one, or another ``log``, tells the reader that records are gone: an incident, not an end.
* Arguments are in it as a digest alone. Texts and personal data stay with the agent.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from agentrelease.sdk.permissions import effect_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST_PAGE = 1000
"""Records in one page."""


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """One effect: ``at`` is RFC 3339 in UTC, ``arguments`` a ``sha256:`` digest of their JSON."""

    id: str
    seq: int
    tool: str
    effect: str
    session: str
    release: str
    disposition: str
    at: str
    arguments: str


class ActionLog:
    """The last ``capacity`` effects of this process, oldest first."""

    def __init__(
        self,
        release: str,
        capacity: int = 50_000,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.id = uuid.uuid4().hex
        self._release = release
        self._now = now
        self._records: deque[ActionRecord] = deque(maxlen=capacity)
        self._next = 1

    def append(
        self,
        tool: str,
        effect: str | None,
        session: str,
        arguments: Mapping[str, Any],
        disposition: str = "executed",
    ) -> ActionRecord:
        """Record an effect that happened; call it after the tool, before the answer."""
        text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), default=str)
        record = ActionRecord(
            id=f"{self.id}-{self._next}",
            seq=self._next,
            tool=tool[:128],
            effect=effect_of(effect),
            session=session[:256],
            release=self._release,
            disposition=disposition,
            at=self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            arguments=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}",
        )
        self._records.append(record)
        self._next += 1
        return record

    def page(self, since: int = 0, limit: int = LONGEST_PAGE) -> dict[str, Any]:
        """Return the records after ``since`` as the contract above has them, at most ``limit``."""
        first = self._records[0].seq if self._records else self._next
        skip = max(0, since + 1 - first)
        chosen = list(islice(self._records, skip, skip + max(0, min(limit, LONGEST_PAGE))))
        following = chosen[-1].seq if chosen else max(0, min(since, self._next - 1))
        return {"log": self.id, "first": first, "next": following, "actions": [asdict(r) for r in chosen]}
