"""One look at one release: read, decide, act, record.

Reading may fail in any part; what could not be read is unknown to the decision, and unknown never
raises. Acting keeps every prefix safe:

* up: intent in status → route → flags; a crash leaves less exposed than was intended;
* down: flags → route → status, each tried although the one before failed; a crash leaves a note on
  the flags, by which the next process finishes what this one began.

Confirmation is not waited for here. The next look sees whether intended and live agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.core import intent
from agentrelease.core.bundle import canonical, digest_of, revision_name
from agentrelease.core.decision import Decision, Direction, decide
from agentrelease.core.exposure import ALL, Exposure
from agentrelease.core.gates import approval_missing, approval_needed, next_phase
from agentrelease.core.reference import write_reference
from agentrelease.core.situation import Desired, Live, Situation, SlotState
from agentrelease.core.steps import INTERVENTIONS, Move
from agentrelease.engine.calendars import calendar_of
from agentrelease.engine.observe import Guarding, Observed, ledger_of, observe
from agentrelease.engine.placing import Bundles, placement
from agentrelease.engine.ports import ClusterError, Conflict, Unusable
from agentrelease.engine.queue import Band

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentrelease.api.bundle import Bundle
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import ReleaseStatus
    from agentrelease.core.chain import Entry
    from agentrelease.core.ledger import Ledger
    from agentrelease.engine.guarding import Guardian
    from agentrelease.engine.journal import Journal
    from agentrelease.engine.levers import Lever, Placement, Reading
    from agentrelease.engine.lookout import Lookout
    from agentrelease.engine.ports import Recorder, Releases, SlotLoader


@dataclass(frozen=True, slots=True)
class Result:
    """When to look again: in ``after`` seconds, in ``band``; ``None`` leaves it to events and ticks."""

    after: float | None = None
    band: Band = Band.TICK


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything a reconciler talks to. ``levers`` are in the order of going down: flags, then traffic."""

    releases: Releases
    levers: tuple[Lever, Lever]
    slots: SlotLoader
    guardian: Guardian
    recorder: Recorder
    lookout: Lookout
    journal: Journal
    epoch: Callable[[], int | None]
    clock: Callable[[], float]


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
            return Result()
        return await _Look(self._out, release).run()


