"""The shared look at Prometheus: one for all releases, on a fixed clock.

Stable's history is read for each candidate, in the background and in chunks from the newest back:
block by block what was just before, and hour by hour the days before that. Nothing waits for it: a look has
it as soon as it is there, or a sentence that says why it is not. Days that could not be read are asked for
again, because at 100 % they are all that tells an evening from harm.

Between looks it listens for what may not happen even once: cheap sums first, and what grew is read whole.
An alarm that is missed costs nothing but time, for the next look counts the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from agentrelease.core import blocks, swing
from agentrelease.core.series import Days, Past
from agentrelease.core.span import Span

if TYPE_CHECKING:
    from agentrelease.api.guardrail import GuardrailPolicySpec
    from agentrelease.core.evidence import Block
    from agentrelease.core.series import Snapshot, Stretch
    from agentrelease.engine.alarms import Alarm
    from agentrelease.engine.guarding import Guardian
    from agentrelease.engine.ports import Evidence

REACH = 900.0
"""The furthest a look goes back, in seconds; after a longer absence evidence starts at the next block."""

CHUNK = 30
"""Blocks of history that are read at once."""

PATIENCE = 30.0
"""Seconds that reading history may take; what was read until then is used."""

AGAIN = 60.0
"""Seconds until days that could not be read are asked for again."""


class Lookout:
    """Keeps the newest snapshot, and how far back the next one has to reach."""

    def __init__(self, evidence: Evidence, guardian: Guardian) -> None:
        self._evidence = evidence
        self._guardian = guardian
        self._through: dict[str, float] = {}
        self._pasts: dict[str, Past] = {}
        self._asked: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._again: dict[str, float] = {}  # when to ask once more, on Prometheus' clock
        self._alarms: dict[str, frozenset[Alarm]] = {}
        self._heard: dict[Alarm, float] = {}
        self.latest: Snapshot | None = None
        self.alarm: Snapshot | None = None

    def note(self, key: str, through: float, alarms: frozenset[Alarm] = frozenset()) -> None:
        """Remember until when a release has taken its evidence, and which counters may not grow."""
        self._through[key] = through
        self._alarms[key] = alarms

    def forget(self, key: str) -> None:
        """A release needs no evidence any more."""
        self._through.pop(key, None)
        self._alarms.pop(key, None)
        self._pasts.pop(key, None)
        self._again.pop(key, None)
        asked = self._asked.pop(key, None)
        if asked is not None:
            asked[1].cancel()

    def recall(
        self, key: str, candidate: str, stretch: Stretch, spec: GuardrailPolicySpec, grid: float
    ) -> None:
        """Begin to read stable's history for a candidate, unless that was done or is under way."""
        asked, now = self._asked.get(key), self.latest.at if self.latest else 0.0
        if asked is not None and asked[0] == candidate and now < self._again.get(key, inf):
            return
        self._again.pop(key, None)
        if asked is not None:
            asked[1].cancel()
        reading = self._read(key, candidate, stretch, spec, grid)
        self._asked[key] = candidate, asyncio.get_running_loop().create_task(reading)

    async def recalled(self) -> None:
        """Wait until everything that was asked for is there; for those whose time is not the wall's."""
        await asyncio.gather(*(task for _, task in self._asked.values()))

    async def look(self) -> Snapshot:
        """Look again; never raises, what went wrong is in the snapshot."""
        since = min(self._through.values(), default=None)
        if since is not None and self.latest is not None and self.latest.at:
            since = max(since, self.latest.at - REACH)
        found = await self._evidence.look(self._guardian.wanted(), since)
        self.latest = replace(found, pasts=dict(self._pasts))
        return self.latest

    async def listen(self) -> frozenset[str]:
        """Return the releases of which something grew that may not; never raises."""
        picked = {picked for alarms in self._alarms.values() for picked, _ in alarms}
        totals = await self._evidence.totals(picked) if picked else {}
        grown = {one for one, value in totals.items() if value > self._heard.get(one, value)}
        self._heard = dict(totals)
        woken = {key: alarms & grown for key, alarms in self._alarms.items() if alarms & grown}
        if woken:
            since = min(self._through[key] for key in woken)
            metrics = {picked.metric for alarms in woken.values() for picked, _ in alarms}
            heard = await self._evidence.glance(metrics, since)
            self.alarm = self.alarm if heard.problem else heard
        return frozenset(woken)

    async def _read(
        self, key: str, candidate: str, stretch: Stretch, spec: GuardrailPolicySpec, grid: float
    ) -> None:
        self._pasts[key] = past = await history(self._evidence, candidate, stretch, spec, grid)
        days = await remembered(self._evidence, days_before(stretch), spec)
        if days.unread and self.latest is not None:
            self._again[key] = self.latest.at + AGAIN
            return
        self._pasts[key] = replace(past, days=days)


