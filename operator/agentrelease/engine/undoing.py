"""Calling hooks until each effect of an account is undone, refused or given up.

Each result is stored before the account goes on; what was called and not stored is called again under the
same key.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentrelease.api.revision import MAX_FAILURES, CompensationFailure
from agentrelease.core.compensation import Bits, due
from agentrelease.core.instants import stamp
from agentrelease.engine.account import missing
from agentrelease.engine.aftermath import Call, HookFailed

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.vocabulary import Effect
    from agentrelease.engine.account import Account
    from agentrelease.engine.aftermath import Aftermath, Pace
    from agentrelease.engine.books import Books


class Undoer:
    """Undoes what is in an account, newest first."""

    def __init__(self, outside: Aftermath, pace: Pace, books: Books) -> None:
        self._out, self._pace, self._books = outside, pace, books

    async def undo(self, account: Account, release: AgentRelease) -> None:
        """Call what may be called now, and close the account when nothing is left."""
        hooks: dict[Effect, str] = {c.effect: c.hook for c in release.spec.rollback.compensations}
        while True:
            now = self._out.clock()
            places = list(due(account.book, account.settled(), account.waiting, now))
            places = places[: self._pace.parallel]
            if not places:
                break
            await asyncio.gather(*(self._call(account, place, hooks) for place in places))
            await self._books.save(account)
        if len(account.settled()) >= len(account.book):
            await self._close(account)

    async def _close(self, account: Account) -> None:
        status = account.status
        unread = [log for log in status.logs if log.gone]
        if status.failed or status.lost or unread:
            await self._books.end(account, "Incomplete", missing(status, unread))
        else:
            await self._books.end(account, "Done", f"{status.undone} effects are undone")

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
        account.change(undone_places=str(places), undone=len(places))
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
            self._books.warn(account, "CompensationFailing", f"{error}; it is tried again")

    def _fail(self, account: Account, place: int, hook: str, why: str) -> None:
        record, status = account.book[place], account.status
        places = Bits.from_text(status.failed_places).with_(place)
        at = stamp(self._out.clock())
        failure = CompensationFailure(effect=record.id, tool=record.tool, reason=why[:256], at=at)
        account.change(
            failed_places=str(places),
            failed=len(places),
            failures=[*status.failures[-(MAX_FAILURES - 1) :], failure],
        )
        self._out.recorder.undone(account.key, hook, "failed")
        self._out.recorder.trouble(
            account.key, "CompensationFailed", f"{record.tool} ({record.id}) is not undone: {why}"
        )
