"""What the phases will take, at the traffic and the rates that stable shows now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.core import audience, blocks, pairs
from agentrelease.core.forecast import Flow, Outlook, outlook
from agentrelease.core.scrapes import interval, window
from agentrelease.engine.arms import of_revision
from agentrelease.engine.measuring import WINDOW, grown, since

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.api.release import AgentRelease
    from agentrelease.core.evidence import Count
    from agentrelease.core.guardrails import Plan
    from agentrelease.core.series import Series, Snapshot
    from agentrelease.engine.observe import Guarding

PRIOR = 50.0
"""Tasks' worth of a metric's expected rate in a forecast, while little of stable has been seen."""


def forecast(release: AgentRelease, guarding: Guarding, snapshot: Snapshot) -> tuple[Outlook, ...]:
    """Say what the phases will take at the traffic and the rates that stable shows now."""
    stable = release.status.stable
    if stable is None:
        return ()
    tasks = snapshot.of(blocks.TASKS, release.namespace, release.name)
    theirs = of_revision(tasks, stable.revision)
    seconds = window(interval([theirs]), WINDOW)
    lately = snapshot.end - since(theirs, 0.0, snapshot, seconds)
    counts = blocks.recent(snapshot, guarding.spec, release, stable.revision, lately)
    rates = {
        name: (count.x + expected * PRIOR) / (count.n + PRIOR)
        for name, (count, expected) in _with_expected(guarding.plan, counts).items()
    }
    external, internal = (
        _pace(tasks, snapshot, seconds, whose) for whose in (audience.EXTERNAL, audience.INTERNAL)
    )
    return outlook(
        release.spec.phases,
        guarding.plan,
        Flow(external, internal, rates, _paired(release, guarding, snapshot)),
    )


def _paired(release: AgentRelease, guarding: Guarding, snapshot: Snapshot) -> frozenset[str]:
    """Return the guardrails of which somebody has counted pairs already; of others nobody may ever do it."""
    series = snapshot.of(pairs.PAIRS, release.namespace, release.name)
    return frozenset(
        g.name for g in guarding.plan.tested if g.pairs and pairs.exported(series, {"metric": g.pairs})
    )


def _pace(series: tuple[Series, ...], snapshot: Snapshot, seconds: float, whose: str) -> float:
    """Return the agent's tasks a second in one audience; of an agent that is new, since it is known."""
    known = min((one.samples[0].at for one in series), default=snapshot.end)
    mine = tuple(one for one in series if audience.belongs(one, whose))
    start = max(known, since(mine, 0.0, snapshot, seconds))
    return (grown(mine, start, snapshot.end) or 0.0) / max(snapshot.end - start, 1.0)


def _with_expected(plan: Plan, counts: Mapping[str, Count]) -> dict[str, tuple[Count, float]]:
    return {g.name: (counts[g.name], g.expected) for g in plan.tested if g.name in counts}
