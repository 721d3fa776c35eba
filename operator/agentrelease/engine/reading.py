"""What one look reads of one release; any part may fail, and what could not be read is unknown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.core import runs
from agentrelease.core.bundle import digest_of, revision_name
from agentrelease.core.edits import followed
from agentrelease.core.exposure import NOTHING
from agentrelease.core.gates import approval_missing, approval_needed, next_phase
from agentrelease.core.situation import Desired, Live, Situation, SlotState
from agentrelease.engine.calendars import calendar_of
from agentrelease.engine.observe import Guarding, Observed, observe
from agentrelease.engine.placing import Bundles, place, placement
from agentrelease.engine.ports import ClusterError, Unusable
from agentrelease.engine.rebuilding import Regained, unwatched
from agentrelease.engine.recovering import recall_former

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.bundle import Bundle
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.recovery import Former
    from agentrelease.engine.levers import Lever, Placement, Reading
    from agentrelease.engine.outside import Outside


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look has read.

    ``readings`` are of the levers in their order, ``None`` for one that could not be read; ``now`` is in
    unix seconds; ``epoch`` is ``None`` for an operator that does not lead.
    """

    now: float
    epoch: int | None
    situation: Situation
    bundles: Bundles
    readings: tuple[Reading | None, ...]
    observed: Observed
    halt: bool | None = None  # what was ordered for all agents
    regained: Regained | None = None


async def read(outside: Outside, release: AgentRelease) -> Sight:
    """Read everything that a decision about this release may know."""
    return await _Reading(outside, release).sight()


class _Reading:
    """The values that the steps of reading share."""

    def __init__(self, outside: Outside, release: AgentRelease) -> None:
        self._out = outside
        self._release = followed(release)
        self._now = outside.clock()
        self._epoch = outside.epoch()
        self._bundles = Bundles({})
        self._readings: tuple[Reading | None, ...] = ()
        self._order = outside.ordered()

    async def sight(self) -> Sight:
        release = self._release
        digest = digest_of(release.spec.bundle)
        desired = Desired(digest, revision_name(release.name, digest))
        kept = await self._recalled(digest)
        desired = kept or desired
        self._bundles = await self._read_bundles(desired)
        live = await self._live()
        former = await self._former(desired)
        guarding, why = await self._guarding()
        regained = self._out.rebuilder.of(release, guarding) or unwatched(release)
        if regained is not None and regained.lost:
            release = self._release = _without_evidence(release)
        why = why or (regained.waits if regained else "")
        observed = self._observed(guarding, why, regained)
        self._recall(guarding, observed)
        situation = Situation(
            release=release,
            desired=desired,
            live=live,
            slot=await self._slot(),
            measured=observed.measured,
            assessment=observed.assessment,
            blind=observed.blind,
            outlook=observed.outlook,
            evaluations=runs.stored(release.status.evaluations)
            if observed.evaluations is None
            else observed.evaluations,
            leading=self._epoch is not None,
            recalled=kept is not None,
            closed=calendar_of(release.spec.windows, release.spec.freezes).closed(self._now),
            approval=await self._approval(),
            halt="" if self._order.halt is False else self._order.why,
            claim="; ".join(reading.claim for reading in self._readings if reading and reading.claim),
            former=former,
            regained=_said(regained),
        )
        halt = self._order.halt
        readings, bundles = self._readings, self._bundles
        return Sight(self._now, self._epoch, situation, bundles, readings, observed, halt, regained)

    def _observed(self, guarding: Guarding | None, why: str, regained: Regained | None) -> Observed:
        """Judge what is seen; while lost evidence is being rebuilt nothing is judged, and nothing raised."""
        release, latest = self._release, self._out.lookout.latest
        if regained is not None and regained.waits:
            return replace(observe(release, None, latest, why), blind=why)
        alarm = self._out.lookout.alarm
        return observe(release, guarding, latest, why, regained.ledger if regained else None, alarm)

    async def _recalled(self, applied: str) -> Desired | None:
        """Return the kept revision that has to come back and that no slot has, if it was promoted once."""
        wanted, status = self._wanted_back(applied), self._release.status
        if wanted is None:
            return None
        if status.candidate is not None and status.candidate.recalled:
            return Desired(status.candidate.digest, wanted) if status.candidate.revision == wanted else None
        if status.previous is not None and status.previous.revision == wanted:
            where = await self._previous()
            if where is None or where.revision == wanted:
                return None
        try:
            digest = await self._out.releases.promoted(self._release, wanted)
        except ClusterError as error:
            self._out.recorder.failed(self._release.key, "revision", str(error))
            return None
        return Desired(digest, wanted) if digest else None

    def _wanted_back(self, applied: str) -> str | None:
        """Return the revision that a person, or a breach after the promotion, wants to serve again.

        ``applied`` is the digest of the bundle in the spec.
        """
        order, status = self._release.spec.rollback, self._release.status
        stable = status.stable
        if stable is None:
            return None
        if order.to is not None and order.of in (None, stable.revision):
            return None if order.to == stable.revision else order.to
        if applied != stable.digest:
            return None  # somebody applied another bundle: that one comes next
        if status.candidate is not None:
            return status.candidate.revision if status.candidate.recalled else None
        returning = status.watch is not None and bool(status.watch.returning)
        return status.previous.revision if returning and status.previous is not None else None

    async def _former(self, desired: Desired) -> Former | None:
        """Return what served before, where the status says nothing; its bundle too, which its flags need."""
        found, bundle = await recall_former(self._out, self._release, desired, self._readings[0])
        if found is not None and found.stable is not None and bundle is not None:
            self._bundles = Bundles({**self._bundles.by_revision, found.stable.revision: bundle})
        return found

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
        intended = placement(self._release, self._bundles, self._now, halted=self._order.halt)
        looked = [await self._read(lever, intended) for lever in self._out.levers]
        self._readings = tuple(reading for reading, _ in looked)
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

    def _recall(self, guarding: Guarding | None, observed: Observed) -> None:
        """Have stable's history read, which the evidence of a new candidate begins with."""
        wants, candidate = observed.wants, self._release.status.candidate
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
        if candidate is None:
            return await self._previous()
        return await self._state(candidate.slot) if candidate.stage is Stage.LOADING else None

    async def _previous(self) -> SlotState | None:
        """Return what the slot of the revision before has, where somebody may have to go back there."""
        status, order = self._release.status, self._release.spec.rollback
        previous = status.previous
        if previous is None or (status.watch is None and order.to != previous.revision):
            return None
        return await self._state(previous.slot)

    async def _state(self, slot: str) -> SlotState:
        where = place(self._release, slot)
        if where is None:
            return SlotState(None, available=False, problem=f"spec.delivery.slots has no {slot}")
        try:
            return await self._out.slots.state(where)
        except ClusterError as error:
            return SlotState(None, available=False, problem=str(error))


