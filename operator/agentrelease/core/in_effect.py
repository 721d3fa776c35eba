"""What agents say about their own autonomy: by kind of request, and whether it is what was intended.

Agents report a level for each workflow class and risk tier. One that reports a level without these labels
reports what a request gets that says nothing of itself: with strata, the lowest of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import Autonomy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentrelease.core.exposure import Exposure
    from agentrelease.core.series import Series

Kind = tuple[str, str]
"""Risk tier and workflow class; empty where the agent doesn't say."""

_LEVELS = {level.value: level for level in Autonomy}


def reported(series: Iterable[Series], at: float, window: float) -> dict[Kind, Autonomy]:
    """Return the highest level that any agent reported for each kind of request in the last ``window`` s."""
    found: dict[Kind, Autonomy] = {}
    for one in series:
        level = _LEVELS.get(one.labels.get("level", ""))
        if level is None or one.samples[-1].value < 1 or at - one.newest > window:
            continue
        kind = one.labels.get("risk_tier", ""), one.labels.get("workflow_class", "")
        found[kind] = max(level, found.get(kind, level))
    return found


def difference(levels: dict[Kind, Autonomy], exposure: Exposure) -> str:
    """Say for which kind of requests the agents' level is not the intended one; empty when all are."""
    if not levels:
        return "no agent of the candidate reports its autonomy"
    for (tier, workflow), level in sorted(levels.items()):
        said = {"risk_tier": tier, "workflow_class": workflow}
        intended = exposure.permits(said).autonomy
        if level is not intended:
            told = ",".join(f"{name}={value}" for name, value in said.items() if value)
            where = f" for {told}" if told and exposure.strata else ""
            return f"the agents report {level}{where}, intended is {intended}"
    return ""
