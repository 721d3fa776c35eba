"""Reading agents' action logs, and keeping what would have to be undone.

A log is in its Pod's memory and goes with it, so it is read while the revision acts. Effects are written
down before how far the log was read: a crash in between reads them again, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.revision import ReadLog
from agentrelease.core.compensation import (
    MAX_EFFECTS,
    MAX_SERVED,
    PART,
    Bounds,
    belonging,
    missed,
    to_let_go,
)
from agentrelease.engine.aftermath import LogUnreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.bundle import Tool
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.vocabulary import Effect
    from agentrelease.core.compensation import EffectRecord
    from agentrelease.engine.account import Account
    from agentrelease.engine.aftermath import Aftermath, AgentPod, Pace
    from agentrelease.engine.books import Books


class Collector:
    """Brings accounts up to what their revisions' logs say."""

    def __init__(self, outside: Aftermath, pace: Pace, books: Books) -> None:
        self._out, self._pace, self._books = outside, pace, books

    async def collect(self, account: Account, release: AgentRelease, counts_from: float) -> bool:
        """Read every log as far as it goes; return whether all of them were read to their end."""
        slot = release.spec.delivery.slot(account.status.slot)
        if slot is None:
            return False
        key, complete = account.key, True
        pods = await self._out.logs.pods(key.namespace, slot, key.revision)
        bundle = await self._out.releases.bundle(key.namespace, key.revision)
        classes: frozenset[Effect] = frozenset(c.effect for c in release.spec.rollback.compensations)
        bounds = Bounds(key.revision, counts_from, classes)
        before = account.status
        for pod in pods:
            try:
                complete &= await self._read(account, pod, bounds, bundle.tools if bundle else ())
            except LogUnreadable as error:
                complete = False
                self._out.recorder.failed(f"{key.namespace}/{key.release}", "action log", str(error))
        self._end_logs(account, {pod.name for pod in pods})
        account.read_at = self._out.clock()
        if account.status != before:
            await self._books.save(account)
        return complete

    async def let_go(self, account: Account, counts_from: float) -> None:
        """Forget what has become too old to be undone; the oldest first where there is too much."""
        account.forgive(counts_from)
        count, over = to_let_go(account.book, counts_from), len(account.book) - MAX_SERVED
        if over > count:
            count = -(-over // PART) * PART
            newest = max(record.moment for record in account.book[:count])
            account.lose(0 if account.status.lost else 1, newest)
            why = f"more than {MAX_SERVED} effects within the compensation window"
            self._books.warn(account, "EffectsLost", f"{why}: the oldest are let go")
        if not count:
            return
        account.book = account.book[count:]
        account.known = {record.id for record in account.book}
        account.change(first=account.status.first + count, effects=len(account.book))
        await self._books.save(account)  # before a new part takes the place of one that went

    def _end_logs(self, account: Account, there: set[str]) -> None:
        for log in account.status.logs:
            if log.pod not in there and not log.gone:
                self._end_log(account, log)

    def _end_log(self, account: Account, log: ReadLog) -> None:
        account.put(log.model_copy(update={"gone": True, "gone_at": self._out.clock()}))

    async def _read(self, account: Account, pod: AgentPod, bounds: Bounds, tools: Sequence[Tool]) -> bool:
        """Read one log from where it was left; return whether its end was reached."""
        for _ in range(self._pace.pages):
            known = next((log for log in account.status.logs if log.pod == pod.name and not log.gone), None)
            page = await self._out.logs.page(pod, known.next if known else 0)
            if known is not None and page.log != known.log:  # another process under the same name
                self._end_log(account, known)
                known = None
                page = await self._out.logs.page(pod, 0)
            again = next((log for log in account.status.logs if log.log == page.log), None)
            new = list(belonging(page.records, bounds, tools, account.known))
            room = max(0, MAX_EFFECTS - len(account.book))
            lost = missed(again.next if again else 0, page.first) + len(new[room:])
            if lost:
                account.lose(lost, self._out.clock())
                self._out.recorder.trouble(
                    account.key, "EffectsLost", f"{lost} records of {pod.name} are gone, or too many to keep"
                )
            await self._keep(account, new[:room])
            account.put(ReadLog(pod=pod.name, log=page.log, next=page.next))
            if page.last:
                return True
        return False

    async def _keep(self, account: Account, new: Sequence[EffectRecord]) -> None:
        if not new:
            return
        await self._out.accounts.append(account.key, account.status, account.book, new)
        account.book += new
        account.known |= {record.id for record in new}
        account.change(effects=len(account.book))
