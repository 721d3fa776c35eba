"""What may not happen even once, heard between two blocks of evidence.

A single occurrence decides, so nothing is gained by waiting for the block to end. What is judged by
statistics waits for its block: that is closed by the clock and by scrapes, never because something happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.core import blocks
from agentrelease.core.series import Picked, Source
from agentrelease.core.span import Span

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.ledger import Ledger
    from agentrelease.core.permitted import Levels
    from agentrelease.core.series import Snapshot
    from agentrelease.engine.observe import Guarding

Alarm = tuple[Picked, Source]
"""A counter that may not grow, and whose it is."""


def alarms_of(release: AgentRelease, revision: str, guarding: Guarding, levels: Levels) -> frozenset[Alarm]:
    """Return the counters of a revision that may not grow at all at these levels."""
    source = Source(release.namespace, release.name, revision)
    events = {m.name: m.event for m in guarding.spec.metrics if m.event is not None}
    return frozenset(
        (Picked(one.metric, tuple(sorted({**dict(labels), **one.match}.items()))), source)
        for guardrail in guarding.plan.events
        for labels in levels.forbidding(guardrail)
        if (one := events.get(guardrail.name)) is not None
    )


def alarmed(
    release: AgentRelease,
    revision: str,
    guarding: Guarding,
    ledger: Ledger,
    levels: Levels,
    alarm: Snapshot | None,
) -> tuple[Ledger, tuple[object, ...] | None]:
    """Count what was heard since the last block; also return that as a step of the evidence's course."""
    if alarm is None or alarm.end <= ledger.through:
        return ledger, None
    span = Span(
        namespace=release.namespace,
        agent=release.name,
        candidate=revision,
        stable=None,
        start=ledger.through,
        end=alarm.end,
        counted=ledger.events_at,
        levels=levels,
    )
    counts = blocks.occurrences(alarm, guarding.spec, span)
    after = ledger.alarmed(guarding.plan, counts, alarm.end, levels.rest, *levels.lower)
    step = ("alarm", alarm.end, str(levels.rest), counts, sorted(map(str, levels.lower)))
    return after, None if after == ledger else step
