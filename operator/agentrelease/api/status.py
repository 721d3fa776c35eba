"""AgentRelease's status: what the operator intends, sees and decided, bounded in size.

Intended, live and measured exposure stand side by side; a phase's clock runs only while they agree.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from agentrelease.api.base import Model
from agentrelease.api.vocabulary import Autonomy

MAX_HISTORY = 30
MAX_REFUSED = 20
MAX_MESSAGE = 1024


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

    revision: str
    digest: str
    slot: str
    autonomy: Autonomy
    since: str = ""


class Candidate(Model):
    """The revision on its way."""

    revision: str
    digest: str
    slot: str
    stage: Stage = Stage.LOADING
    phase_index: int = -1
    phase_name: str = ""
    entered_at: float = 0.0  # unix seconds when the phase was intended
    confirmed_at: float = 0.0  # unix seconds when intended, live and measured first agreed; 0 = not yet
    active_seconds: float = 0.0  # the phase's clock
    ticked_at: float = 0.0
    blind_since: float = 0.0  # 0 = evidence is there
    autonomy_cap: Autonomy | None = None  # set by an intervention; never above the phase's own
    outcome: Outcome | None = None  # set while withdrawing
    reason: str = Field(default="", max_length=MAX_MESSAGE)


class ExposurePoint(Model):
    """One view of how much of the candidate can be reached."""

    mirror: float = 0.0
    cohort: str = ""
    weight: float = 0.0
    autonomy: Autonomy = Autonomy.OBSERVE


class MeasuredExposure(Model):
    """What traffic and agents report; absent means unknown."""

    weight: float | None = None
    tasks: int | None = None
    autonomy: Autonomy | None = None
    at: str = ""


class Exposure(Model):
    """The candidate's exposure three times."""

    intended: ExposurePoint = Field(default_factory=ExposurePoint)
    live: ExposurePoint | None = None
    measured: MeasuredExposure | None = None


class ArmCount(Model):
    """Tasks and bad outcomes of one arm in this phase."""

    n: float
    x: float


class MetricStatus(Model):
    """One guardrail's standing, in words and numbers."""

    name: str
    class_: str = Field(alias="class")
    stratum: str = ""
    verdict: str
    candidate: ArmCount | None = None
    stable: ArmCount | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    harm_evidence: float = 0.0  # log10; at least the bound means proven
    safe_evidence: float = 0.0
    needed: int | None = None
    why: str = Field(default="", max_length=512)


class Refused(Model):
    """A bundle that was rolled back and does not roll out again without an override."""

    digest: str
    revision: str
    reason: str = Field(default="", max_length=MAX_MESSAGE)
    at: str = ""


class Transition(Model):
    """One change of exposure that explains itself."""

    at: str
    phase: str
    revision: str
    from_: str = Field(alias="from")
    to: str
    reason: str = Field(default="", max_length=MAX_MESSAGE)
    epoch: int = 0


class Condition(Model):
    """A condition in the API server's usual form."""

    type: str
    status: str
    reason: str
    message: str = Field(default="", max_length=MAX_MESSAGE)
    observed_generation: int = 0
    last_transition_time: str = ""


class ReleaseStatus(Model):
    """The whole status."""

    observed_generation: int = 0
    phase: str = ""
    verdict: str = ""
    reason: str = Field(default="", max_length=MAX_MESSAGE)
    stable: Serving | None = None
    candidate: Candidate | None = None
    previous: Serving | None = None
    exposure: Exposure = Field(default_factory=Exposure)
    metrics: list[MetricStatus] = Field(default_factory=list, max_length=48)
    refused: list[Refused] = Field(default_factory=list, max_length=MAX_REFUSED)
    history: list[Transition] = Field(default_factory=list, max_length=MAX_HISTORY)
    evidence: str = Field(default="", max_length=32_768)
    decision: str = ""
    epoch: int = 0
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
