"""What a stored flag document says about a placement, and what a placement makes of it.

The same for every place where documents are kept, so that two of them can't come to differ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentrelease.core import strata
from agentrelease.core.exposure import Exposure
from agentrelease.core.recovery import Told
from agentrelease.edges.fence import epoch_of, note_of
from agentrelease.edges.flags.document import (
    OPERATOR,
    FlagSet,
    Grant,
    Unreadable,
    flag_set,
    halted_by,
    halts,
    kept_halt,
    parse,
    version_of,
)
from agentrelease.edges.flags.schema import problem
from agentrelease.engine.levers import Reading

if TYPE_CHECKING:
    from agentrelease.engine.levers import Placement
    from agentrelease.engine.ports import Object


def amend(document: Any, placement: Placement, written: int) -> dict[str, Any]:
    """Return the document that carries out a placement in place of a stored one (``None``: nothing stored).

    A person's halt stays on. ``written`` is the highest version this writer remembers. The stored
    document itself comes back where it already says the same.
    """
    wanted = flag_set(placement, 0, halted_by=_kept(document, placement))
    said = _said(document, placement.agent)
    if said is not None and _comparable(said) == _comparable(wanted):
        return dict(document)
    version = max(version_of(document), written) + 1
    return replace(wanted, version=version).document()


def lowest(document: Any, placement: Placement, written: int) -> dict[str, Any]:
    """Return the document that permits nobody anything; a kill switch that is on stays on.

    It is what a lowering writes where its own document is one that flagd would refuse: nothing in it but
    the agent's name comes from outside, so it is valid whatever was wrong with the other.
    """
    bare = replace(placement, stable=None, candidate=None)
    return amend(document, bare, written)


def reading(obj: Object, document: Any, placement: Placement) -> Reading:
    """Return what a stored document allows anybody but the placement's stable revision."""
    base = Reading(epoch=epoch_of(obj), lowered=note_of(obj), halted=halts(document, placement.agent))
    ours = halted_by(document, placement.agent) == OPERATOR
    base = replace(base, stopped=base.halted, own_halt=ours)
    try:
        said = parse(document, placement.agent)
    except Unreadable as error:
        return replace(base, problem=str(error), missing=not base.halted)
    stable = placement.stable.revision if placement.stable else None
    in_sync = difference(obj, document, placement) is None
    candidate = _highest([grant for _, grant in said.grants if grant.revision != stable])
    leases = {grant.lease_until for _, grant in said.grants if grant.revision != stable}
    return replace(
        base,
        candidate=_reached(candidate, said, placement, in_sync=in_sync),
        stable_autonomy=said.grant(stable).autonomy if stable else None,
        lease_until=None if None in leases else max(leases, default=None),  # type: ignore[type-var]
        in_sync=in_sync,
        serving=_told(said.stable) if said.stable else None,
    )


def _told(grant: Grant) -> Told:
    levels = tuple((one.labels, one.permission.autonomy) for one in grant.strata)
    return Told(grant.revision, grant.autonomy, levels)


def _reached(may: Exposure, said: FlagSet, placement: Placement, *, in_sync: bool) -> Exposure:
    """Add who is served by another revision than stable, if the document says who serves at all."""
    stable = placement.stable.revision if placement.stable else None
    met = said.share if said.candidate else None
    percent = met.percent if met else 0.0
    shares = {said.stable.revision: 100 - percent} if said.splits and said.stable else {}
    if met is not None and said.candidate is not None:
        shares[said.candidate.revision] = percent
    weight = sum(share for revision, share in shares.items() if revision != stable)
    if in_sync and placement.splits and placement.candidate is not None:
        weight = placement.candidate.exposure.weight  # as asked, as closely as whole numbers can
    theirs = met is not None and said.candidate is not None and said.candidate.revision != stable
    return replace(may, weight=weight, cohort=met.cohort if met and theirs else None)


def _highest(grants: list[Grant]) -> Exposure:
    """Return what somebody may do who has any of these grants."""
    if not grants:
        return Exposure()
    rest = strata.union([grant.rest for grant in grants])
    views = [(grant.strata, grant.rest) for grant in grants]
    return Exposure(autonomy=rest.autonomy, tools=rest.tools, strata=strata.joined(views, highest=True))


def difference(where: object, document: Any, placement: Placement) -> str | None:
    """Say that a document is not the placement's; ``None`` when it is, whatever its version and lease."""
    wanted = flag_set(placement, 0, halted_by=_kept(document, placement))
    said = _said(document, placement.agent)
    if said is not None and _comparable(_undated(said)) == _comparable(_undated(wanted)):
        return None
    invalid = problem(wanted.document())
    if invalid:
        return f"{where} can't carry the flags that were asked for, flagd would refuse them: {invalid}"
    return f"{where} does not carry the flags that were asked for"


def _kept(document: Any, placement: Placement) -> str:
    """Return whose halt stays: always a person's, and the operator's own where nothing is ordered."""
    keep = halted_by if placement.halted is None else kept_halt
    return keep(document, placement.agent)


def _said(document: Any, agent: str) -> FlagSet | None:
    """Return what a document says, without its version; ``None`` where it isn't ours."""
    try:
        return replace(parse(document, agent), version=0)
    except Unreadable:
        return None


def _comparable(said: FlagSet) -> FlagSet:
    """Leave out who halts while it halts: a person's patch doesn't sign, and need not be written again."""
    return replace(said, halted_by="") if said.halted else said


def _undated(said: FlagSet) -> FlagSet:
    """Leave out when leases end, but not whether there is one."""
    stable, candidate = (
        grant and replace(grant, lease_until=grant.lease_until and 1)
        for grant in (said.stable, said.candidate)
    )
    return replace(said, stable=stable, candidate=candidate)
