"""AgentRelease's status: what the operator intends, sees and decided, bounded in size.

Intended, live and measured exposure stand side by side; a phase's clock runs only while they agree.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from agentrelease.api.base import Model
from agentrelease.api.phase import PhaseStratum
from agentrelease.api.schema import keyed_by
from agentrelease.api.vocabulary import Autonomy

MAX_FIGHTS = 3
MAX_HISTORY = 30
MAX_REFUSED = 20
MAX_MESSAGE = 1024
MAX_EVALUATIONS = 16
MAX_STATE = 262_144
"""Characters of evidence; 24 metrics in all strata that are kept, with the longest names, need fewer."""

Word = Annotated[str, Field(max_length=63)]
Phrase = Annotated[str, Field(max_length=256)]
Hash = Annotated[str, Field(max_length=71)]
Time = Annotated[str, Field(max_length=40)]


class Stage(StrEnum):
    """Where a candidate stands, apart from its phase."""

    LOADING = "Loading"  # its slot takes the bundle; no exposure
    RUNNING = "Running"  # in a phase
    WITHDRAWING = "Withdrawing"  # exposure goes to zero; not over until telemetry shows it


class Outcome(StrEnum):
    """How a candidate ended."""

    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    SUPERSEDED = "Superseded"


class Serving(Model):
    """A revision that serves, and how."""

    revision: Word
    """The revision. Example: `support-3f9a0c11de`."""
    digest: Hash
    """Its bundle's digest."""
    slot: Word
    """The slot it runs in. Example: `blue`."""
    autonomy: Autonomy
    """How far it may go."""
    strata: list[PhaseStratum] = Field(default_factory=list, max_length=4)
    """Kinds of requests for which it stays lower, as in the phase in which it was promoted."""
    since: Time = ""
    """Since when it serves."""
    refusals: int = Field(default=0, ge=0)
    """How often its bundle was rolled back before somebody allowed it again."""


class Granted(Model):
    """The exposure with which a phase was entered; an edit of the phase takes it no higher by itself."""

    mirror: float = 0.0
    """Percent of live requests copied to the candidate."""
    cohort: Phrase = ""
    """The people who reach it, as `name=value`; empty for none."""
    weight: float = 0.0
    """Percent of live requests that it answers."""
    autonomy: Autonomy = Autonomy.OBSERVE
    """How far it may go."""
    strata: list[PhaseStratum] = Field(default_factory=list, max_length=4)
    """Kinds of requests for which it stays lower."""


