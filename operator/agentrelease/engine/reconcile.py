"""One look at one release: read, decide, act, record.

``reading`` says what is known and what is not, ``core.decide`` what shall be, ``acting`` in which order
it is written, ``recording`` what is kept of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.core import intent
from agentrelease.core.decision import Direction, decide
from agentrelease.core.steps import Move
from agentrelease.engine.acting import Acting
from agentrelease.engine.ports import ClusterError, Unusable
from agentrelease.engine.queue import Band
from agentrelease.engine.reading import Sight, read

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.decision import Decision
    from agentrelease.engine.outside import Outside


@dataclass(frozen=True, slots=True)
class Result:
    """When to look again: in ``after`` seconds, in ``band``; ``None`` leaves it to events and ticks."""

    after: float | None = None
    band: Band = Band.TICK


class Reconciler:
    """Looks at releases one by one; holds no state between looks."""

    def __init__(self, outside: Outside) -> None:
        self._out = outside

    async def reconcile(self, key: str) -> Result:
        """Look at one release. ``ClusterError`` means: nothing more could be done now, try again."""
        try:
            release = await self._out.releases.get(key)
        except Unusable as error:
            self._out.recorder.failed(key, "read", str(error))
            return Result()
        if release is None:
            self._out.keeper.gone(key)
            self._out.journal.forget(key)
            return Result()
        self._out.journal.seen(release, leading=self._out.epoch() is not None)
        self._out.recorder.stands(release)
        self._out.keeper.seen(release)
        return await _look(self._out, release)


async def _look(outside: Outside, release: AgentRelease) -> Result:
    sight = await read(outside, release)
    decision = decide(sight.situation, sight.now)
    acting = Acting(outside, sight, decision)
    halting = await acting.halt()
    result = await _act(outside, sight, decision, acting)
    return Result(0.2, Band.LOWER) if halting else result


async def _act(outside: Outside, sight: Sight, decision: Decision, acting: Acting) -> Result:
    release = sight.situation.release
    if decision.direction is Direction.LOWER:
        if await _outrun(outside, sight, decision):
            return Result(0.0, Band.LOWER)
        return Result(0.2 if await acting.lower() else 0.0, Band.LOWER)
    if sight.epoch is None:
        return Result()
    if not await _tidy(outside, release):
        return Result(0.0, Band.CHANGE)
    if decision.direction is Direction.RAISE:
        await acting.raise_(sight.epoch)
        return Result(0.1, Band.CHANGE)
    await acting.keep(sight.epoch)
    return Result(0.2, Band.CHANGE) if decision.step.move is Move.FINISH else Result()


async def _outrun(outside: Outside, sight: Sight, decision: Decision) -> bool:
    """Whether the levers show more than intended only because the intent has changed since it was read.

    Who leads writes a raise into the status before the levers. Another process that read the one before and
    the others after it would take for drift what was meant, and its lowering would be left in place. What
    anybody asked to be lowered waits for nothing, nor does a release that can't be read again.
    """
    release, candidate = sight.situation.release, sight.situation.release.status.candidate
    withdrawing = candidate is not None and candidate.stage is Stage.WITHDRAWING
    if withdrawing or decision.step.move not in (Move.KEEP, Move.RECOVER):
        return False
    try:
        now = await outside.releases.get(release.key)
    except (ClusterError, Unusable):
        return False
    return (
        now is not None
        and now.resource_version != release.resource_version
        and _intends_otherwise(now, release)
    )


def _intends_otherwise(now: AgentRelease, before: AgentRelease) -> bool:
    return now.status.stable != before.status.stable or intent.exposure(now) != intent.exposure(before)


async def _tidy(outside: Outside, release: AgentRelease) -> bool:
    """Keep the finalizer right; return whether the look may go on with the object as it was read."""
    done = release.deleting and release.status.candidate is None
    if done and release.finalizers:
        await outside.releases.set_finalizer(release, present=False)
        return True
    if not release.deleting and not release.finalizers:
        await outside.releases.set_finalizer(release, present=True)
        return False
    return True


__all__ = ["Reconciler", "Result"]
