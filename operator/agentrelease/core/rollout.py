"""What happens next to a release: the first rule that applies, safest first.

The order of the rules *is* the safety argument, so it stands in one place. Rules that lower come
first and look at nothing that may be missing; rules that hold come next; only what passed all of
them may raise. No rule does I/O, and time comes in as a number of seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.core import drift, interventions, lowering, raising, recovery, serving, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.core.situation import Situation
    from agentrelease.core.steps import Step


def next_step(situation: Situation, now: float) -> Step:
    """Return the step for a release; the rules below in their order."""
    for rule in rules_for(situation):
        step = rule(situation, now)
        if step is not None:
            return step
    raise AssertionError("the last rule always applies")


def rules_for(situation: Situation) -> tuple[Callable[[Situation, float], Step | None], ...]:
    """Return the rules that are looked at, in their order."""
    return _WITH_CANDIDATE if situation.release.status.candidate else _WITHOUT_CANDIDATE


_WITH_CANDIDATE: tuple[Callable[[Situation, float], Step | None], ...] = (
    recovery.lost,
    lowering.finish_withdrawal,
    lowering.deletion,
    lowering.order,
    lowering.superseded,
    lowering.interrupted,
    lowering.breach,
    lowering.budget_spent,
    lowering.edited,
    lowering.deadline,
    drift.drifted,
    raising.breached,
    raising.overdue,
    raising.held,
    raising.loading,
    raising.unconfirmed,
    raising.blind,
    interventions.unsettled,
    raising.collecting,
    interventions.earned,
    raising.gated,
    raising.advance,
)
_WITHOUT_CANDIDATE: tuple[Callable[[Situation, float], Step | None], ...] = (
    recovery.lost,
    serving.nothing_to_withdraw,
    serving.return_order,
    watch.reloaded,
    watch.breached,
    watch.regained,
    serving.settled,
    serving.refused,
    serving.order_stands,
    raising.held,
    serving.start,
)