class Candidate(Model):
    """The revision on its way."""

    revision: Word
    """The revision. Example: `support-3f9a0c11de`."""
    digest: Hash
    """Its bundle's digest; an approval must name this one."""
    slot: Word
    """The slot that it is loaded into. Example: `green`."""
    stage: Stage = Stage.LOADING
    """`Loading` (no exposure yet), `Running` (in a phase) or `Withdrawing` (exposure goes to zero)."""
    started_at: float = 0.0
    """When its rollout began, in Unix seconds."""
    phase_index: int = -1
    """Place of its phase in `spec.phases`; -1 before the first."""
    phase_name: Word = ""
    """Name of its phase."""
    granted: Granted | None = None
    """The exposure with which its phase was entered; absent before the first."""
    entered_at: float = 0.0
    """When the phase was intended, in Unix seconds."""
    confirmed_at: float = 0.0
    """When intended, live and measured exposure first agreed, in Unix seconds; 0 = not yet."""
    active_seconds: float = 0.0
    """The phase's clock, in seconds; runs only while intended, live and measured agree."""
    ticked_at: float = 0.0
    """When the clock was last moved, in Unix seconds."""
    blind_since: float = 0.0
    """Since when evidence has been missing, in Unix seconds; 0 = evidence is there."""
    autonomy_cap: Autonomy | None = None
    """A ceiling that an intervention set; never above the phase's own autonomy."""
    fallback: bool = False
    """Whether an intervention has put it on its bundle's `model.fallback`."""
    interventions: int = Field(default=0, ge=0, le=64)
    """How often a guardrail took something from it in this rollout."""
    recalled: bool = False
    """Whether it was promoted once and comes back because `spec.rollback.to` names it."""
    approval_asked: bool = False
    """Whether a guardrail or a passed deadline asks for an approval before the next phase."""
    tools_cut: int = Field(default=0, ge=0, le=2)
    """How many effect classes an intervention has taken from its tools: 1 irreversible, 2 all but read."""
    permitted: Autonomy = Autonomy.OBSERVE
    """The highest level that its agents may still rightly have; follows a lowering when they report it."""
    permitted_strata: list[PhaseStratum] = Field(default_factory=list, max_length=4)
    """The same of requests that stay lower than the rest."""
    permitted_until: float = 0.0
    """When the grant before the last lowering has surely lapsed, in Unix seconds; 0 = none is left."""
    settling_until: float = 0.0
    """Until when agents may still be taking up what an intervention took, in Unix seconds; 0 = they have."""
    fights: list[float] = Field(default_factory=list, max_length=MAX_FIGHTS)
    """When exposure that somebody raised from outside was taken back, in Unix seconds, newest last."""
    drain_until: float = 0.0
    """Until when it answers sessions that met it, while it is withdrawn, in Unix seconds; 0 = it doesn't."""
    outcome: Outcome | None = None
    """How it ends, while it is being withdrawn."""
    reason: str = Field(default="", max_length=MAX_MESSAGE)
    """Why it stands where it stands."""


class Watching(Model):
    """The watch over the revision that serves, since its promotion."""

    since: float
    """When it began, in Unix seconds."""
    lowered: int = Field(default=0, ge=0, le=64)
    """How often a breach lowered the autonomy of what serves."""
    permitted: Autonomy = Autonomy.OBSERVE
    """The level before the last lowering, until `permittedUntil`."""
    permitted_until: float = 0.0
    """When agents have surely read the last lowering, in Unix seconds."""
    returning: str = Field(default="", max_length=MAX_MESSAGE)
    """Why the revision before is loaded again to be returned to; empty while nothing asks for it."""
    evidence: str = Field(default="", max_length=MAX_STATE)
    """The operator's ledger of the watch, for itself; survives a restart."""
    proof: Word = ""
    """By which the operator knows that ledger again; one that is gone or changed is told and begins anew."""


class ExposurePoint(Model):
    """One view of how much of the candidate can be reached."""

    mirror: float = 0.0
    """Percent of live requests copied to the candidate."""
    cohort: Phrase = ""
    """The header that leads to the candidate, as `name=value`; empty for none."""
    weight: float = 0.0
    """Percent of live requests that the candidate answers."""
    autonomy: Autonomy = Autonomy.OBSERVE
    """How far the candidate may go."""


class MeasuredExposure(Model):
    """What traffic and agents report; absent means unknown."""

    weight: float | None = None
    """Percent of tasks that the candidate handled; absent means unknown."""
    tasks: int | None = None
    """The candidate's tasks in these seconds."""
    autonomy: Autonomy | None = None
    """The highest autonomy that the candidate reports to be in effect."""
    at: Time = ""
    """When it was measured."""
    seconds: float = 0.0
    """Over how many seconds, up to then, share and tasks are counted; longer where scrapes are rare."""


class Exposure(Model):
    """The candidate's exposure three times."""

    intended: ExposurePoint = Field(default_factory=ExposurePoint)
    """What the operator asked for."""
    live: ExposurePoint | None = None
    """What the route and the flags say; absent while unknown."""
    measured: MeasuredExposure | None = None
    """What traffic and agents report; absent while unknown."""


class ArmCount(Model):
    """Tasks and bad outcomes of one arm in this phase."""

    n: float
    """Tasks that were counted."""
    x: float
    """How many of them went wrong."""


