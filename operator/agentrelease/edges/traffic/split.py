"""Shares of traffic as integer weights, and back.

A weight is written in hundredths of a per cent (a total of 10,000), or in ten-thousandths where the
share needs it; what is finer still is rounded down, because a rounding may never raise exposure.
"""

from __future__ import annotations

from math import floor, isclose
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrelease.engine.levers import Placement

COARSE = 10_000
FINE = 1_000_000  # the largest weight that Gateway API allows


def units(share: float, total: int) -> int:
    """Return the part of ``total`` that a share in per cent is, rounded down."""
    exact = share * total / 100
    nearest = round(exact)
    return nearest if isclose(exact, nearest, rel_tol=0, abs_tol=1e-6) else floor(exact)


def total_for(share: float) -> int:
    """Return the total in which a share in per cent can be written."""
    return COARSE if isclose(share * 100, round(share * 100), rel_tol=0, abs_tol=1e-6) else FINE


def weights(placement: Placement, total: int | None = None, *, inherited: bool = False) -> dict[str, int]:
    """Return the weight of each of the placement's services.

    Stable takes what the candidate doesn't. Where there is no stable yet, the other slot does, as long as
    it serves already (``inherited``: what was there before us keeps serving) or the candidate gets a part:
    a first release at 1 % must not become 100 % because it is alone.
    """
    result = dict.fromkeys(placement.services, 0)
    candidate, share = placement.candidate, 0.0
    if candidate is not None:
        share = candidate.exposure.weight
    total = total_for(share) if total is None else total
    part = units(share, total)
    if placement.stable is not None:
        rest: str | None = placement.stable.service
    else:
        taken = candidate.service if candidate else None
        others = (name for name in placement.services if name != taken)
        rest = next(others, None) if part or inherited else None
    if rest is not None:
        result[rest] = total - part
    if candidate is not None and candidate.service != rest:
        result[candidate.service] = part
    return result


def exposed(placement: Placement) -> frozenset[str]:
    """Return the services behind which a candidate is, or could be: all but stable's."""
    stable = {placement.stable.service} if placement.stable else set()
    if placement.candidate is not None:
        return frozenset({placement.candidate.service} - stable)
    return frozenset(placement.services) - stable if stable else frozenset()
