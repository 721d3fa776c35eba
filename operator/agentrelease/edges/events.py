"""Kubernetes Events about releases: for people who type ``kubectl describe``, never for safety.

* ``tell`` returns at once and never raises; a background task writes.
* The same words about the same object become one Event with a series count, written at most once
  per ``quiet`` seconds.
* Each object has a budget of new Events, refilled slowly, as in client-go's spam filter; the queue
  is bounded. What doesn't fit is dropped and counted: the decision log has everything anyway.
* A write that fails is tried once more, then dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog

from agentrelease.edges.kinds import EVENT
from agentrelease.engine.lease import micro_time
from agentrelease.engine.ports import ClusterError, Conflict, Missing, Ref, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.engine.ports import Cluster, Object

log = structlog.get_logger(__name__)

CONTROLLER = "agentrelease.dev/operator"
_LONGEST_NOTE = 1000  # bytes; the API allows 1024


class Severity(StrEnum):
    """The two types the API server accepts."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Told:
    """One thing to tell about one object: ``reason`` is a CamelCase word, ``action`` what was done."""

    about: Ref
    uid: str
    severity: Severity
    reason: str
    action: str
    note: str


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be written; counts and seconds.

    ``burst`` new Events per object at once, one more every ``refill``; ``queue`` waiting at most;
    an unchanged Event is updated at most every ``quiet`` and starts anew after ``fresh``.
    """

    burst: int = 25
    refill: float = 30.0
    queue: int = 500
    remembered: int = 1000
    quiet: float = 10.0
    fresh: float = 360.0
    farewell: float = 2.0


@dataclass(slots=True)
class Series:
    """One Event on the API server and what has happened since it was written."""

    told: Told
    name: str
    first: datetime
    last: datetime
    count: int = 1
    written: int = 0
    written_at: float = field(default=float("-inf"))


@dataclass(slots=True)
class Purse:
    """One object's budget of new Events."""

    left: float
    at: float


class EventWriter:
    """Writes Events in the background while its ``run`` lives; ``dropped`` counts what was given up."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        instance: str,
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        budget: Budget | None = None,
    ) -> None:
        self._cluster = cluster
        self._instance = instance
        self._clock = clock
        self._now = now
        self._budget = budget or Budget()
        self._series: OrderedDict[Told, Series] = OrderedDict()
        self._purses: OrderedDict[Ref, Purse] = OrderedDict()
        self._due: OrderedDict[Told, None] = OrderedDict()
        self._changed = asyncio.Event()
        self.dropped = 0

    def tell(self, told: Told) -> None:
        """Take a message; it is written soon, counted into a series, or dropped."""
        series = self._series.get(told)
        now, clock = self._now(), self._clock()
        if series is not None and clock - series.written_at < self._budget.fresh:
            series.count += 1
            series.last = now
        elif self._affordable(told.about, clock) and len(self._due) < self._budget.queue:
            name = f"{told.about.name[:200]}.{uuid4().hex[:16]}"
            self._series[told] = Series(told, name, first=now, last=now)
            _trim(self._series, self._budget.remembered)
        else:
            self.dropped += 1
            return
        self._due[told] = None
        self._changed.set()

    async def run(self) -> None:
        """Write until cancelled; then try, for a moment, to write what is still waiting."""
        try:
            while True:
                self._changed.clear()
                pause = await self._write_due(hurry=False)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._changed.wait()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._budget.farewell):
                    await self._write_due(hurry=True)

    async def _write_due(self, *, hurry: bool) -> float | None:
        """Write what may be written now; return seconds until the next may, ``None`` if none waits."""
        pause: float | None = None
        for told in list(self._due):
            series = self._series.get(told)
            wait = series.written_at + self._budget.quiet - self._clock() if series else 0.0
            if wait > 0 and not hurry:
                pause = wait if pause is None else min(pause, wait)
                continue
            del self._due[told]
            if series is not None:
                try:
                    await self._write(series)
                except asyncio.CancelledError:
                    self._due[told] = None  # for the farewell; a name that is taken then is our own
                    raise
        return pause

    async def _write(self, series: Series) -> None:
        for attempt in (1, 2):
            count, series.written_at = series.count, self._clock()
            try:
                await self._send(series)
            except Missing:
                if not series.written:
                    break  # the namespace is gone, and its Events with it
                series.written = 0  # the Event has expired; write it anew
            except Conflict:
                series.written = count  # stored by an earlier attempt, whose reply was lost
                return
            except Unavailable as error:
                if attempt == 2:
                    log.info("event dropped", about=str(series.told.about), why=str(error))
            except ClusterError as error:
                log.warning("event refused", about=str(series.told.about), why=str(error))
                break
            else:
                series.written = count
                return
        self.dropped += 1

    async def _send(self, series: Series) -> None:
        told = series.told
        namespace = told.about.namespace or "default"
        if series.written:
            again = {"count": series.count, "lastObservedTime": micro_time(series.last)}
            await self._cluster.merge(Ref(EVENT, namespace, series.name), {"series": again})
            return
        await self._cluster.create(self._event(series, namespace))

    def _event(self, series: Series, namespace: str) -> Object:
        told = series.told
        event: Object = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.name,
            "metadata": {"name": series.name, "namespace": namespace},
            "eventTime": micro_time(series.first),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128],
            "type": str(told.severity),
            "reason": told.reason[:128],
            "action": told.action[:128],
            "note": told.note.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "regarding": {
                "apiVersion": told.about.kind.api_version,
                "kind": told.about.kind.name,
                "namespace": told.about.namespace,
                "name": told.about.name,
                "uid": told.uid,
            },
        }
        if series.count > 1:
            event["series"] = {"count": series.count, "lastObservedTime": micro_time(series.last)}
        return event

    def _affordable(self, about: Ref, clock: float) -> bool:
        purse = self._purses.setdefault(about, Purse(float(self._budget.burst), clock))
        purse.left = min(self._budget.burst, purse.left + (clock - purse.at) / self._budget.refill)
        purse.at = clock
        _trim(self._purses, self._budget.remembered)
        if purse.left < 1:
            return False
        purse.left -= 1
        return True


def _trim(remembered: OrderedDict[Any, Any], size: int) -> None:
    while len(remembered) > size:
        remembered.popitem(last=False)
