"""Which levers there are, and those of one release as two: what agents may do, and who reaches them.

Levers are found by the entry points of the group ``agentrelease.levers``, so that a router or a flag store
of somebody else's is one package away. An entry point is a class like ours: called with the API server's
gateway it gives a ``SidedLever``.

A release names the objects it wants moved; a side moves all that are named, and what it reads is the
highest of what they say, because a candidate can use whichever allows the most.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from agentrelease.core import strata
from agentrelease.core.exposure import Exposure
from agentrelease.engine.levers import Lever, Reading
from agentrelease.engine.ports import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.core.recovery import Told
    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Cluster

GROUP = "agentrelease.levers"
FLAGS, TRAFFIC = "flags", "traffic"


class LeverError(Exception):
    """A lever can't be loaded; one sentence for the person who starts the operator."""


class SidedLever(Lever, Protocol):
    """A lever that knows its side, ``flags`` or ``traffic``, and which releases it is for."""

    side: str

    def named(self, placement: Placement) -> str | None:
        """Return the name of the placement's object of this lever's kind, or ``None``."""


def discover(cluster: Cluster) -> tuple[Lever, Lever]:
    """Return all levers there are, in the order of going down: flags, then traffic."""
    found: dict[str, list[SidedLever]] = {FLAGS: [], TRAFFIC: []}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            lever: SidedLever = entry.load()(cluster)
            found[lever.side].append(lever)
        except Exception as error:
            raise LeverError(f"the lever {entry.name} ({entry.value}) can't be loaded: {error}") from error
    for side, levers in found.items():
        if not levers:
            raise LeverError(f"no lever for {side} is installed; the package's own metadata is out of date")
    return Side(FLAGS, found[FLAGS]), Side(TRAFFIC, found[TRAFFIC])


class Side:
    """All levers of one side as one lever."""

    def __init__(self, name: str, levers: Sequence[SidedLever]) -> None:
        self.name = name
        self._levers = levers

    async def read(self, placement: Placement) -> Reading:
        """Return the highest of what the named objects say; in sync where none is named."""
        return joined([await lever.read(placement) for lever in self._of(placement)])

    async def raise_(self, placement: Placement, epoch: int) -> None:
        """Write all named objects; the first failure ends it, and less is exposed than was intended."""
        for lever in self._of(placement):
            await lever.raise_(placement, epoch)

    async def lower(self, placement: Placement) -> None:
        """Write all named objects, each whatever happened to the others; then tell the first failure."""
        failed: list[ClusterError] = []
        for lever in self._of(placement):
            try:
                await lever.lower(placement)
            except ClusterError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    async def confirm(self, placement: Placement) -> str | None:
        """Return what any of the named objects lacks."""
        missing = [await lever.confirm(placement) for lever in self._of(placement)]
        return "; ".join(why for why in missing if why) or None

    def _of(self, placement: Placement) -> list[SidedLever]:
        return [lever for lever in self._levers if lever.named(placement)]


def joined(readings: Sequence[Reading]) -> Reading:
    """Join what several objects say about one candidate; the more exposed view counts."""
    leases = [reading.lease_until for reading in readings if reading.lease_until is not None]
    levels = [r.stable_autonomy for r in readings if r.stable_autonomy is not None]
    result = Reading(
        stable_autonomy=max(levels, default=None),
        epoch=max((reading.epoch for reading in readings), default=0),
        lease_until=min(leases, default=None),
        lowered=next((reading.lowered for reading in readings if reading.lowered), ""),
        in_sync=all(reading.in_sync for reading in readings),
        problem="; ".join(dict.fromkeys(reading.problem for reading in readings if reading.problem)),
        halted=any(reading.halted for reading in readings),
        stopped=bool(readings) and all(reading.stopped or reading.claim for reading in readings),
        own_halt=any(reading.own_halt for reading in readings),
        missing=any(reading.missing for reading in readings),
        broken=any(reading.broken for reading in readings),
        serving=_agreed([reading.serving for reading in readings if reading.serving is not None]),
        claim="; ".join(reading.claim for reading in readings if reading.claim),
    )
    seen = [reading.candidate for reading in readings if reading.candidate is not None]
    return replace(result, candidate=highest(seen)) if seen else result


def _agreed(told: Sequence[Told]) -> Told | None:
    """Return whom all objects that name somebody name as stable, with the least that one of them allows."""
    if len({one.revision for one in told}) != 1:
        return None
    return min(told, key=lambda one: one.autonomy)


def highest(seen: Sequence[Exposure]) -> Exposure:
    """Return the least exposure that all of these are within, as far as two cohorts can have one."""
    cohorts = {exposure.cohort for exposure in seen if exposure.cohort is not None}
    return Exposure(
        mirror=max(exposure.mirror for exposure in seen),
        cohort=min(cohorts, key=str, default=None),
        weight=max(exposure.weight for exposure in seen),
        autonomy=max(exposure.autonomy for exposure in seen),
        tools=frozenset[str]().union(*(exposure.tools for exposure in seen)),
        strata=strata.joined([(exposure.strata, exposure.rest) for exposure in seen], highest=True),
    )
