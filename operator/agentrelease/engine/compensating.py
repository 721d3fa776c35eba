"""Undoing what a revision that was taken back did to the world: last in a rollback, and apart from it.

* While a candidate rolls out, and while what was promoted is watched, its Pods' action logs are read and
  what would have to be undone is kept: a Pod that goes takes its log with it.
* When the release has refused the revision, the logs are read to their end, and each effect's hook is
  called until it says that the effect is undone.
* Everything is written down before it is relied on; a process that was killed leaves a record from
  which the next one goes on, with the same idempotency keys. Delivery is at least once.
* A candidate that was replaced, or a watch that ended, leaves nothing to undo: nobody found it wrong.
* What can't be undone from here is counted and told: lost records, logs that ended unread, refusals.

Own task, own connections: no look at a release waits for any of this.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from agentrelease.core.accountable import followed, taken_back
from agentrelease.engine.aftermath import OPEN, Pace, RevisionKey
from agentrelease.engine.books import Books
from agentrelease.engine.collecting import Collector
from agentrelease.engine.ports import ClusterError, Unusable
from agentrelease.engine.undoing import Undoer

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.accountable import Followed, TakenBack
    from agentrelease.engine.account import Account
    from agentrelease.engine.aftermath import Aftermath

log = structlog.get_logger(__name__)


class Compensator:
    """Looks after all open accounts, in rounds; ``run`` until cancelled."""

    def __init__(self, outside: Aftermath, pace: Pace | None = None) -> None:
        self._out = outside
        self._pace = pace or Pace()
        self._books = Books(outside)
        self._collector = Collector(outside, self._pace, self._books)
        self._undoer = Undoer(outside, self._pace, self._books)
        self._searched = float("-inf")
        self._slots = asyncio.Semaphore(self._pace.parallel)

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await self.look()
            await asyncio.sleep(self._pace.round)

    async def look(self) -> None:
        """Go once through everything that is open; nothing is raised for what will be tried again."""
        if not self._out.leading():
            return
        try:
            await self._search()
        except ClusterError as error:
            self._out.recorder.failed("", "compensations search", str(error))
        names = self._books.releases() | set(self._out.active())
        await asyncio.gather(*(self._attend(name) for name in sorted(names)))

    async def _search(self) -> None:
        now = self._out.clock()
        if now - self._searched >= self._pace.search:
            await self._books.search()
            self._searched = now

    async def _attend(self, name: str) -> None:
        async with self._slots:
            try:
                await self._visit(name)
            except (ClusterError, Unusable) as error:
                self._out.recorder.failed(name, "compensations", str(error))
            except Exception as error:  # one release's bug must not stop the others
                log.exception("compensations broke", release=name, why=type(error).__name__)
            else:
                return
        self._books.distrust(name)

    async def _visit(self, name: str) -> None:
        namespace, _, agent = name.partition("/")
        release = await self._out.releases.get(name)
        acting = set()
        if release is not None:
            for one in followed(release, self._out.clock()):
                key = RevisionKey(namespace, agent, one.revision)
                acting.add(key)
                if one.begins or self._books.is_open(key):
                    await self._follow(release, key, one)
        for key in self._books.of(namespace, agent):
            if key not in acting:
                await self._settle(release, key)

    async def _follow(self, release: AgentRelease, key: RevisionKey, one: Followed) -> None:
        """Keep what a revision does while nobody knows yet how it will end."""
        account = await self._books.load(key)
        if account is None:
            return  # its AgentRevision is written a moment later
        if not self._books.collects(account, one):
            account = self._books.begin(account, one)
            await self._books.save(account)
        for named in release.spec.rollback.compensations:
            problem = self._out.hooks.problem(named.hook, key.namespace)
            if problem:
                self._books.warn(account, "CompensationImpossible", problem)
        if one.serves:
            if self._out.clock() - account.read_at < self._pace.watched:
                return
            await self._collector.let_go(account, one.counts_from)
        await self._collector.collect(account, release, one.counts_from)

    async def _settle(self, release: AgentRelease | None, key: RevisionKey) -> None:
        """Undo what a revision did, if it was taken back."""
        account = await self._books.load(key)
        if account is None or account.status.state not in OPEN:
            self._books.drop(key)
            return
        ended = taken_back(release, key.revision, account.status.since) if release else None
        if release is None or ended is None or ended.since is None:
            await self._books.end(account, "NotNeeded", _why_not(ended))
            return
        if account.status.state == "Collecting":
            begun = {"settling_since": self._out.clock(), "undone_from": ended.since, "drained": False}
            account.change(state="Undoing", **begun)
            await self._books.save(account)
        if not account.status.drained and not await self._drained(account, release, ended):
            return
        await self._undoer.undo(account, release)

    async def _drained(self, account: Account, release: AgentRelease, ended: TakenBack) -> bool:
        """Read the logs to their end, and return whether that is over.

        What served may act until its agents have taken up that they may not, so that long its logs are read.
        """
        since = account.status.undone_from or account.status.since
        read, now = await self._collector.collect(account, release, since), self._out.clock()
        if now < ended.until or (not read and now - account.status.settling_since < self._pace.drain):
            return False
        account.forgive(since)
        if not read:
            self._books.warn(account, "EffectsLost", "not every action log could be read to its end")
            account.lose(1, now)
        account.part()
        account.change(drained=True)
        await self._books.save(account)
        return True


def _why_not(ended: TakenBack | None) -> str:
    return "it was not rolled back" if ended is None else "the release wants nothing undone that served"
