"""Phases: points of exposure, from least to most, and what it takes to leave each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from agentrelease.api.base import Duration, Model, Name
from agentrelease.api.schema import rule, rules, whole
from agentrelease.api.vocabulary import Autonomy, OnDeadline


class HeaderMatch(Model):
    """Requests that carry this header with exactly this value."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")
    """The header's name, in any case. Example: `x-audience`."""
    value: str = Field(min_length=1, max_length=128, pattern=r"^[!-~]([ -~]*[!-~])?$")
    """The header's value, exactly. Example: `internal`."""


class CookieMatch(Model):
    """Requests that carry this cookie with exactly this value."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
    """The cookie's name, in its own case. Example: `beta`."""
    value: str = Field(min_length=1, max_length=128, pattern=r"^[!#-+./0-9:<-\[\]-~-]+$")
    """The cookie's value, exactly and without quotes. Example: `yes`."""


class ClaimMatch(Model):
    """Requests whose token carries this claim with exactly this value."""

    name: str = Field(min_length=1, max_length=56, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """The claim's name. The gateway must hand it on as the header `x-claim-<name>`, lower-case and with `-`
    for `_`, and take that header away from requests that bring it along. Example: `team`."""
    value: str = Field(min_length=1, max_length=128, pattern=r"^[!-~]([ -~]*[!-~])?$")
    """The claim's value, exactly. Example: `support`."""


class AttributeMatch(Model):
    """Sessions for which the caller of the flags says this attribute with exactly this text."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """The attribute's name in the evaluation context. Example: `audience`."""
    value: str = Field(min_length=1, max_length=128, pattern=r"^[!-~]([ -~]*[!-~])?$")
    """The attribute's value, exactly. Example: `internal`."""


class Cohort(Model):
    """The people who meet the candidate before any percentage of users does."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.header), has(self.cookie), has(self.claim), has(self.attribute)]"
                ".filter(given, given).size() == 1",
                "a cohort is known by exactly one thing: header, cookie, claim or attribute",
            )
        )
    )

    header: HeaderMatch | None = None
    """Requests that carry this header go to the candidate."""
    cookie: CookieMatch | None = None
    """Requests that carry this cookie go to the candidate."""
    claim: ClaimMatch | None = None
    """Requests whose token, checked by the gateway, carries this claim go to the candidate."""
    attribute: AttributeMatch | None = None
    """Where no route splits: sessions with this attribute in their evaluation context go to the candidate."""
    evidence: Literal["required", "optional"] = "required"
    """Whether the cohort's own tasks (`audience` = `internal`) must prove the candidate safe before anybody
    else meets it. `optional` is for cohorts too small for a proof: the phase ends after its `minSamples`
    (one at least) and `minDuration` if nothing is breached or suspicious."""


# Spelled out because the API server reckons indexOf at a hundred times the budget.
def _level(of: str) -> str:
    return (
        f"{of}.autonomy == 'observe' ? 0 : {of}.autonomy == 'suggestion-only' ? 1 "
        f": {of}.autonomy == 'limited-action' ? 2 : 3"
    )


class PhaseStratum(Model):
    """Requests of one kind that stay lower than the rest of the phase.

    A request belongs here unless it says otherwise: one that doesn't say its risk tier, or says it by
    something else than a text, gets the lowest level of all strata. Of several that fit, the lowest counts.
    """

    match: Annotated[
        dict[str, Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[!-~]([ -~]*[!-~])?$")]],
        Field(min_length=1, max_length=2),
    ] = Field(
        json_schema_extra=rules(
            rule(
                "self.all(label, label in ['risk_tier', 'workflow_class'])",
                "a stratum is told by risk_tier, workflow_class or both: agents tell the flags nothing else",
            )
        )
    )
    """What the requests say of themselves, exactly. Example: `{risk_tier: high}`."""
    autonomy: Autonomy
    """How far the candidate may go with them; at most the phase's `autonomy`."""


class StratumSamples(Model):
    """How many tasks of one kind must be counted before a phase may end well."""

    match: Annotated[
        dict[str, Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[!-~]([ -~]*[!-~])?$")]],
        Field(min_length=1, max_length=2),
    ]
    """Labels of the stratum, among those of the policy's `strata.labels`. Example: `{risk_tier: high}`."""
    samples: int = Field(ge=1, le=10_000_000)
    """Tasks of the candidate in this stratum, in this phase. Example: `200`."""


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
            rule(
                f"!has(self.strata) || self.strata.all(s, ({_level('s')}) <= ({_level('self')}))",
                "a stratum stays at the phase's autonomy or below it",
                field=".strata",
            ),
            rule(
                "!has(self.strata) || self.strata.all(s, self.strata.exists_one(t, t.match == s.match))",
                "two strata of a phase match the same requests; keep one",
                field=".strata",
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
    strata: list[PhaseStratum] = Field(default_factory=list, max_length=4, json_schema_extra=whole())
    """Kinds of requests that stay lower, for example those of high risk; never lower than in an earlier
    phase. A promoted revision keeps those of the last phase."""
    min_samples: int = Field(default=0, ge=0, le=10_000_000)
    """Tasks of the candidate that must be counted in this phase before it may end well."""
    strata_samples: list[StratumSamples] = Field(
        default_factory=list, max_length=3, json_schema_extra=whole()
    )
    """Tasks that must be counted in single strata, besides `minSamples` in all of them together."""
    min_duration: Duration = Duration("0s")
    """Time in this phase, counted only while intended, live and measured exposure agree. Example: `1h`."""
    deadline: Duration | None = None
    """After this, `onDeadline` happens; absent means no deadline. Example: `24h`."""
    on_deadline: OnDeadline = OnDeadline.HOLD
    """What a passed deadline causes: `hold`, `stepBack`, `rollback`, `requireApproval`; never promotion."""
    approval: Literal["none", "required"] = "none"
    """Whether a person must approve (AgentApproval) before the candidate enters this phase."""


_LAST = "self[size(self) - 1]"
# A stratum that a phase doesn't list has the phase's own level there.
_STRATA_RISE = (
    "self.all(q, !has(q.strata) || q.strata.all(s, self.map(p, has(p.strata) && "
    "p.strata.exists(t, t.match == s.match) ? "
    f"p.strata.filter(t, t.match == s.match).map(t, {_level('t')})[0] : ({_level('p')})).isSorted()))"
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
        f"self.map(p, {_level('p')}).isSorted()",
        "autonomy must not shrink from one phase to the next",
    ),
    rule(
        _STRATA_RISE,
        "a stratum's autonomy must not shrink from one phase to the next",
    ),
    rule(
        f"size(self) == 0 || (has({_LAST}.weight) && {_LAST}.weight == 100.0)",
        "the last phase must have weight 100, or the release could never be promoted",
    ),
)
