"""Sinks: who is told of decisions by CloudEvents. Never on the safety path.

* ``decided`` returns at once and never raises; each sink has its own queue and its own task, so that
  a dead one delays neither the operator nor its neighbours.
* A sink hears events in their order. One that can't be delivered is tried again with growing pauses,
  for ``patience`` seconds; meanwhile others wait behind it.
* The queue is bounded. When it is full the oldest goes; what goes is counted, and the decision log
  has everything anyway.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from agentrelease.edges.announcing import announcements
from agentrelease.edges.posting import NotDelivered, Poster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agentrelease.api.release import AgentRelease
    from agentrelease.core.decision import Decision
    from agentrelease.edges.announcing import Announcement
    from agentrelease.edges.endpoints import SinkEndpoint

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """``queue`` events wait at most; pauses grow from ``first`` to ``longest``; all times in seconds."""

    queue: int = 1000
    first: float = 1.0
    longest: float = 60.0
    patience: float = 600.0
    farewell: float = 2.0


class Sink:
    """One sink's queue; delivers while its ``run`` lives. ``sent`` and ``dropped`` count since the start."""

    def __init__(
        self,
        endpoint: SinkEndpoint,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
        patience: Patience | None = None,
    ) -> None:
        self.name = endpoint.name
        self.sent = self.dropped = 0
        self._wanted = endpoint.types
        self._poster = Poster(endpoint)
        self._clock, self._jitter = clock, jitter
        self._patience = patience or Patience()
        self._queue: deque[Announcement] = deque()
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Events that are not delivered yet."""
        return len(self._queue)

    def offer(self, event: Announcement) -> None:
        """Take an event that the sink wants; the oldest goes where there is no room."""
        if self._wanted and not event.type.startswith(self._wanted):
            return
        if len(self._queue) >= self._patience.queue:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(event)
        self._changed.set()

    async def run(self) -> None:
        """Deliver until cancelled; then try, for a moment, to deliver what is still waiting."""
        try:
            while True:
                while self._queue:
                    await self._deliver(self._queue[0])
                self._changed.clear()
                await self._changed.wait()
        finally:
            with suppress(TimeoutError, NotDelivered):
                async with asyncio.timeout(self._patience.farewell):
                    while self._queue:
                        await self._post(self._queue[0])

    async def close(self) -> None:
        """Close connections; what still waits is given up."""
        self.dropped += len(self._queue)
        self._queue.clear()
        await self._poster.close()

    async def _deliver(self, event: Announcement) -> None:
        """Try until it is delivered, refused, out of patience, or pushed out of the queue."""
        begun, pause = self._clock(), self._patience.first
        while self._queue and self._queue[0] is event:
            try:
                await self._post(event)
            except NotDelivered as error:
                if not error.again or self._clock() - begun > self._patience.patience:
                    self._give_up(event, error)
                    return
                await asyncio.sleep(error.after or pause * (0.5 + self._jitter() / 2))
                pause = min(pause * 2, self._patience.longest)

    async def _post(self, event: Announcement) -> None:
        await self._poster.post(event.id, event.body, {"content-type": event.content_type})
        self.sent += 1
        self._leave(event)

    def _give_up(self, event: Announcement, error: NotDelivered) -> None:
        log.warning("event not delivered", sink=self.name, type=event.type, id=event.id, why=str(error))
        self.dropped += 1
        self._leave(event)

    def _leave(self, event: Announcement) -> None:
        if self._queue and self._queue[0] is event:
            self._queue.popleft()


class Sinks:
    """All sinks, as one more place where decisions are told."""

    def __init__(
        self,
        sinks: Iterable[Sink],
        *,
        origin: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.sinks = tuple(sinks)
        self._origin, self._now = origin, now

    def decided(self, release: AgentRelease, decision: Decision, epoch: int) -> None:
        """Offer a decision to every sink."""
        if not self.sinks:
            return
        try:
            told = announcements(release, decision, epoch, origin=self._origin, at=self._now())
        except Exception as error:  # this is called while exposure is being lowered
            log.exception("decision not told", release=release.key, why=type(error).__name__)
            return
        for event in told:
            self.offer(event)

    def offer(self, event: Announcement) -> None:
        """Offer one event to every sink."""
        for sink in self.sinks:
            sink.offer(event)

    async def close(self) -> None:
        """Close connections of every sink."""
        for sink in self.sinks:
            await sink.close()