def _without_evidence(release: AgentRelease) -> AgentRelease:
    watch = release.status.watch
    bare = watch and watch.model_copy(update={"evidence": "", "proof": ""})
    status = release.status.model_copy(update={"evidence": "", "course": "", "watch": bare})
    return release.model_copy(update={"status": status})


def _said(regained: Regained | None) -> str:
    """Say what became of evidence that was lost: its condition's reason and message."""
    if regained is None:
        return ""
    if regained.ledger is not None:
        return f"Rebuilt: {regained.ledger.blocks} blocks were read again, and are bit for bit what was lost"
    return f"Rebuilding: {regained.waits}" if regained.waits else f"BegunAnew: {regained.lost}"


def _joined(looked: Sequence[tuple[Reading | None, str]]) -> Live:
    """Join the levers' views: the flags know permission, the route knows reach.

    Where no route splits the flags know reach too, and the route says nothing. Should both say something,
    somebody reaches the candidate by either, so the more counts.
    """
    (flags, flags_lack), (traffic, traffic_lacks) = looked
    if flags is None or traffic is None:
        return Live(None, flags_lack, traffic_lacks)
    seen, may = traffic.candidate or NOTHING, flags.candidate or NOTHING
    exposure = replace(
        may,
        mirror=seen.mirror,
        cohort=seen.cohort or may.cohort,
        weight=max(seen.weight, may.weight),
    )
    return Live(
        exposure,
        flags_lack,
        traffic_lacks,
        lowered=flags.lowered,
        halted=flags.halted,
        missing=flags.missing,
        lease_until=flags.lease_until,
        served=traffic.served,
    )


__all__ = ["Sight", "read"]
