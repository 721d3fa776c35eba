"""Everything a decision may look at, and nothing else.

The engine fills a ``Situation`` by reading; ``decide`` turns it into the next status. What is
unknown is ``None`` or a sentence that says what is missing, never a convenient zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.vocabulary import Autonomy
    from agentrelease.core.assess import Assessment
    from agentrelease.core.exposure import Exposure
    from agentrelease.core.forecast import Outlook
    from agentrelease.core.offline import Run
    from agentrelease.core.recovery import Former


@dataclass(frozen=True, slots=True)
class Desired:
    """The bundle in the spec, by its identity."""

    digest: str
    revision: str


@dataclass(frozen=True, slots=True)
class Live:
    """What the API objects say about the candidate.

    ``exposure`` is ``None`` when a lever could not be read. ``flags`` and ``traffic`` say what is missing
    until that side is in effect, ``lowered`` is the note that a lowering write left behind.
    """

    exposure: Exposure | None
    flags: str = ""
    traffic: str = ""
    lowered: str = ""
    halted: bool = False
    missing: bool = False  # the flags are gone or broken, which is nobody's lowering
    lease_until: int | None = None
    served: frozenset[str] = frozenset()  # Services of slots that have a weight in the route

    @property
    def unconfirmed(self) -> str:
        """What is missing on either side."""
        return "; ".join(why for why in (self.flags, self.traffic) if why)


@dataclass(frozen=True, slots=True)
class Measured:
    """What traffic and agents report about the candidate, from Prometheus.

    ``weight`` is the share of ordinary traffic in per cent, ``tasks`` the candidate's tasks, both in the last
    ``seconds`` of the phase, ``recent`` those of the newest scrapes only, ``reporting`` whether the
    candidate's own telemetry names its revision, ``disagreement`` why this does not fit the intent.
    """

    weight: float | None = None
    tasks: float | None = None
    recent: float | None = None
    autonomy: Autonomy | None = None
    reporting: bool = False
    disagreement: str = ""
    at: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SlotState:
    """Whether a slot has taken a revision. ``problem`` is a sentence while it has not.

    ``silent`` says that nothing but telemetry can tell whether the pods have it.
    """

    revision: str | None
    available: bool
    problem: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """One release, as it stands now."""

    release: AgentRelease
    desired: Desired
    live: Live
    slot: SlotState | None  # of the candidate, or of the previous revision when there is no candidate
    measured: Measured
    assessment: Assessment | None
    blind: str = ""  # why there is no usable evidence; empty = there is
    leading: bool = False
    recalled: bool = False  # ``desired`` is the kept revision that ``spec.rollback.to`` orders back
    outlook: tuple[Outlook, ...] = ()  # known while a slot loads and traffic is seen
    evaluations: tuple[Run, ...] = ()  # offline evaluations of the revisions, as far as they are known
    closed: str = ""  # why nothing may be raised now: a window, a freeze
    approval: str = ""  # which approval the next phase waits for
    halt: str = ""  # who halted all agents, or that it isn't known; nothing is raised then
    claim: str = ""  # who else holds a lever of this release
    regained: str = ""  # what became of evidence that the status had lost, as ``Reason: sentence``
    former: Former | None = None  # what the release was, where its status says nothing and other things do
