"""One task, counted once: its outcome, its worst violation, its correction and its escalation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from types import TracebackType

    from agentrelease.sdk.counts import Counts
    from agentrelease.sdk.maturing import Maturing
    from agentrelease.sdk.pairing.joiner import Stratum
    from agentrelease.sdk.pairing.reporter import PairReporter

Outcome = Literal["completed", "failed", "abandoned", "refused"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a task's outcome goes to be set against the other revision's answer to the same request."""

    reporter: PairReporter
    request: str
    stratum: Stratum
    copy: bool

    def began(self) -> None:
        """Tell that a copy was taken up, so that it is missed if nothing follows."""
        if self.copy:
            self.reporter.began(self.request, self.stratum)

    def judged(self, bad: Mapping[str, bool]) -> None:
        """Tell what was bad about the answer."""
        self.reporter.judged(self.request, self.stratum, bad, copy=self.copy)


class Task:
    """What the agent tells about a task while it works on it; a context manager.

    That it began is counted at once: a task that never ends is known by that alone. Everything that a
    ratio is made of is counted together when the task ends: a violation that counted before its own
    task did would make a young release look worse than it is. Actions count at once, because one
    forbidden action is enough to stop a release. A task that says nothing failed; so did one that an
    exception ended, whatever it said before.
    """

    def __init__(
        self,
        counts: Counts,
        clock: Callable[[], float],
        pair: Pair | None = None,
        maturing: Maturing | None = None,
        request: str = "",
    ) -> None:
        self._counts = counts
        self._maturing = maturing
        self._key: Hashable = request or self
        self._pair = pair
        self._clock = clock
        self._started = clock()
        self._ended = False
        self._outcome: Outcome = "failed"
        self._violation: tuple[str, str] | None = None
        self._correction: str | None = None
        self._escalation: str | None = None

    def completed(self) -> None:
        """Say that the user got what they came for."""
        self._outcome = "completed"

    def failed(self) -> None:
        """Say that they did not."""
        self._outcome = "failed"

    def abandoned(self) -> None:
        """Say that the user left before the end."""
        self._outcome = "abandoned"

    def refused(self) -> None:
        """Say that the agent declined the task."""
        self._outcome = "refused"

    def violation(self, severity: str, category: str) -> None:
        """Report a policy violation. A task with several counts as one, the most severe."""
        if self._violation is None or self._counts.severer(severity, self._violation[0]):
            self._violation = (severity, category)

    def action(self, disposition: str, risk_class: str | None) -> None:
        """Count what became of an action, now."""
        self._counts.action(disposition, risk_class)

    def corrected(self, kind: str) -> None:
        """Report that a person had to correct the result; also after the task's end, once."""
        if self._correction is None:
            self._correction = kind
            if self._ended:
                self._counts.correction(kind)
                self._late("corrected")

    def escalated(self, reason: str) -> None:
        """Report that the task went to a person; once."""
        if self._escalation is None:
            self._escalation = reason
            if self._ended:
                self._counts.escalation(reason)
                self._late("escalated")

    def cost(self, amount: float) -> None:
        """Add to the task's cost, in the currency of the metric."""
        self._counts.cost(amount)

    def __enter__(self) -> Self:
        self._counts.started(self, self._started)
        if self._pair is not None:
            self._pair.began()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._outcome = "failed"
        self._ended = True
        self._counts.outcome(self, self._outcome, self._clock() - self._started)
        if self._violation is not None:
            self._counts.violation(*self._violation)
        if self._correction is not None:
            self._counts.correction(self._correction)
        if self._escalation is not None:
            self._counts.escalation(self._escalation)
        if self._pair is not None:
            self._pair.judged(self._bad())
        if self._maturing is not None:
            self._maturing.ended(self._key, self._counts, self._labels())

    def _late(self, label: str) -> None:
        if self._maturing is not None:
            self._maturing.label(self._key, label)

    def _labels(self) -> set[str]:
        """What was said of the task before it ended."""
        bad = self._bad()
        named = {"violated": "violation", "escalated": "escalation", "corrected": "correction"}
        return {label for label, judged in named.items() if bad[judged]}

    def _bad(self) -> dict[str, bool]:
        """What was bad, as far as it is known when the task ends."""
        return {
            "completion": self._outcome != "completed",
            "violation": self._violation is not None,
            "correction": self._correction is not None,
            "escalation": self._escalation is not None,
        }