async def history(
    evidence: Evidence, candidate: str, stretch: Stretch, spec: GuardrailPolicySpec, grid: float
) -> Past:
    """Read the blocks of stable in a stretch of the past, from the newest back until something is missing."""
    found, reached, why = await _backwards(evidence, stretch, spec, grid, CHUNK)
    said = f"{len(found)} blocks of stable's history" + (f"; no more: {why}" if why else "")
    return Past(candidate, tuple(found), said, (reached, stretch.end))


def days_before(stretch: Stretch) -> Stretch:
    """Return the days up to the last full hour of a stretch, of which a sample an hour is read."""
    end = stretch.end // swing.HOUR * swing.HOUR
    return replace(stretch, start=end - swing.DAYS * swing.DAY * swing.HOUR, end=end, step=swing.HOUR)


async def remembered(evidence: Evidence, stretch: Stretch, spec: GuardrailPolicySpec) -> Days:
    """Read stable's past days, an hour a block, from the newest back until one is empty or can't be read."""
    found, _, why = await _backwards(evidence, stretch, spec, swing.HOUR, swing.DAY, until_empty=True)
    known = f"{len(found)} hours of its past days are known" if found else "its past days are not known"
    said = known + (f"; no more: {why}" if why else "")
    start = found[0].start if found else stretch.end
    return Days(tuple(found), said, (start, stretch.end), unread=bool(why) and not found)


async def _backwards(
    evidence: Evidence,
    stretch: Stretch,
    spec: GuardrailPolicySpec,
    length: float,
    at_once: int,
    *,
    until_empty: bool = False,
) -> tuple[list[Block], float, str]:
    """Return blocks of ``length`` seconds, from when on all was read, and why no more of it was."""
    found: list[Block] = []
    why, reached, end = "", stretch.end, stretch.end
    try:
        async with asyncio.timeout(PATIENCE):
            while end > stretch.start and not why:
                start = max(stretch.start, end - at_once * length)
                part = replace(stretch, start=start, end=end)
                snapshot = await evidence.past(blocks.metrics_read(spec), part)
                why, end = snapshot.problem, start
                if not why:
                    more = await asyncio.to_thread(_blocks, snapshot, spec, part, length)
                    if until_empty and not more:
                        break
                    found[:0] = more
                    reached = start
    except TimeoutError:
        why = f"reading took longer than {PATIENCE:g} s"
    return found, reached, why


def _blocks(snapshot: Snapshot, spec: GuardrailPolicySpec, stretch: Stretch, grid: float) -> list[Block]:
    """Return blocks of stable alone, oldest first; those without any sample teach nothing."""
    found = []
    (stable,) = stretch.revisions
    for place in range(round((stretch.end - stretch.start) / grid)):
        start = stretch.start + place * grid
        span = Span(stretch.namespace, stretch.agent, "", stable, start, start + grid)
        one = blocks.block(snapshot, spec, span)
        if any(one.cells.values()):
            found.append(one)
    return found
