"""Phases: points of exposure, from least to most, and what it takes to leave each."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from agentrelease.api.base import Duration, Model, Name
from agentrelease.api.schema import rule, rules
from agentrelease.api.vocabulary import Autonomy, OnDeadline


class HeaderMatch(Model):
    """Requests that carry this header with exactly this value."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")
    """The header's name, in any case. Example: `x-audience`."""
    value: str = Field(min_length=1, max_length=128, pattern=r"^[!-~]([ -~]*[!-~])?$")
    """The header's value, exactly. Example: `internal`."""


class Cohort(Model):
    """The people who meet the candidate before any percentage of users does."""

    header: HeaderMatch
    """Requests that carry this header go to the candidate."""


class Phase(Model):
    """A point of exposure and what it takes to leave it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.mirror), has(self.cohort), has(self.weight)].filter(given, given).size() == 1",
                "a phase exposes the candidate in exactly one way: mirror, cohort or weight",
            ),
            rule(
                "!has(self.mirror) || self.autonomy == 'observe'",
                "a mirrored candidate may only observe: nobody sees its answers, so nobody could stop it",
                field=".autonomy",
            ),
            rule(
                "!has(self.deadline) || duration(self.deadline) > "
                "duration(has(self.minDuration) ? self.minDuration : '0s')",
                "deadline must be longer than minDuration, or the phase can't end well",
                field=".deadline",
            ),
            rule(
                "!has(self.onDeadline) || has(self.deadline) || self.onDeadline == 'hold'",
                "onDeadline without a deadline never happens; set deadline",
                field=".deadline",
            ),
        )
    )

    name: Name
    """Unique among the phases; appears in status, Events and approvals. Example: `canary-5`."""
    mirror: float | None = Field(default=None, gt=0, le=100)
    """Percent of live requests copied to the candidate, whose answers are thrown away. Example: `100`."""
    cohort: Cohort | None = None
    """People who reach the candidate while all others stay on stable."""
    weight: float | None = Field(default=None, gt=0, le=100)
    """Percent of live requests that the candidate answers. Example: `5`."""
    autonomy: Autonomy
    """How far the candidate may go: `observe`, `suggestion-only`, `limited-action`, `full-action`."""
    min_samples: int = Field(default=0, ge=0, le=10_000_000)
    """Tasks of the candidate that must be counted in this phase before it may end well."""
    min_duration: Duration = Duration("0s")
    """Time in this phase, counted only while intended, live and measured exposure agree. Example: `1h`."""
    deadline: Duration | None = None
    """After this, `onDeadline` happens; absent means no deadline. Example: `24h`."""
    on_deadline: OnDeadline = OnDeadline.HOLD
    """What a passed deadline causes: `hold`, `stepBack`, `rollback`, `requireApproval`; never promotion."""
    approval: Literal["none", "required"] = "none"
    """Whether a person must approve (AgentApproval) before the candidate enters this phase."""


_LAST = "self[size(self) - 1]"
# Spelled out because the API server reckons indexOf at a hundred times the budget.
_LEVEL = (
    "p.autonomy == 'observe' ? 0 : p.autonomy == 'suggestion-only' ? 1 "
    ": p.autonomy == 'limited-action' ? 2 : 3"
)
PHASES_RISE = rules(
    rule(
        "self.map(p, has(p.weight) ? 2 : has(p.cohort) ? 1 : 0).isSorted()",
        "phases expose the candidate more and more: first mirror, then cohort, then weight",
    ),
    rule(
        "self.filter(p, has(p.mirror)).map(p, p.mirror).isSorted()",
        "the mirrored share must not shrink from one phase to the next",
    ),
    rule(
        "self.filter(p, has(p.weight)).map(p, p.weight).isSorted()",
        "weight must not shrink from one phase to the next",
    ),
    rule(
        f"self.map(p, {_LEVEL}).isSorted()",
        "autonomy must not shrink from one phase to the next",
    ),
    rule(
        f"size(self) == 0 || (has({_LAST}.weight) && {_LAST}.weight == 100.0)",
        "the last phase must have weight 100, or the release could never be promoted",
    ),
)