class _Look:
    """One look: the values that its steps share."""

    def __init__(self, outside: Outside, release: AgentRelease) -> None:
        self._out = outside
        self._release = release
        self._now = outside.clock()
        self._epoch = outside.epoch()
        self._bundles = Bundles({})
        self._readings: list[Reading | None] = []
        self._observed: Observed
        self._seen: Situation
        self._entry: Entry | None = None

    async def run(self) -> Result:
        self._out.journal.seen(self._release)
        situation = await self._situation()
        decision = decide(situation, self._now)
        self._seen = situation
        if decision.direction is Direction.LOWER:
            return await self._lower(decision)
        if self._epoch is None:
            return Result()
        if not await self._tidy():
            return Result(0.0, Band.CHANGE)
        if decision.direction is Direction.RAISE:
            await self._raise(decision)
            return Result(0.1, Band.CHANGE)
        await self._keep(decision)
        return Result(0.2, Band.CHANGE) if decision.step.move is Move.FINISH else Result()

    # ---- reading ---------------------------------------------------------------------------------

    async def _situation(self) -> Situation:
        release = self._release
        digest = digest_of(release.spec.bundle)
        desired = Desired(digest, revision_name(release.name, digest))
        kept = await self._recalled()
        desired = kept or desired
        self._bundles = await self._read_bundles(desired)
        live = await self._live()
        guarding, why = await self._guarding()
        self._observed = observe(release, guarding, self._out.lookout.latest, why)
        self._recall(guarding)
        return Situation(
            release=release,
            desired=desired,
            live=live,
            slot=await self._slot(),
            measured=self._observed.measured,
            assessment=self._observed.assessment,
            blind=self._observed.blind,
            outlook=self._observed.outlook,
            leading=self._epoch is not None,
            recalled=kept is not None,
            closed=calendar_of(release.spec.windows, release.spec.freezes).closed(self._now),
            approval=await self._approval(),
            claim="; ".join(reading.claim for reading in self._readings if reading and reading.claim),
        )

    async def _recalled(self) -> Desired | None:
        """Return the kept revision that an order wants back and no slot has, if it was promoted once."""
        order, status = self._release.spec.rollback, self._release.status
        stable, previous = status.stable, status.previous
        if order.to is None or stable is None or order.of not in (None, stable.revision):
            return None
        if order.to in (stable.revision, previous.revision if previous else None):
            return None
        if (
            status.candidate is not None
            and status.candidate.recalled
            and status.candidate.revision == order.to
        ):
            return Desired(status.candidate.digest, order.to)
        try:
            digest = await self._out.releases.promoted(self._release, order.to)
        except ClusterError as error:
            self._out.recorder.failed(self._release.key, "revision", str(error))
            return None
        return Desired(digest, order.to) if digest else None

    async def _read_bundles(self, desired: Desired) -> Bundles:
        status = self._release.status
        spec = self._release.spec.bundle
        found: dict[str, Bundle] = {revision_name(self._release.name, digest_of(spec)): spec}
        for part in (desired, status.stable, status.candidate, status.previous):
            if part is None or part.revision in found:
                continue
            try:
                bundle = await self._out.releases.bundle(self._release.namespace, part.revision)
            except ClusterError as error:
                self._out.recorder.failed(self._release.key, "revision", str(error))
                continue
            if bundle is not None:
                found[part.revision] = bundle
        return Bundles(found)

    async def _live(self) -> Live:
        """Read every lever and join what they say; one that can't be read makes the whole unknown."""
        intended = placement(self._release, self._bundles, self._now)
        looked = [await self._read(lever, intended) for lever in self._out.levers]
        self._readings = [reading for reading, _ in looked]
        return _joined(looked)

    async def _read(self, lever: Lever, intended: Placement) -> tuple[Reading | None, str]:
        """Return what a lever says, and what is missing until it is in effect."""
        try:
            reading = await lever.read(intended)
            missing = await lever.confirm(intended)
        except ClusterError as error:
            self._out.recorder.failed(self._release.key, f"{lever.name} read", str(error))
            return None, f"{lever.name} could not be read"
        return reading, f"{lever.name}: {reading.problem}" if reading.problem else missing or ""

    async def _guarding(self) -> tuple[Guarding | None, str]:
        if self._release.status.candidate is None and self._release.status.watch is None:
            return None, ""
        try:
            return await self._out.guardian.of(self._release), ""
        except (Unusable, ClusterError) as error:
            return None, str(error)

    def _recall(self, guarding: Guarding | None) -> None:
        """Have stable's history read, which the evidence of a new candidate begins with."""
        wants, candidate = self._observed.wants, self._release.status.candidate
        if wants is not None and guarding is not None and candidate is not None:
            key, grid = self._release.key, guarding.plan.grid
            self._out.lookout.recall(key, candidate.revision, wants, guarding.spec, grid)

    async def _approval(self) -> str:
        """Say which approval the next phase waits for; what can't be read has not been given."""
        release = self._release
        step = next_phase(release)
        if step is None or not approval_needed(release, step):
            return ""
        try:
            consents = await self._out.releases.consents(release.namespace)
        except ClusterError as error:
            return f"approvals could not be read: {error}"
        return approval_missing(release, consents, self._now)

    async def _slot(self) -> SlotState | None:
        candidate = self._release.status.candidate
        if candidate is None or candidate.stage is not Stage.LOADING:
            return None
        slot = self._release.spec.delivery.slots.get(candidate.slot)
        if slot is None:
            return SlotState(None, available=False, problem=f"spec.delivery.slots has no {candidate.slot}")
        try:
            return await self._out.slots.state(self._release.namespace, slot)
        except ClusterError as error:
            return SlotState(None, available=False, problem=str(error))

    # ---- acting ----------------------------------------------------------------------------------

    async def _lower(self, decision: Decision) -> Result:
        """Flags, route, status; each is tried whatever happened to the one before."""
        target = placement(self._after(decision), self._bundles, self._now, note=self._note(decision))
        failed = []
        for lever in self._out.levers:
            try:
                await lever.lower(target)
            except ClusterError as error:
                failed.append(error)
                self._out.recorder.failed(self._release.key, f"{lever.name} lower", str(error))
        self._tell(decision)
        try:
            await self._write(self._complete(decision))
        except Conflict:
            return Result(0.0, Band.LOWER)
        if failed:
            raise failed[0]
        return Result(0.2, Band.LOWER)

    async def _raise(self, decision: Decision) -> None:
        """Status, slot, route, flags; any failure stops the rest."""
        assert self._epoch is not None
        if decision.step.move is Move.START and not self._seen.recalled:
            await self._out.releases.record(self._release, *_names(decision.status))
        written = await self._write(self._complete(decision))
        self._tell(decision)
        self._release = written
        await self._load()
        if decision.step.move is Move.START:
            return  # nothing is exposed yet, and before a first release the route is not ours to write
        target = placement(written, self._bundles, self._now)
        for lever in reversed(self._out.levers):
            await lever.raise_(target, self._epoch)

    async def _keep(self, decision: Decision) -> None:
        """Write the status if it says anything new, keep the slot loaded, renew the lease, mend drift."""
        status = self._complete(decision)
        if status != self._release.status:
            self._release = await self._write(status)
        if decision.announce:
            self._tell(decision)
        await self._load()
        await self._converge()

    async def _load(self) -> None:
        candidate = self._release.status.candidate
        if candidate is None or candidate.stage is not Stage.LOADING:
            return
        bundle = self._bundles.by_revision.get(candidate.revision)
        slot = self._release.spec.delivery.slots.get(candidate.slot)
        if bundle is not None and slot is not None:
            where = (self._release.namespace, self._release.name, candidate.slot, slot)
            await self._out.slots.load(*where, candidate.revision, canonical(bundle))

    async def _converge(self) -> None:
        """Finish what a crash left half done, and renew the candidate's lease in good time."""
        assert self._epoch is not None
        candidate = self._release.status.candidate
        if candidate is not None and candidate.stage is Stage.WITHDRAWING:
            return
        if candidate is not None and candidate.stage is Stage.RUNNING:
            await self._mend(self._epoch)
            await self._renew(self._epoch)
            return
        if self._release.status.stable is None:
            return
        target = placement(self._release, self._bundles, self._now)
        for lever, reading in reversed(list(zip(self._out.levers, self._readings, strict=True))):
            if reading is not None and not reading.in_sync and not reading.halted:
                await lever.raise_(target, self._epoch)

    async def _mend(self, epoch: int) -> None:
        """Make an object that is ours anew, with no more for the candidate than it has there now."""
        traffic = self._readings[1]
        target = placement(self._release, self._bundles, self._now)
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
        flags, exposure = self._readings[0], intent.exposure(self._release)
        if flags is None or flags.halted or flags.claim:
            return
        if flags.missing:
            target = placement(self._release, self._bundles, self._now)
            await self._out.levers[0].raise_(target, epoch)
            return
        if flags.candidate is None or flags.candidate.autonomy < exposure.autonomy:
            return
        term = self._release.spec.delivery.flags.lease_seconds
        if flags.lease_until is None or flags.lease_until - self._now < term * 2 / 3:
            await self._out.levers[0].raise_(placement(self._release, self._bundles, self._now), epoch)

    async def _tidy(self) -> bool:
        """Keep the finalizer right; return whether the look may go on with the object as it was read."""
        release = self._release
        done = release.deleting and release.status.candidate is None
        if done and release.finalizers:
            await self._out.releases.set_finalizer(release, present=False)
            return True
        if not release.deleting and not release.finalizers:
            await self._out.releases.set_finalizer(release, present=True)
            return False
        return True

    def _note(self, decision: Decision) -> str:
        """Return what the flags remember: a withdrawal by its revision, so that it can be resumed."""
        candidate = self._release.status.candidate
        withdrawn = candidate is not None and decision.step.move is Move.WITHDRAW
        return f"{candidate.revision if candidate and withdrawn else '-'}: {decision.step.reason}"[:500]

    # ---- recording -------------------------------------------------------------------------------

    def _after(self, decision: Decision) -> AgentRelease:
        return self._release.model_copy(update={"status": decision.status})

    def _complete(self, decision: Decision) -> ReleaseStatus:
        """Add evidence and epoch to the status that was decided."""
        status, move = decision.status, decision.step.move
        update: dict[str, object] = {"epoch": max(status.epoch, self._epoch or 0)}
        ledger = self._observed.ledger
        if move in (Move.ENTER, Move.STEP_BACK, Move.GIVE_BACK) or move in INTERVENTIONS:
            update |= self._entered(decision)
        elif ledger is not None and status.candidate is not None and self._release.status.candidate:
            update["evidence"] = ledger.to_json()  # of this candidate, not of the watch before it
        elif ledger is not None and status.watch is not None:
            update["watch"] = status.watch.model_copy(update={"evidence": self._of_watch(ledger, move)})
        if status.candidate is None and status.watch is None:
            self._out.lookout.forget(self._release.key)
        if ledger is not None:
            self._out.lookout.note(self._release.key, ledger.through)
        self._entry = self._out.journal.seal(self._seen, decision, self._now, self._epoch or 0)
        if self._entry is not None:
            update["decision"] = self._entry.head
        return status.model_copy(update=update)

    def _of_watch(self, ledger: Ledger, move: Move) -> str:
        """Return the watch's evidence: harm goes on from the rollout, and begins anew with every level."""
        if move in (Move.LOWER_STABLE, Move.RAISE_STABLE):
            ledger = ledger.forgiven(ledger.metrics.keys() | ledger.events.keys(), ledger.through)
        elif move is Move.PROMOTE:
            ledger = ledger.enter_phase(ledger.through)
        return ledger.to_json()

    async def _write(self, status: ReleaseStatus) -> AgentRelease:
        """Write the status, and with it which entry of the decision log it is by."""
        if self._entry is not None:
            self._out.journal.writing(self._release.key, self._entry)
        written = await self._out.releases.write_status(self._release, status)
        self._out.journal.seen(written)
        return written

    def _entered(self, decision: Decision) -> dict[str, object]:
        """Start the safe side anew in a new phase, and freeze stable's record when its traffic ends."""
        snapshot = self._out.lookout.latest
        at = snapshot.end if snapshot and snapshot.end else self._now
        ledger = self._observed.ledger
        if ledger is None:
            guarding = self._out.guardian.known(self._release)
            if guarding is None:
                return {}
            # between two exposures nothing was judged, and nothing of that time can be
            ledger = replace(ledger_of(self._release, guarding.plan, at), through=at)
        fresh = ledger.enter_phase(at)
        if decision.step.cause == "GuardrailBreached" or decision.step.move in INTERVENTIONS:
            found = self._observed.assessment
            fresh = ledger.forgiven(found.breached if found else (), at)
        update: dict[str, object] = {"evidence": fresh.to_json()}
        if decision.intended.weight >= ALL and intent.exposure(self._release).weight < ALL:
            update["reference"] = write_reference(ledger)
        return update

    def _tell(self, decision: Decision) -> None:
        self._out.recorder.decided(self._release, decision, self._epoch or 0)


def _names(status: ReleaseStatus) -> tuple[str, str]:
    assert status.candidate is not None
    return status.candidate.revision, status.candidate.digest


def _joined(looked: Sequence[tuple[Reading | None, str]]) -> Live:
    """Join the levers' views: the flags come first and know permission, the route knows reach."""
    (flags, flags_lack), (traffic, traffic_lacks) = looked
    if flags is None or traffic is None:
        return Live(None, flags_lack, traffic_lacks)
    exposure = Exposure()
    if traffic.candidate is not None:
        seen = traffic.candidate
        exposure = replace(exposure, mirror=seen.mirror, cohort=seen.cohort, weight=seen.weight)
    if flags.candidate is not None:
        may = flags.candidate
        exposure = replace(exposure, autonomy=may.autonomy, tools=may.tools, strata=may.strata)
    return Live(
        exposure,
        flags_lack,
        traffic_lacks,
        lowered=flags.lowered,
        halted=flags.halted,
        missing=flags.missing,
        lease_until=flags.lease_until,
    )


__all__ = ["Outside", "Reconciler", "Result"]
