"""What a person ordered for all agents at once, and carrying it out for one of them.

To halt is a lowering: it looks at nothing but the flags, stands before everything else in a look, and takes
part in no decision. What it writes permits nobody more than what stands there. To let work again is a
raise: only a leader does it, and only with what the operator halted itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agentrelease.core.exposure import NOTHING

if TYPE_CHECKING:
    from agentrelease.engine.levers import Placement, Reading


@dataclass(frozen=True, slots=True)
class Order:
    """Whether all agents are to be halted, may work again, or (``None``) nothing is said.

    ``why`` is a sentence where nothing may be raised: a halt, or an order that could not be read yet.
    """

    halt: bool | None
    why: str = ""


def nothing_ordered() -> Order:
    """Order nothing."""
    return Order(None)


def bounded(target: Placement, flags: Reading | None) -> Placement:
    """Return a placement whose candidate gets no more, and for no longer, than its flags give it now."""
    candidate = target.candidate
    if candidate is None:
        return target
    said = flags.candidate if flags and flags.candidate else NOTHING
    until = flags.lease_until if flags and flags.lease_until else candidate.lease_until
    kept = candidate.exposure.meet(said)
    return replace(target, candidate=replace(candidate, exposure=kept, lease_until=until))


__all__ = ["Order", "bounded", "nothing_ordered"]
