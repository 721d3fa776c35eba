"""Which release to look at next, with the semantics of client-go's work queues.

* Stingy: a key that is added several times before it is taken is handed out once.
* Exclusive: a key is never handed out twice at the same time; added while somebody works on it,
  it is handed out again after ``done``.
* Urgent first: bands go before order of arrival, and a key added twice keeps the more urgent band
  and the earlier time.
* Delayed: ``add_after`` waits. A key has one time: whatever makes it ready earlier swallows the wait,
  so work on a key ends by saying when to look again.
* Backing off: ``retry`` delays by the number of failures since ``forget``, with full jitter.
* Orderly at the end: ``shut_down`` accepts nothing more, hands out what is ready, drops what waits,
  and ``drained`` returns when the last key is done.

Read for this: client-go ``util/workqueue`` and controller-runtime ``pkg/controller/priorityqueue``.
One event loop; not for threads.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Key = TypeVar("Key", bound=Hashable)


class Band(IntEnum):
    """Why a key is in the queue; the smaller number goes first."""

    LOWER = 0
    CHANGE = 1
    TICK = 2
    RELIST = 3


class ShutDown(Exception):
    """The queue is closed and nothing is left to hand out."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays after failures: seconds between 0 and ``first`` · 2^(failures - 1), at most ``longest``."""

    first: float = 0.2
    longest: float = 60.0

    def delay(self, failures: int, random: Callable[[], float]) -> float:
        """Return seconds to wait after that many failures in a row; full jitter spreads a herd."""
        # the exponent is bounded, because 2.0 ** 1100 would overflow after a long outage
        return float(min(self.longest, self.first * 2.0 ** min(failures - 1, 60))) * random()


class WorkQueue(Generic[Key]):
    """Keys to work on. ``clock`` is the event loop's, in seconds; ``random`` is in [0, 1)."""

    def __init__(
        self, *, clock: Callable[[], float], random: Callable[[], float], backoff: Backoff | None = None
    ) -> None:
        self._clock = clock
        self._random = random
        self._backoff = backoff or Backoff()
        self._arrivals = count()
        self._ready: list[tuple[Band, int, Key]] = []
        self._waiting: list[tuple[float, int, Key, Band]] = []
        self._dirty: dict[Key, Band] = {}
        self._due: dict[Key, tuple[float, Band]] = {}
        self._processing: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._closed = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Count the keys that could be worked on now, if they aren't already."""
        return len(self._dirty)

    @property
    def waiting(self) -> int:
        """Count the keys that are due later."""
        return len(self._due)

    @property
    def processing(self) -> int:
        """Count the keys that somebody works on."""
        return len(self._processing)

    def add(self, key: Key, band: Band = Band.CHANGE) -> None:
        """Make a key ready now; nothing happens after ``shut_down``."""
        if self._closed:
            return
        due = self._due.pop(key, None)
        if due is not None:
            band = min(band, due[1])
        known = self._dirty.get(key)
        if known is not None and known <= band:
            return
        self._dirty[key] = band
        if key not in self._processing:
            heapq.heappush(self._ready, (band, next(self._arrivals), key))
            self._changed.set()

    def add_after(self, key: Key, delay: float, band: Band = Band.TICK) -> None:
        """Make a key ready in ``delay`` seconds; the earlier time and the more urgent band win."""
        if self._closed:
            return
        if delay <= 0 or key in self._dirty:
            self.add(key, band)
            return
        time = self._clock() + delay
        known = self._due.get(key)
        if known is not None:
            band = min(band, known[1])
            if known[0] <= time:
                self._due[key] = (known[0], band)
                return
        self._due[key] = (time, band)
        heapq.heappush(self._waiting, (time, next(self._arrivals), key, band))
        self._changed.set()

    def retry(self, key: Key, band: Band = Band.TICK) -> float:
        """Add a key after its back-off and return the delay in seconds."""
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        delay = self._backoff.delay(failures, self._random)
        self.add_after(key, delay, band)
        return delay

    def forget(self, key: Key) -> None:
        """Start the key's back-off anew; call it after a success, or when the key is gone."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Wait for the most urgent ready key, or raise ``ShutDown``; call ``done`` with it afterwards."""
        while True:
            self._promote()
            key = self._take()
            if key is not None:
                return key
            if self._closed and not self._dirty:
                raise ShutDown
            self._changed.clear()
            await self._wait()

    def done(self, key: Key) -> None:
        """Say that work on a key has ended; if it was added meanwhile, it is ready again."""
        self._processing.discard(key)
        band = self._dirty.get(key)
        if band is not None:
            heapq.heappush(self._ready, (band, next(self._arrivals), key))
        self._changed.set()

    def shut_down(self) -> None:
        """Accept nothing more and drop what waits; what is ready is still handed out."""
        self._closed = True
        self._due.clear()
        self._waiting.clear()
        self._changed.set()

    async def drained(self) -> None:
        """Wait until nothing is ready and nobody works; only meaningful after ``shut_down``."""
        while self._dirty or self._processing:
            self._changed.clear()
            await self._changed.wait()

    def _take(self) -> Key | None:
        while self._ready:
            band, _, key = heapq.heappop(self._ready)
            # a stale entry: the key was taken already, or came again in a more urgent band
            if self._dirty.get(key) != band or key in self._processing:
                continue
            del self._dirty[key]
            self._processing.add(key)
            self._changed.set()
            return key
        return None

    def _promote(self) -> None:
        now = self._clock()
        while self._waiting and self._waiting[0][0] <= now:
            time, _, key, _ = heapq.heappop(self._waiting)
            due = self._due.get(key)
            if due is not None and due[0] == time:
                self.add(key, due[1])

    async def _wait(self) -> None:
        """Sleep until something changes or the next delayed key is due."""
        timeout = self._waiting[0][0] - self._clock() if self._waiting else None
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return
