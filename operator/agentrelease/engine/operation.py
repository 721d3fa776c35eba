"""The running operator: ticks look at Prometheus, events and ticks fill the queue, workers reconcile.

Everything that arrives only wakes a release up. What is true is read when a worker looks at it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from agentrelease.engine.ports import ClusterError
from agentrelease.engine.queue import Band, ShutDown, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.engine.guarding import Guardian
    from agentrelease.engine.lookout import Lookout
    from agentrelease.engine.ports import Kind, Object, Recorder, Ref
    from agentrelease.engine.reconcile import Reconciler
    from agentrelease.engine.store import Store

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """``interval`` is seconds between looks; ``workers`` how many releases are looked at side by side.

    Looks are taken ``settle`` seconds after a block of evidence ends, on the same grid of the clock: a
    look at any other moment would leave the newest block lying for up to an interval. ``listening`` is
    seconds between two times that it is listened for what may not happen even once.
    """

    interval: float
    workers: int
    settle: float = 0.0
    listening: float = 1.0

    def until_next(self, now: float) -> float:
        """Return the seconds from ``now`` (unix) until the next look; never less than a tenth of one."""
        wait = self.interval - (now - self.settle) % self.interval
        return wait if wait > 0.1 * self.interval else wait + self.interval


@dataclass(frozen=True, slots=True)
class Machinery:
    """What an operation turns: who looks, at what, told by whom.

    ``clock`` is the event loop's, ``wall`` gives unix seconds.
    """

    reconciler: Reconciler
    lookout: Lookout
    guardian: Guardian
    store: Store
    queue: WorkQueue[str]
    recorder: Recorder
    clock: Callable[[], float]
    wall: Callable[[], float]
    release_kind: Kind


class Operation:
    """Ticks and workers around one queue."""

    def __init__(self, machinery: Machinery, rhythm: Rhythm) -> None:
        self._reconciler = machinery.reconciler
        self._lookout = machinery.lookout
        self._guardian = machinery.guardian
        self._store = machinery.store
        self._queue = machinery.queue
        self._recorder = machinery.recorder
        self._clock = machinery.clock
        self._wall = machinery.wall
        self._kind = machinery.release_kind
        self._rhythm = rhythm

    def wake(self, kind: Kind, namespace: str, name: str, event: str, _obj: Object) -> None:
        """Take an event of any watched kind: look at the release it is, or at those it may concern."""
        if kind == self._kind:
            key = f"{namespace}/{name}"
            if event == "DELETED":
                self._guardian.forget(key)
                self._lookout.forget(key)
                self._recorder.gone(key)
            self._queue.add(key, Band.CHANGE)
            return
        for ref in self._store.refs(self._kind, namespace or None):
            self._queue.add(_key(ref), Band.CHANGE)

    def wake_all(self) -> None:
        """Look at every release: whoever has just begun to lead may act on what it only watched before."""
        for ref in self._store.refs(self._kind):
            self._queue.add(_key(ref), Band.RELIST)

    async def ticks(self) -> None:
        """Look at Prometheus on a fixed rhythm and wake every release that has a candidate, for ever."""
        while True:
            await asyncio.sleep(self._rhythm.until_next(self._wall()))
            active = [ref for ref in self._store.refs(self._kind) if self._is_active(ref)]
            if active:
                await self._lookout.look()
                for ref in active:
                    self._queue.add(_key(ref), Band.TICK)

    async def alarms(self) -> None:
        """Listen between looks for what may not happen even once, and wake whom it concerns, for ever."""
        while True:
            await asyncio.sleep(self._rhythm.listening)
            for key in await self._lookout.listen():
                self._queue.add(key, Band.LOWER)

    async def workers(self) -> None:
        """Work until the queue is shut down and drained."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._rhythm.workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except ShutDown:
                return
            try:
                await self._look_at(key)
            finally:
                self._queue.done(key)

    async def _look_at(self, key: str) -> None:
        began = self._clock()
        try:
            result = await self._reconciler.reconcile(key)
        except ClusterError as error:
            # the more urgent band, because what failed may have been a lowering write
            delay = self._queue.retry(key, Band.LOWER)
            self._recorder.looked(key, self._clock() - began, "failed")
            why = f"{type(error).__name__}: {error}"
            log.warning("look failed", release=key, why=why, again_in=round(delay, 2))
            return
        except Exception as error:  # one release's bug must not stop the others
            delay = self._queue.retry(key)
            self._recorder.looked(key, self._clock() - began, "broke")
            log.exception("look broke", release=key, why=type(error).__name__, again_in=round(delay, 2))
            return
        self._recorder.looked(key, self._clock() - began, "done")
        self._queue.forget(key)
        if result.after is not None:
            self._queue.add_after(key, result.after, result.band)

    def _is_active(self, ref: Ref) -> bool:
        known = self._store.get(ref)
        return known is not None and (known.active or known.deleting)


def _key(ref: Ref) -> str:
    return f"{ref.namespace}/{ref.name}"
