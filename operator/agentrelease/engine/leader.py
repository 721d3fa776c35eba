"""Who may raise exposure: one holder of a Lease, in the way of client-go's leader election.

* Others respect a holder for ``lease_duration`` after they saw its Lease change, by their own
  monotonic clock; no two machines' clocks are ever compared.
* The holder renews every ``retry_period`` and stops leading by itself ``renew_deadline`` after the
  last renewal *was sent*. ``epoch`` asks the clock each time, so a process that was stopped for a
  minute knows, at the first look, that it may no longer raise.
* Every acquisition has a higher ``epoch`` (the Lease's transitions) than all before; where the Lease
  was deleted, than all that objects carry (``floor``).
* Lost is lost: this process never acquires again. It is expected to end.
* Leaving in good order releases the Lease, so that a standby takes over within a retry.

A Lease is no lock: a paused holder may still have a request on its way. The resourceVersion of every
write and the epoch on every object are the fence; this module only decides who may try.
Lowering exposure never asks it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import structlog

from agentrelease.engine.lease import Sight, claim, micro_time
from agentrelease.engine.ports import ClusterError, Conflict, Missing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from agentrelease.engine.lease import Candidacy
    from agentrelease.engine.ports import Cluster, Object

log = structlog.get_logger(__name__)


class Leader:
    """Stands for election while its ``async with`` block lasts.

    ``clock`` is monotonic seconds, ``now`` the time that is written down for people, ``random`` in
    [0, 1) spreads rivals, ``floor`` the highest epoch seen on any object. It stands only once
    ``informed`` is set: before the first list nobody knows the floor.
    """

    def __init__(
        self,
        cluster: Cluster,
        candidacy: Candidacy,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        floor: Callable[[], int] = lambda: 0,
        informed: asyncio.Event | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._candidacy = candidacy
        self._clock = clock
        self._random = random
        self._floor = floor
        self._informed = informed
        self._now = now
        self._held: Object | None = None
        self._renewed_at = float("-inf")
        self._sight: Sight | None = None
        self._acquired = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None

    @property
    def epoch(self) -> int | None:
        """The number that raising writes carry; ``None`` while this process may not raise."""
        if self._held is None or self._clock() - self._renewed_at >= self._candidacy.renew_deadline:
            return None
        return int(self._held["spec"]["leaseTransitions"])

    async def acquired(self) -> int:
        """Wait until this process leads, and return its epoch."""
        await self._acquired.wait()
        epoch = self.epoch
        return epoch if epoch is not None else 0

    async def lost(self) -> None:
        """Wait until the leadership is over, lost or given back; the process should end then."""
        if self._task is None:
            raise RuntimeError("a leader is lost only after its election has begun")
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._stand(), name="leader election")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._release()

    async def _stand(self) -> None:
        if self._informed is not None:
            await self._informed.wait()
        while True:
            if await self._attempt(self._acquire):
                break
            await asyncio.sleep(self._candidacy.retry_period * (1 + 0.2 * self._random()))
        self._acquired.set()
        log.info("leading", epoch=self.epoch, identity=self._candidacy.identity)
        while self.epoch is not None:
            await asyncio.sleep(self._candidacy.retry_period)
            if not await self._attempt(self._renew):
                break
        log.error(
            "leadership lost", identity=self._candidacy.identity, why=self.problem or "not renewed in time"
        )
        self._held = None

    async def _attempt(self, step: Callable[[], Awaitable[bool]]) -> bool:
        """Take one step within the deadline; a failure is remembered and tried again by the caller."""
        budget = self._candidacy.renew_deadline / 2
        if self._held is not None:
            budget = min(budget, self._renewed_at + self._candidacy.renew_deadline - self._clock())
        try:
            async with asyncio.timeout(budget):
                done = await step()
        except (ClusterError, TimeoutError) as error:
            problem = f"{type(error).__name__}: {error}"
            if problem != self.problem:
                log.warning("lease not reached", why=problem)
            self.problem = problem
            return self._held is not None  # while it is held, only the deadline or a rival ends it
        if done:
            self.problem = None
        return done

    async def _acquire(self) -> bool:
        stored = await self._cluster.get(self._candidacy.lease)
        if stored is not None and not self._expired(stored):
            return False
        sent = self._clock()
        transitions = int((stored or {}).get("spec", {}).get("leaseTransitions") or 0)
        at = self._now()
        wanted = self._candidacy.record(
            stored, epoch=max(transitions, self._floor()) + 1, at=at, acquired=micro_time(at)
        )
        try:
            write = self._cluster.replace if stored else self._cluster.create
            self._held = await write(wanted)
        except Conflict:
            return False
        self._renewed_at = sent
        return True

    async def _renew(self) -> bool:
        """Renew; return False only when somebody else holds the Lease, or nobody can."""
        held = self._held
        if held is None:
            return False
        try:
            await self._extend(held)
        except Missing:
            self.problem = "the Lease was deleted"
            return False
        except Conflict:
            return await self._recover(held)
        return True

    async def _recover(self, held: Object) -> bool:
        """After a Conflict: either an own renewal was stored and its reply lost, or a rival took over."""
        stored = await self._cluster.get(self._candidacy.lease)
        if stored is None or claim(stored) != claim(held):
            self.problem = (
                f"the Lease is held by {stored['spec'].get('holderIdentity')!r}" if stored else "deleted"
            )
            return False
        await self._extend(stored)
        return True

    async def _extend(self, stored: Object) -> None:
        sent = self._clock()
        spec = stored["spec"]
        self._held = await self._cluster.replace(
            self._candidacy.record(
                stored, epoch=spec["leaseTransitions"], at=self._now(), acquired=spec.get("acquireTime", "")
            )
        )
        self._renewed_at = sent

    def _expired(self, stored: Object) -> bool:
        """Tell whether a Lease may be taken: free, our own from an earlier life, or not renewed."""
        spec = stored.get("spec") or {}
        version = stored["metadata"]["resourceVersion"]
        if self._sight is None or self._sight.version != version:
            self._sight = Sight(version, self._clock())
        if spec.get("holderIdentity", "") in ("", self._candidacy.identity):
            return True
        duration = max(float(spec.get("leaseDurationSeconds") or 0), self._candidacy.lease_duration)
        return self._clock() - self._sight.at > duration

    async def _release(self) -> None:
        """Give the Lease back, so that nobody has to wait for it; failing to is no loss but time."""
        held, self._held = self._held, None
        if held is None:
            return
        with suppress(ClusterError, TimeoutError):
            async with asyncio.timeout(self._candidacy.renew_deadline / 2):
                await self._give_back(held)

    async def _give_back(self, held: Object) -> None:
        at = self._now()
        try:
            await self._cluster.replace(self._candidacy.released(held, at=at))
        except Conflict:
            # a renewal that was cancelled on the way may have been stored
            stored = await self._cluster.get(self._candidacy.lease)
            if stored is not None and claim(stored) == claim(held):
                await self._cluster.replace(self._candidacy.released(stored, at=at))
