"""What undoing effects needs from the outside, as small protocols and values.

Each protocol has one production implementation under ``edges/`` and is satisfied structurally, as in
``ports.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agentrelease.api.delivery import Slot
    from agentrelease.api.revision import CompensationStatus
    from agentrelease.core.compensation import EffectRecord
    from agentrelease.engine.ports import Releases

OPEN = frozenset({"Collecting", "Undoing"})
"""States of an account that is not over."""


class LogUnreadable(Exception):
    """A Pod did not give a page of its log; the text says why."""


class HookFailed(Exception):
    """An effect is not undone yet.

    ``again`` says whether calling again can help, ``after`` in how many seconds; ``working`` that
    nothing failed: the hook needs its time.
    """

    def __init__(self, why: str, *, again: bool, after: float | None = None, working: bool = False) -> None:
        super().__init__(why)
        self.again, self.after, self.working = again, after, working


@dataclass(frozen=True, slots=True)
class AgentPod:
    """One process that keeps a log, and where it listens."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page of a log. ``first`` is the oldest record it still has, ``next`` the cursor after this page."""

    log: str
    first: int
    next: int
    records: tuple[EffectRecord, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One effect to undo, and whose."""

    namespace: str
    release: str
    revision: str
    effect: EffectRecord


@dataclass(frozen=True, slots=True)
class RevisionKey:
    """A revision and the release that it belongs to."""

    namespace: str
    release: str
    revision: str


class ActionLogs(Protocol):
    """The agents' action logs."""

    async def pods(self, namespace: str, slot: Slot, revision: str) -> Sequence[AgentPod]:
        """Return the Pods of a slot that run a revision."""

    async def page(self, pod: AgentPod, since: int) -> LogPage:
        """Read one page; raises ``LogUnreadable``."""


class Accounts(Protocol):
    """Where it is written down what was seen and what is undone."""

    async def open(self) -> Sequence[RevisionKey]:
        """Return every revision whose compensations are not over."""

    async def status(self, key: RevisionKey) -> CompensationStatus | None:
        """Return what is known of a revision; ``None`` where there is no such revision."""

    async def save(self, key: RevisionKey, status: CompensationStatus, now: float) -> None:
        """Write it down."""

    async def book(self, key: RevisionKey, status: CompensationStatus) -> Sequence[EffectRecord]:
        """Return an account's effects in the order of their places, without those that were let go."""

    async def append(
        self,
        key: RevisionKey,
        status: CompensationStatus,
        book: Sequence[EffectRecord],
        new: Sequence[EffectRecord],
    ) -> None:
        """Keep ``new`` behind ``book``, as far as it was not let go."""


class Hooks(Protocol):
    """What undoes effects."""

    def problem(self, name: str, namespace: str) -> str:
        """Say why a release of this namespace can't use a hook; empty when it can."""

    async def call(self, name: str, call: Call) -> None:
        """Undo one effect; returns when it is undone, raises ``HookFailed`` otherwise."""


class AftermathRecorder(Protocol):
    """Where it is told how undoing goes. Never raises."""

    def undone(self, key: RevisionKey, hook: str, result: str) -> None:
        """Tell one call of a hook: ``undone``, ``again`` or ``failed``."""

    def trouble(self, key: RevisionKey, cause: str, why: str) -> None:
        """Tell a person what needs one."""

    def account(self, key: RevisionKey, status: CompensationStatus) -> None:
        """Tell where a revision's compensations stand."""

    def failed(self, key: str, what: str, why: str) -> None:
        """Tell that something did not work and will be tried again."""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """Everything a compensator talks to.

    ``active`` names the releases that have a candidate; ``clock`` is Unix time.
    """

    releases: Releases
    accounts: Accounts
    logs: ActionLogs
    hooks: Hooks
    recorder: AftermathRecorder
    active: Callable[[], Iterable[str]]
    leading: Callable[[], bool]
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long, in seconds.

    ``round`` lies between two looks, ``watched`` between two readings of what was promoted and is watched,
    ``search`` between two searches for open accounts; unreadable logs
    are given up after ``drain``; the pauses of a failing hook grow from ``first`` to ``longest`` until
    ``give_up``, and after ``alert`` failures somebody is told. ``parallel`` bounds releases at once, and
    calls of one release; ``pages`` those of one log in one look.
    """

    round: float = 2.0
    watched: float = 10.0
    search: float = 300.0
    drain: float = 120.0
    first: float = 1.0
    longest: float = 300.0
    give_up: float = 86_400.0
    alert: int = 3
    parallel: int = 4
    pages: int = 20
