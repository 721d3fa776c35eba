"""Rules for a release without a candidate: stable serves, or something new begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import MAX_MESSAGE, Outcome
from agentrelease.api.vocabulary import OVERRIDE_ANNOTATION
from agentrelease.core.refusals import overridden, override_of, refusal_of
from agentrelease.core.steps import Move, Step, halted
from agentrelease.core.watch import holds, notified

if TYPE_CHECKING:
    from agentrelease.core.situation import Situation


def nothing_to_withdraw(s: Situation, _now: float) -> Step | None:
    if s.release.deleting:
        return Step(Move.KEEP, "Deleted", "the release is being deleted; stable keeps serving")
    return None


def return_order(s: Situation, _now: float) -> Step | None:
    """A person orders the previous revision back after a promotion."""
    order, status = s.release.spec.rollback, s.release.status
    stable, previous = status.stable, status.previous
    if order.to is None or stable is None or stable.revision == order.to:
        return None
    if order.of not in (None, stable.revision):
        return None
    if s.recalled and not s.leading:
        return None  # loading is the leader's; lowering what serves is anybody's
    if s.recalled and not any(r.digest == s.desired.digest for r in status.refused):
        return Step(Move.START, "RollbackOrdered", f"spec.rollback orders {order.to} back: loading it")
    if previous is None or previous.revision != order.to:
        return Step(
            Move.KEEP,
            "RollbackImpossible",
            f"{order.to} was never promoted, or is refused; apply its bundle instead",
        )
    if not holds(s, previous.revision):
        taken = f"the slot of {order.to} has something else, and no such revision is kept"
        return Step(Move.KEEP, "RollbackImpossible", f"{taken}; apply its bundle instead")
    return Step(
        Move.RETURN,
        "RollbackOrdered",
        f"spec.rollback orders a return to {order.to}",
        outcome=Outcome.ROLLED_BACK,
    )


def settled(s: Situation, _now: float) -> Step | None:
    stable = s.release.status.stable
    if stable is None or stable.digest != s.desired.digest:
        return None
    if halted(s):
        who = s.halt or "a person halted the agent"
        return Step(Move.KEEP, "Halted", f"{stable.revision} serves, but it may do nothing: {who}")
    said = (f"{stable.revision} serves at {stable.autonomy}", notified(s))
    return Step(Move.KEEP, "Promoted", "; ".join(part for part in said if part))


def refused(s: Situation, _now: float) -> Step | None:
    refused = refusal_of(s.release.status.refused, s.desired.digest)
    if refused is None or overridden(s.release, refused):
        return None
    way_out = f"to let it in again: annotation {OVERRIDE_ANNOTATION}={override_of(refused)}"
    room = MAX_MESSAGE - len(way_out) - len(refused.revision) - 30
    why = f"{refused.revision} was rolled back before: {refused.reason[:room]}; {way_out}"
    return Step(Move.KEEP, "Refused", why)


def order_stands(s: Situation, _now: float) -> Step | None:
    order = s.release.spec.rollback
    if order.to is None or order.to == s.desired.revision or order.of not in (None, s.desired.revision):
        return None
    return Step(Move.KEEP, "RollbackOrdered", f"spec.rollback.to holds this agent at {order.to}")


def start(s: Situation, _now: float) -> Step:
    why = f"loading {s.desired.revision}"
    if refusal_of(s.release.status.refused, s.desired.digest) is not None:
        why += f", although it was rolled back: {OVERRIDE_ANNOTATION} allows it"
    return Step(Move.START, "RolloutStarted", why)