class MetricStatus(Model):
    """One guardrail's standing, in words and numbers."""

    name: Word
    """The guardrail's name."""
    class_: Word = Field(alias="class")
    """What the metric is about: safety, quality, efficiency or business."""
    stratum: str = Field(default="", max_length=2_048)
    """The stratum; empty for all traffic. Example: `risk_tier=high`."""
    verdict: Word
    """What this metric says about the candidate. Example: `pass`, `harm`, `collecting`, `blind`."""
    candidate: ArmCount | None = None
    """Counts of the candidate."""
    stable: ArmCount | None = None
    """Counts of the stable revision over the same time."""
    difference: float | None = None
    """Candidate minus stable bad rate; without stable the rate itself."""
    low: float | None = None
    """Lower end of the interval for it that holds at any time."""
    high: float | None = None
    """Upper end of that interval."""
    harm_evidence: float = 0.0
    """Evidence of harm, log10 of an e-value; at `harmBound` harm is proven."""
    harm_bound: float = 0.0
    """The evidence at which harm is proven."""
    safe_evidence: float = 0.0
    """Evidence of safety, log10 of an e-value; at `safeBound` safety is proven."""
    safe_bound: float = 0.0
    """The evidence at which safety is proven."""
    needed: int | None = None
    """Tasks of the candidate that are probably still needed."""
    why: str = Field(default="", max_length=512)
    """The verdict in one sentence."""
    compared: Word = ""
    """By what, where not by the arms' counts: `pairs` of answers to the same request, or an `evaluation`;
    `arms` where the policy names pairs and nobody exports them."""


class Evaluation(Model):
    """What a run of an evaluator over a fixed set of cases came to."""

    revision: Word
    """The revision that was evaluated."""
    evaluator: Word
    """The evaluator. Example: `gold-incidents`."""
    dataset: Word = ""
    """The set of cases, as the run names it."""
    cases: float = 0.0
    """Cases that the whole run has; 0 means that it did not say."""
    results: dict[str, float] = Field(default_factory=dict, max_length=8)
    """Cases by result. Example: `{fail: 3, pass: 117}`."""
    score: float | None = None
    """Sum of the scores of its cases; absent where it gives none."""
    at: float = 0.0
    """When these results were first seen, in Unix seconds."""


class PhaseOutlook(Model):
    """What one phase takes at the traffic that was seen when the rollout began."""

    phase: Word
    """The phase."""
    tasks: int | None = None
    """Candidate tasks until it can be left, if the candidate is as good as stable; absent: never."""
    seconds: float | None = None
    """Seconds that this takes at the agent's traffic."""
    decided_by: Phrase = ""
    """The guardrail, and the stratum, that takes longest."""
    smallest: float | None = None
    """The lowest bad rate that is expected to be proven by then, or by the deadline if that comes first."""
    caught_by: Phrase = ""
    """The guardrail that would prove it."""
    bad: float | None = None
    """Bad tasks, in excess of stable's, by which it is proven."""
    warning: Phrase = ""
    """Why this phase is not expected to be left before its deadline."""


class Refused(Model):
    """A bundle that was rolled back and does not roll out again without an override."""

    digest: Hash
    """The digest that is refused."""
    revision: Word
    """Its revision."""
    reason: str = Field(default="", max_length=MAX_MESSAGE)
    """Why it was rolled back."""
    at: Time = ""
    """When."""
    served_from: Time = ""
    """Since when it had served when it was taken back; empty for a candidate."""
    times: int = Field(default=1, ge=1)
    """How often it was rolled back; each override counts for one of them."""


class Transition(Model):
    """One change of exposure that explains itself."""

    at: Time
    """When."""
    phase: Word
    """The phase it happened in."""
    revision: Word
    """The revision whose exposure changed."""
    from_: Phrase = Field(alias="from")
    """The exposure before."""
    to: Phrase
    """The exposure after."""
    reason: str = Field(default="", max_length=MAX_MESSAGE)
    """Why: who or what, metric, value, bound, samples."""
    epoch: int = 0
    """The epoch of the operator that did it."""


