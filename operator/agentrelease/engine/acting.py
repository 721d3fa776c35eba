"""What one look does about its decision, in an order of which every prefix is safe.

* up: intent in status → route → flags; a crash leaves less exposed than was intended;
* down: flags → route → status, each tried although the one before failed; a crash leaves a note on
  the flags, by which the next process finishes what this one began.

Confirmation is not waited for here. The next look sees whether intended and live agree.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.core import intent
from agentrelease.core.bundle import canonical
from agentrelease.core.exposure import NOTHING, Exposure
from agentrelease.core.steps import Move
from agentrelease.engine.halting import bounded
from agentrelease.engine.placing import place, placement
from agentrelease.engine.ports import ClusterError, Conflict
from agentrelease.engine.recording import Record

if TYPE_CHECKING:
    from agentrelease.api.status import ReleaseStatus
    from agentrelease.core.decision import Decision
    from agentrelease.engine.levers import Placement
    from agentrelease.engine.outside import Outside
    from agentrelease.engine.reading import Sight


class Acting:
    """The values that the writes of one look share."""

    def __init__(self, outside: Outside, sight: Sight, decision: Decision) -> None:
        self._out = outside
        self._sight = sight
        self._decision = decision
        self._release = sight.situation.release
        self._stopped = False  # flags were written in this look, so what was read of them is past

    async def halt(self) -> bool:
        """Stop the agent where all are to be stopped; returns whether that had to be written.

        It depends on nothing else in the look, and nothing else depends on it.
        """
        flags = self._sight.readings[0]
        if not self._sight.halt or (flags is not None and flags.stopped):
            return False
        target = replace(bounded(self._placement(), flags), note=f"-: {self._sight.situation.halt}"[:500])
        try:
            await self._out.levers[0].lower(target)
        except ClusterError as error:
            self._out.recorder.failed(self._release.key, "halt", str(error))
        self._stopped = True
        return True

    async def lower(self) -> bool:
        """Flags, route, status; each is tried whatever happened to the one before.

        Returns whether the status was written; raises the first lever's ``ClusterError`` after the last.
        """
        after = self._release.model_copy(update={"status": self._decision.status})
        sight = self._sight
        target = placement(after, sight.bundles, sight.now, self._note(), halted=sight.halt)
        failed = []
        for lever in self._out.levers:
            try:
                await lever.lower(target)
            except ClusterError as error:
                failed.append(error)
                self._out.recorder.failed(self._release.key, f"{lever.name} lower", str(error))
        self._tell()
        try:
            await self._record().write()
        except Conflict:
            return False
        if failed:
            raise failed[0]
        return True

    async def raise_(self, epoch: int) -> None:
        """Status, slot, route, flags; any failure stops the rest."""
        starts = self._decision.step.move is Move.START
        if starts and not self._sight.situation.recalled:
            await self._out.releases.record(self._release, *_names(self._decision.status))
        self._release = await self._record().write()
        self._tell()
        await self._load()
        if starts:
            return  # nothing is exposed yet, and before a first release the route is not ours to write
        target = self._placement()
        for lever in reversed(self._out.levers):
            await lever.raise_(target, epoch)

    async def keep(self, epoch: int) -> None:
        """Write the status if it says anything new, keep the slot loaded, renew the lease, mend drift."""
        record = self._record()
        if record.status != self._release.status:
            self._release = await record.write()
        if self._decision.announce:
            self._tell()
        await self._load()
        if not self._stopped and not await self._let_work(epoch):
            await self._converge(epoch)

    def _record(self) -> Record:
        """Complete the status; only when it is to be written, never before a lowering."""
        return Record(self._out, self._sight, self._decision)

    def _tell(self) -> None:
        self._out.recorder.decided(self._release, self._decision, self._sight.epoch or 0)

    def _placement(self) -> Placement:
        sight = self._sight
        return placement(self._release, sight.bundles, sight.now, halted=sight.halt)

    async def _load(self) -> None:
        candidate = self._release.status.candidate
        if candidate is None or candidate.stage is not Stage.LOADING:
            return
        bundle = self._sight.bundles.by_revision.get(candidate.revision)
        where = place(self._release, candidate.slot)
        if bundle is not None and where is not None:
            await self._out.slots.load(where, candidate.revision, canonical(bundle))

    async def _let_work(self, epoch: int) -> bool:
        """Take back the operator's own halt when a person lets agents work; whether there was one."""
        flags = self._sight.readings[0]
        if self._sight.halt is not False or flags is None or not flags.own_halt or flags.claim:
            return False
        await self._out.levers[0].raise_(bounded(self._placement(), flags), epoch)
        return True

    async def _converge(self, epoch: int) -> None:
        """Finish what a crash left half done, and renew the candidate's lease in good time."""
        candidate = self._release.status.candidate
        if candidate is not None and candidate.stage is Stage.WITHDRAWING:
            if candidate.drain_until:
                await self._renew(epoch)  # reading is no action: answers are drained with it
            return
        if candidate is not None and candidate.stage is Stage.RUNNING:
            await self._mend(epoch)
            await self._renew(epoch)
            return
        if self._release.status.stable is None:
            return
        target = self._placement()
        for lever, reading in reversed(list(zip(self._out.levers, self._sight.readings, strict=True))):
            if reading is not None and not reading.in_sync and not reading.halted:
                await lever.raise_(target, epoch)

    async def _mend(self, epoch: int) -> None:
        """Make an object that is ours anew, with no more for the candidate than it has there now."""
        traffic = self._sight.readings[1]
        target = self._placement()
        if traffic is None or not traffic.broken or target.candidate is None:
            return
        kept = target.candidate.exposure.meet(traffic.candidate or Exposure())
        await self._out.levers[1].raise_(
            replace(target, candidate=replace(target.candidate, exposure=kept)), epoch
        )

    async def _renew(self, epoch: int) -> None:
        """Renew the candidate's lease, unless somebody lowered the grant: that is respected.

        A document that is gone or broken is nobody's lowering: an evaluator may go on with what it read
        last, so it is written again.
        """
        flags, exposure = self._sight.readings[0], intent.exposure(self._release)
        if flags is None or flags.halted or flags.claim:
            return
        target = self._placement()
        if flags.missing:
            await self._out.levers[0].raise_(target, epoch)
            return
        if flags.candidate is None or not _grants(flags.candidate, target, exposure):
            return
        term = self._release.spec.delivery.flags.lease_seconds
        if flags.lease_until is None or flags.lease_until - self._sight.now < term * 2 / 3:
            await self._out.levers[0].raise_(target, epoch)

    def _note(self) -> str:
        """Return what the flags remember: a withdrawal by its revision, so that it can be resumed."""
        candidate = self._release.status.candidate
        withdrawn = candidate is not None and self._decision.step.move is Move.WITHDRAW
        return f"{candidate.revision if candidate and withdrawn else '-'}: {self._decision.step.reason}"[:500]


def _grants(said: Exposure, target: Placement, exposure: Exposure) -> bool:
    """Whether the flags give the candidate no less than is intended: its level and, if they split, reach."""
    share = replace(NOTHING, weight=exposure.weight, cohort=exposure.cohort)
    return said.autonomy >= exposure.autonomy and (not target.splits or share.within(said))


def _names(status: ReleaseStatus) -> tuple[str, str]:
    assert status.candidate is not None
    return status.candidate.revision, status.candidate.digest


__all__ = ["Acting"]
