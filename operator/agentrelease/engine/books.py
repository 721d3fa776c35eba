"""The open accounts: found, opened, written down and closed.

Everything is written down before it is relied on. What is stored counts: after anything that went wrong
an account is read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.revision import CompensationStatus
from agentrelease.core.compensation import Bits, older
from agentrelease.engine.account import Account
from agentrelease.engine.aftermath import OPEN

if TYPE_CHECKING:
    from agentrelease.core.accountable import Followed
    from agentrelease.engine.aftermath import Aftermath, RevisionKey


class Books:
    """All accounts that are not over; ``None`` for one that has to be read first."""

    def __init__(self, outside: Aftermath) -> None:
        self._out = outside
        self._open: dict[RevisionKey, Account | None] = {}

    async def search(self) -> None:
        """Find what other processes left open."""
        for key in await self._out.accounts.open():
            self._open.setdefault(key, None)

    def of(self, namespace: str, release: str) -> list[RevisionKey]:
        """Return the revisions of a release whose accounts are open."""
        return [key for key in self._open if (key.namespace, key.release) == (namespace, release)]

    def releases(self) -> set[str]:
        """Return the releases that have open accounts, as ``namespace/name``."""
        return {f"{key.namespace}/{key.release}" for key in self._open}

    def distrust(self, name: str) -> None:
        """Read a release's accounts again before anything is done about them."""
        for key in self.of(*name.split("/", 1)):
            self._open[key] = None

    async def load(self, key: RevisionKey) -> Account | None:
        """Return a revision's account, open or not; ``None`` where there is no such revision."""
        account = self._open.get(key)
        if account is not None:
            return account
        status = await self._out.accounts.status(key)
        if status is None:
            return None
        book = list(await self._out.accounts.book(key, status))
        stays = older(book, status.undone_from)
        torn = status.effects + status.older - len(book)
        if torn > 0:  # somebody deleted a part of it
            status = status.model_copy(
                update={
                    "lost": status.lost + torn,
                    "lost_until": self._out.clock(),
                    "older": len(stays),
                    "effects": len(book) - len(stays),
                    "undone_places": _within(status.undone_places, len(book)),
                    "failed_places": _within(status.failed_places, len(book)),
                }
            )
        account = self._open[key] = Account(key, status, book, {record.id for record in book}, stays)
        return account

    def begin(self, account: Account, one: Followed) -> Account:
        """Open an account of its own; how far the logs were read in an earlier one still counts."""
        status = CompensationStatus(
            state="Collecting", since=one.since, slot=one.slot, logs=account.status.logs
        )
        fresh = self._open[account.key] = Account(account.key, status, [], set())
        return fresh

    async def save(self, account: Account) -> None:
        """Write an account down."""
        await self._out.accounts.save(account.key, account.status, self._out.clock())
        self._out.recorder.account(account.key, account.status)

    async def end(self, account: Account, state: str, message: str) -> None:
        """Close an account."""
        account.change(state=state, message=message[:1024])
        await self.save(account)
        if state == "Incomplete":
            self._out.recorder.trouble(account.key, "CompensationIncomplete", message)
        self.drop(account.key)

    def drop(self, key: RevisionKey) -> None:
        """Look at an account no more."""
        self._open.pop(key, None)

    def is_open(self, key: RevisionKey) -> bool:
        """Whether an account is known to be not over."""
        return key in self._open

    def warn(self, account: Account, cause: str, why: str) -> None:
        """Tell a person, once."""
        if why not in account.warned:
            account.warned.add(why)
            self._out.recorder.trouble(account.key, cause, why)

    @staticmethod
    def collects(account: Account, one: Followed) -> bool:
        """Whether an account is the one of this rollout, or of the watch that followed it."""
        status = account.status
        if one.serves:
            return status.state == "Collecting" and status.since <= one.since + 0.001
        return status.state in OPEN and status.since == one.since


def _within(places: str, count: int) -> str:
    return str(Bits(Bits.from_text(places).value & ((1 << count) - 1)))
