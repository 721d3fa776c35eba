"""Which part of which series a block is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentrelease.core.audience import belongs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.audience import Labelled
    from agentrelease.core.permitted import Levels


@dataclass(frozen=True, slots=True)
class Services:
    """The Services of the two arms, in the release's namespace; empty for none."""

    candidate: str = ""
    stable: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """One release's part of a look: ``(start, end]`` in unix seconds, on a grid of ``step`` seconds.

    ``audience`` keeps only series of that audience, ``""`` keeps all. ``since`` is when the exposure began
    under which the block's tasks arrive. Without a ``step`` the whole span is one. ``mirrored`` says that
    the candidate sees copies of stable's requests, and ``paired`` names the metrics that were compared in
    pairs before: they stay so, and are unknown while their pairs are. ``counted`` says until when an event
    metric's occurrences have been counted already, by metric. ``services`` are those that the router
    sends the arms' requests to. ``early`` says that the last scrape before the span may be from before the
    phase. ``levels`` says what the candidate may do with which requests; without them
    everything it did is counted.
    """

    namespace: str
    agent: str
    candidate: str
    stable: str | None
    start: float
    end: float
    audience: str = ""
    stable_audience: str = ""
    step: float = 0.0
    since: float = 0.0
    mirrored: bool = False
    paired: frozenset[str] = frozenset()
    counted: Mapping[str, float] = field(default_factory=dict)
    services: Services = Services()
    early: bool = False
    levels: Levels | None = None

    @property
    def points(self) -> tuple[float, ...]:
        """The start, and the end of each step."""
        steps = max(1, round((self.end - self.start) / self.step)) if self.step > 0 else 1
        return (*(self.start + place * self.step for place in range(steps)), self.end)

    def picks(self, one: Labelled, match: Mapping[str, str], audience: str) -> bool:
        """Whether a series is meant."""
        return belongs(one, audience) and all(
            one.labels.get(label) == value for label, value in match.items()
        )