class Condition(Model):
    """A condition in the API server's usual form."""

    type: Word
    """What the condition is about. Example: `Ready`."""
    status: Word
    """`True`, `False` or `Unknown`."""
    reason: Word
    """Why, in one CamelCase word."""
    message: str = Field(default="", max_length=MAX_MESSAGE)
    """Why, in one sentence."""
    observed_generation: int = 0
    """The generation of the spec that it is about."""
    last_transition_time: Time = ""
    """When the status last changed."""


MAX_ENTRY = 16_384
"""Characters of a packed entry in the status; a longer one is only on stdout and in the revision's copy."""


class LogHead(Model):
    """The newest entry of the decision log; the next entry carries its hash."""

    id: Word
    """The entry's name. Example: `d-000042`."""
    sequence: int
    """Its place in the log of this release, from 1."""
    hash: Hash
    """SHA-256 of its canonical JSON."""
    at: Time
    """When it was decided."""


class ReleaseStatus(Model):
    """The whole status."""

    observed_generation: int = 0
    """The generation of the spec that the whole status is about."""
    phase: Word = ""
    """Where the release stands, in one word. Example: `canary-5` or `Promoted`."""
    verdict: Word = ""
    """What the evidence says, in one word."""
    reason: str = Field(default="", max_length=MAX_MESSAGE)
    """Why, in one sentence."""
    weight: float | None = None
    """At a glance: percent of requests that the candidate answers; without one, that stable answers."""
    autonomy: Autonomy | None = None
    """At a glance: how far the candidate may go; without one, how far stable may."""
    stable: Serving | None = None
    """The revision that serves."""
    candidate: Candidate | None = None
    """The revision on its way; absent when nothing rolls out."""
    previous: Serving | None = None
    """The revision that served before; the one to go back to."""
    exposure: Exposure = Field(default_factory=Exposure)
    """The candidate's exposure: intended, live and measured, side by side."""
    metrics: list[MetricStatus] = Field(default_factory=list, max_length=48)
    """Standing of each guardrail, per stratum where it is proven by stratum."""
    evaluations: list[Evaluation] = Field(default_factory=list, max_length=MAX_EVALUATIONS)
    """Offline evaluations of the candidate, of what serves and of what served before."""
    outlook: list[PhaseOutlook] = Field(default_factory=list, max_length=32)
    """What each phase with a comparison takes at the present traffic."""
    refused: list[Refused] = Field(default_factory=list, max_length=MAX_REFUSED)
    """Bundles that were rolled back and do not roll out again, oldest first."""
    history: list[Transition] = Field(default_factory=list, max_length=MAX_HISTORY)
    """The last changes of exposure, oldest first."""
    evidence: str = Field(default="", max_length=MAX_STATE)
    """The operator's ledger of evidence, for itself; survives a restart."""
    course: str = Field(default="", max_length=8_192)
    """How the evidence came about, for the operator itself; with it lost evidence is read again."""
    reference: str = Field(default="", max_length=MAX_STATE)
    """The previous stable's frozen record that the watch after promotion compares with."""
    watch: Watching | None = None
    """The watch after promotion; absent once it is over and while something rolls out."""
    decision: LogHead | None = None
    """The last entry of the decision log; absent before the first."""
    decision_entry: str = Field(default="", max_length=MAX_ENTRY)
    """That entry itself, packed, for the operator: what its writer was killed before it could tell."""
    epoch: int = 0
    """The epoch of the operator that wrote this."""
    conditions: list[Condition] = Field(
        default_factory=list, max_length=16, json_schema_extra=keyed_by("type")
    )
    """Ready, Reconciling, Stalled and what stands behind them."""
