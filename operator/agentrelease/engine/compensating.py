"""Undoing what a rolled-back candidate did to the world: last in the order of a rollback, and apart from it.

* While a candidate rolls out, its Pods' action logs are read and what would have to be undone is kept:
  a Pod that goes takes its log with it.
* When its rollback is over (the release has refused the revision, and it is a candidate no more), the
  logs are read to their end, and each effect's hook is called until it says that the effect is undone.
* Everything is written down before it is relied on; a process that was killed leaves a record from
  which the next one goes on, with the same idempotency keys. Delivery is at least once.
* A candidate that was promoted or replaced ends with nothing undone: nobody found its effects wrong.
* What can't be undone from here is counted and told: lost records, logs that ended unread, refusals.

Own task, own connections: no look at a release waits for any of this.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from agentrelease.api.revision import MAX_FAILURES, CompensationFailure, CompensationStatus, ReadLog
from agentrelease.core.compensation import MAX_EFFECTS, Bits, Bounds, belonging, due, missed
from agentrelease.core.instants import stamp
from agentrelease.engine.account import Account, missing, put, rolled_back, settled
from agentrelease.engine.aftermath import OPEN, Call, HookFailed, LogUnreadable, Pace, RevisionKey
from agentrelease.engine.ports import ClusterError, Unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.bundle import Tool
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.vocabulary import Effect
    from agentrelease.core.compensation import EffectRecord
    from agentrelease.engine.aftermath import Aftermath, AgentPod

log = structlog.get_logger(__name__)


class Compensator:
    """Looks after all open accounts, in rounds; ``run`` until cancelled."""

    def __init__(self, outside: Aftermath, pace: Pace | None = None) -> None:
        self._out = outside
        self._pace = pace or Pace()
        self._open: dict[RevisionKey, Account | None] = {}
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
        waiting = {f"{key.namespace}/{key.release}" for key in self._open}
        await asyncio.gather(*(self._attend(key) for key in sorted(waiting | set(self._out.active()))))

    async def _search(self) -> None:
        now = self._out.clock()
        if now - self._searched < self._pace.search:
            return
        for key in await self._out.accounts.open():
            self._open.setdefault(key, None)
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
        for key in [k for k in self._open if f"{k.namespace}/{k.release}" == name]:
            self._open[key] = None  # what is stored counts: it is read again

    async def _visit(self, name: str) -> None:
        namespace, _, agent = name.partition("/")
        release = await self._out.releases.get(name)
        candidate = release.status.candidate if release else None
        now_rolling = None
        if release is not None and candidate is not None:
            now_rolling = RevisionKey(namespace, agent, candidate.revision)
            if release.spec.rollback.compensations:
                await self._follow(release, now_rolling)
        for key in [k for k in self._open if (k.namespace, k.release) == (namespace, agent)]:
            if key != now_rolling:
                await self._settle(release, key)

    # ---- while it rolls out ------------------------------------------------------------------------

    async def _follow(self, release: AgentRelease, key: RevisionKey) -> None:
        account = await self._load(key)
        candidate = release.status.candidate
        assert candidate is not None
        if account is None:
            return  # its AgentRevision is written a moment later
        began = account.status.state in OPEN and account.status.since == candidate.started_at
        if not began:
            account = self._begin(account, since=candidate.started_at, slot=candidate.slot)
            await self._save(account)
        for one in release.spec.rollback.compensations:
            problem = self._out.hooks.problem(one.hook, key.namespace)
            if problem:
                self._warn(account, "CompensationImpossible", problem)
        await self._collect(account, release)

    def _begin(self, account: Account, *, since: float, slot: str) -> Account:
        """A rollout of its own; how far the logs were read in an earlier one still counts."""
        status = CompensationStatus(state="Collecting", since=since, slot=slot, logs=account.status.logs)
        fresh = Account(account.key, status, [], set())
        self._open[account.key] = fresh
        return fresh

    async def _load(self, key: RevisionKey) -> Account | None:
        account = self._open.get(key)
        if account is not None:
            return account
        status = await self._out.accounts.status(key)
        if status is None:
            return None
        book = list(await self._out.accounts.book(key, status.since))
        if len(book) < status.effects:  # somebody deleted a part of it
            kept = (1 << len(book)) - 1
            status = status.model_copy(
                update={
                    "lost": status.lost + status.effects - len(book),
                    "effects": len(book),
                    "undone_places": str(Bits(Bits.from_text(status.undone_places).value & kept)),
                    "failed_places": str(Bits(Bits.from_text(status.failed_places).value & kept)),
                }
            )
        account = self._open[key] = Account(key, status, book, {record.id for record in book})
        return account

    async def _collect(self, account: Account, release: AgentRelease) -> bool:
        """Read every log as far as it goes; return whether all of them were read to their end."""
        slot = release.spec.delivery.slot(account.status.slot)
        if slot is None:
            return False
        key, complete = account.key, True
        pods = await self._out.logs.pods(key.namespace, slot, key.revision)
        bundle = await self._out.releases.bundle(key.namespace, key.revision)
        classes: frozenset[Effect] = frozenset(c.effect for c in release.spec.rollback.compensations)
        bounds = Bounds(key.revision, account.status.since, classes)
        before = account.status
        for pod in pods:
            try:
                complete &= await self._read(account, pod, bounds, bundle.tools if bundle else ())
            except LogUnreadable as error:
                complete = False
                self._out.recorder.failed(f"{key.namespace}/{key.release}", "action log", str(error))
        there = {pod.name for pod in pods}
        logs = [
            log if log.pod in there or log.gone else log.model_copy(update={"gone": True})
            for log in account.status.logs
        ]
        account.status = account.status.model_copy(update={"logs": logs})
        if account.status != before:
            await self._save(account)
        return complete

    async def _read(self, account: Account, pod: AgentPod, bounds: Bounds, tools: Sequence[Tool]) -> bool:
        """Read one log from where it was left; return whether its end was reached."""
        for _ in range(self._pace.pages):
            known = next((log for log in account.status.logs if log.pod == pod.name and not log.gone), None)
            page = await self._out.logs.page(pod, known.next if known else 0)
            if known is not None and page.log != known.log:  # another process under the same name
                put(account, known.model_copy(update={"gone": True}))
                known = None
                page = await self._out.logs.page(pod, 0)
            again = next((log for log in account.status.logs if log.log == page.log), None)
            cursor = again.next if again else 0
            new = list(belonging(page.records, bounds, tools, account.known))
            room = MAX_EFFECTS - len(account.book)
            kept, over = new[: max(0, room)], len(new) - max(0, room)
            lost = missed(cursor, page.first) + max(0, over)
            if lost:
                self._out.recorder.trouble(
                    account.key, "EffectsLost", f"{lost} records of {pod.name} are gone, or too many to keep"
                )
            await self._keep(account, kept)
            put(account, ReadLog(pod=pod.name, log=page.log, next=page.next))
            account.status = account.status.model_copy(update={"lost": account.status.lost + lost})
            if page.last:
                return True
        return False

    async def _keep(self, account: Account, new: Sequence[EffectRecord]) -> None:
        """Effects first, then how far the log was read: a crash in between reads them again, once."""
        if not new:
            return
        await self._out.accounts.append(account.key, account.status.since, account.book, new)
        account.book += new
        account.known |= {record.id for record in new}
        account.status = account.status.model_copy(update={"effects": len(account.book)})

    # ---- after its rollback --------------------------------------------------------------------------

    async def _settle(self, release: AgentRelease | None, key: RevisionKey) -> None:
        account = await self._load(key)
        if account is None or account.status.state not in OPEN:
            self._open.pop(key, None)
            return
        if release is None or not rolled_back(release, key.revision, account.status.since):
            await self._end(account, "NotNeeded", "it was not rolled back")
            return
        now = self._out.clock()
        if account.status.state == "Collecting":
            update = {"state": "Undoing", "settling_since": now, "drained": False}
            account.status = account.status.model_copy(update=update)
            await self._save(account)
        if not account.status.drained:
            read = await self._collect(account, release)
            if not read and now - account.status.settling_since < self._pace.drain:
                return
            if not read:
                self._warn(account, "EffectsLost", "not every action log could be read to its end")
                lost = account.status.lost + 1
                account.status = account.status.model_copy(update={"lost": lost})
            account.status = account.status.model_copy(update={"drained": True})
            await self._save(account)
        await self._undo(account, release)

    async def _undo(self, account: Account, release: AgentRelease) -> None:
        hooks: dict[Effect, str] = {c.effect: c.hook for c in release.spec.rollback.compensations}
        while True:
            now = self._out.clock()
            places = list(due(account.book, settled(account.status), account.waiting, now))
            places = places[: self._pace.parallel]
            if not places:
                break
            await asyncio.gather(*(self._call(account, place, hooks) for place in places))
            await self._save(account)
        status = account.status
        if len(settled(status)) >= len(account.book):
            unread = [log for log in status.logs if log.gone]
            if status.failed or status.lost or unread:
                await self._end(account, "Incomplete", missing(status, unread))
            else:
                await self._end(account, "Done", f"{status.undone} effects are undone")

    async def _call(self, account: Account, place: int, hooks: dict[Effect, str]) -> None:
        record, key = account.book[place], account.key
        hook = hooks.get(record.effect)
        if hook is None:
            why = f"the release names no hook for {record.effect} any more"
            self._fail(account, place, "", why)
            return
        try:
            await self._out.hooks.call(hook, Call(key.namespace, key.release, key.revision, record))
        except HookFailed as error:
            self._again(account, place, hook, error)
            return
        places = Bits.from_text(account.status.undone_places).with_(place)
        update = {"undone_places": str(places), "undone": len(places)}
        account.status = account.status.model_copy(update=update)
        self._out.recorder.undone(key, hook, "undone")

    def _again(self, account: Account, place: int, hook: str, error: HookFailed) -> None:
        now = self._out.clock()
        if not error.again or now - account.status.settling_since > self._pace.give_up:
            self._fail(account, place, hook, str(error))
            return
        if error.working:
            account.waiting[place] = now + (error.after or self._pace.first)
            return
        tries = account.tries[place]
        account.tries[place] += 1
        account.waiting[place] = now + (error.after or min(self._pace.first * 2**tries, self._pace.longest))
        self._out.recorder.undone(account.key, hook, "again")
        if account.tries[place] >= self._pace.alert:
            self._warn(account, "CompensationFailing", f"{error}; it is tried again")

    def _fail(self, account: Account, place: int, hook: str, why: str) -> None:
        record, status = account.book[place], account.status
        places = Bits.from_text(status.failed_places).with_(place)
        at = stamp(self._out.clock())
        failure = CompensationFailure(effect=record.id, tool=record.tool, reason=why[:256], at=at)
        account.status = status.model_copy(
            update={
                "failed_places": str(places),
                "failed": len(places),
                "failures": [*status.failures[-(MAX_FAILURES - 1) :], failure],
            }
        )
        self._out.recorder.undone(account.key, hook, "failed")
        self._out.recorder.trouble(
            account.key, "CompensationFailed", f"{record.tool} ({record.id}) is not undone: {why}"
        )

    async def _end(self, account: Account, state: str, message: str) -> None:
        account.status = account.status.model_copy(update={"state": state, "message": message[:1024]})
        await self._save(account)
        if state == "Incomplete":
            self._out.recorder.trouble(account.key, "CompensationIncomplete", message)
        self._open.pop(account.key, None)

    async def _save(self, account: Account) -> None:
        await self._out.accounts.save(account.key, account.status, self._out.clock())
        self._out.recorder.account(account.key, account.status)

    def _warn(self, account: Account, cause: str, why: str) -> None:
        if why not in account.warned:
            account.warned.add(why)
            self._out.recorder.trouble(account.key, cause, why)
