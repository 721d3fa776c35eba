"""The decision log as it is written: sealed, stored in the status, told, and copied to the revision.

* ``seal`` makes the entry that goes into the same status write as its decision.
* An entry is told once that write is known to have happened. Where its answer was lost, the next look
  sees in the status whether it did.
* A process that was killed between the write and the telling leaves the entry in the status, whole; the
  next one to lead tells it. So the newest entry of a release may be told twice, and is never lost.
* Copies are made in the background after everything else; a failure is told and tried again, and
  nothing waits for it. What doesn't fit the queue is let go: the stream has it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agentrelease.core.chain import Entry, restored, sealed
from agentrelease.core.steps import Move
from agentrelease.engine.ports import ClusterError, Missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.api.release import AgentRelease
    from agentrelease.core.decision import Decision
    from agentrelease.core.situation import Situation
    from agentrelease.engine.ports import Recorder, Releases

WAITING = 500
"""Entries that wait for their copy at most."""

UNSURE = 1000
"""Releases of which an entry may be waiting at most, for its write's answer or for a first revision."""

HOMELESS = 8
"""Entries of a release that wait for its first revision at most."""

PAUSE = 2.0
"""Seconds before a copy that failed is tried again."""


@dataclass(frozen=True, slots=True)
class _Due:
    """An entry that has yet to be copied, and to which revision."""

    key: str
    namespace: str
    revision: str
    entry: Entry


class Journal:
    """Keeps the logs of all releases; ``tell`` writes an entry to the stream and never raises."""

    def __init__(self, releases: Releases, recorder: Recorder, tell: Callable[[Entry], None]) -> None:
        self._releases = releases
        self._recorder = recorder
        self._tell = tell
        self._unsure: dict[str, Entry] = {}
        self._told: dict[str, str] = {}
        self._due: deque[_Due] = deque(maxlen=WAITING)
        self._homeless: dict[str, deque[_Due]] = {}
        self._changed = asyncio.Event()

    def seal(self, situation: Situation, decision: Decision, now: float, epoch: int) -> Entry | None:
        """Return the decision's entry; ``None`` for one that says nothing new and moves nothing.

        Never raises: a decision that can't be recorded is told as a failure, and still carried out.
        """
        if not decision.announce and decision.step.move is Move.KEEP:
            return None
        try:
            return sealed(situation, decision, now, epoch)
        except (ValueError, TypeError, KeyError) as error:
            self._recorder.failed(situation.release.key, "decision log", f"{type(error).__name__}: {error}")
            return None

    def writing(self, key: str, entry: Entry) -> None:
        """Remember an entry whose status is about to be written."""
        while len(self._unsure) >= UNSURE:
            self._unsure.pop(next(iter(self._unsure)))
        self._unsure[key] = entry

    def seen(self, release: AgentRelease, *, leading: bool) -> None:
        """Take a status as it is stored: the entry that it names has happened, and is told now.

        One that this process did not write is told by whoever leads.
        """
        head = release.status.decision
        if head is None or self._told.get(release.key) == head.hash:
            return
        entry = self._unsure.get(release.key)
        if entry is not None and entry.hash == head.hash:
            del self._unsure[release.key]
        else:
            entry = restored(release.status) if leading else None
        if entry is None:
            return
        self._told[release.key] = entry.hash
        self._tell(entry)
        about = str(entry.content["revision"])
        waiting = [replace(due, revision=about) for due in self._homeless.pop(release.key, ())]
        self._due.extend([*waiting, _Due(release.key, release.namespace, about, entry)])
        self._changed.set()

    def forget(self, key: str) -> None:
        """Drop what is kept of a release that is gone."""
        self._told.pop(key, None)

    async def flush(self) -> bool:
        """Copy what is due; return whether nothing has to be tried again soon."""
        done = True
        for _ in range(len(self._due)):
            due = self._due.popleft()
            try:
                await self._releases.keep(due.namespace, due.revision, [due.entry])
            except Missing:  # nothing was loaded yet: it goes to the revision of the release's next entry
                if due.key in self._homeless or len(self._homeless) < UNSURE:
                    self._homeless.setdefault(due.key, deque(maxlen=HOMELESS)).append(due)
            except ClusterError as error:
                self._recorder.failed(due.key, "decision copy", str(error))
                self._due.append(due)
                done = False
            except Exception as error:  # noqa: BLE001  a copy is worth less than the process
                self._recorder.failed(due.key, "decision copy", f"given up: {type(error).__name__}: {error}")
        return done

    async def run(self) -> None:
        """Copy for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self.flush():
                await asyncio.sleep(PAUSE)
                self._changed.set()
