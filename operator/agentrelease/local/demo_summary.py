"""The end of the demo: what happened when, how quickly the bad release was stopped, and where to look."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of the timeline; ``at`` in seconds since the demo's first apply."""

    at: float
    what: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """How the bad revision was stopped; unix seconds, ``None`` = not seen."""

    revision: str
    violation: float | None  # the first sample that showed a violation in front of a user
    flags_safe: float | None
    route_safe: float | None
    answers: int  # that users got, as the traffic counted them
    requests: int  # that were sent while it lived
    tasks: int  # that Prometheus counted, mirrored ones too
    why: str

    @property
    def seconds(self) -> float | None:
        """From the first violating sample to flags safe and weight 0; ``None`` where something is unknown."""
        if self.violation is None or self.flags_safe is None or self.route_safe is None:
            return None
        return max(self.flags_safe, self.route_safe) - self.violation


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that is said at the end; ``failures`` is empty when the demo showed what it promises."""

    timeline: tuple[Happened, ...]
    stopped: Stopped | None
    failures: tuple[str, ...]
    shadows: int
    seconds: float
    look: Mapping[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether v2 was promoted and v3 rolled back."""
        return not self.failures

    def lines(self) -> Iterator[str]:
        """Yield the summary as plain lines."""
        yield "Timeline"
        for happened in self.timeline:
            yield f"  {happened.at:6.1f} s  {happened.what}"
        if self.stopped is not None:
            yield ""
            yield from _stopped(self.stopped)
        if self.shadows:
            yield f"  {self.shadows} shadow answers reached users, and there must never be one"
        if self.look:
            yield ""
            yield "Where to look"
            width = max(len(name) for name in self.look)
            for name, place in self.look.items():
                yield f"  {name.ljust(width)}  {place}"
        yield ""
        verdict = (
            "The demo succeeded: v2 was promoted and v3 was rolled back"
            if self.succeeded
            else "The demo failed"
        )
        yield f"{verdict} ({self.seconds:.0f} s)."
        for failure in self.failures:
            yield f"  {failure}"


def _stopped(stopped: Stopped) -> Iterator[str]:
    yield f"How {stopped.revision} was stopped"
    yield f"  why                                  {stopped.why}"
    yield f"  first violating sample → all safe    {_seconds(stopped.seconds)}"
    yield f"    … to flags at observe              {_after(stopped.flags_safe, stopped.violation)}"
    yield f"    … to weight 0, no mirror, no cohort {_after(stopped.route_safe, stopped.violation)}"
    share = f"{100 * stopped.answers / stopped.requests:.1f} %" if stopped.requests else "unknown"
    yield f"  users' requests that it answered     {stopped.answers} of {stopped.requests} ({share})"
    yield f"  tasks that Prometheus counted        {stopped.tasks} (mirrored ones too)"


def _after(moment: float | None, start: float | None) -> str:
    return _seconds(None if moment is None or start is None else moment - start)


def _seconds(value: float | None) -> str:
    return "not seen" if value is None else f"{value:.1f} s"
