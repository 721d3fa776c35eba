"""The live view: one AgentRelease on one screen, for ``status --watch`` and for the demo alike.

``view(release, now)`` is a pure function of the object and a moment. It fits itself into the space
it is given (made for 100 × 35, usable at 80 × 24), needs no colour, and falls back to ASCII.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from agentrelease.api.status import Stage
from agentrelease.cli.exposure_table import exposure_table
from agentrelease.cli.figures import clock, span
from agentrelease.cli.frame import Frame, style_of
from agentrelease.cli.glyphs import ASCII, UNICODE
from agentrelease.cli.guardrail_table import guardrail_table, guardrail_words
from agentrelease.cli.phases_line import phases_lines
from agentrelease.cli.plan_line import plan_lines
from agentrelease.cli.transitions import transitions_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType

    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Serving

_EXPOSURE_ROWS = 4
_TRANSITIONS = 6
_WHY_LINES = 2
_WORDS = 2
_SILENCE = 60.0
"""Seconds after which an operator that writes at every look, seconds apart, is worth a remark."""


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """Draws itself into whatever space it gets; ``rows`` bounds its height, ``None`` = as it needs."""

    release: AgentRelease
    now: float
    rows: int | None = None
    notes: tuple[str, ...] = ()

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        glyphs = ASCII if options.ascii_only else UNICODE
        frame = Frame(options.max_width, self.rows, glyphs, self.now)
        head = [
            *_header(self.release, frame, self.notes),
            *_why(self.release, frame),
            *_lost(self.release, frame),
            *plan_lines(self.release, frame),
        ]
        phases = phases_lines(self.release, frame)
        yield from head
        yield from _gap(frame)
        yield from phases
        yield from _gap(frame)
        yield exposure_table(self.release, frame) if _open(self.release) else _at_rest(self.release, frame)
        guardrails, transitions = _shares(self.release, frame, len(head) + len(phases))
        if self.release.status.metrics:
            yield from _gap(frame)
            metrics = self.release.status.metrics
            yield guardrail_table(metrics, frame, guardrails)
            yield from guardrail_words(metrics, frame, _words(self.release, frame))
        if self.release.status.history and transitions:
            yield from _gap(frame)
            yield transitions_table(self.release.status.history, frame, transitions)


def view(
    release: AgentRelease, now: float, rows: int | None = None, notes: tuple[str, ...] = ()
) -> ReleaseView:
    """Return the picture of a release at ``now`` (unix seconds), at most ``rows`` lines high.

    ``notes`` go into the first line: what the release's own status doesn't know, such as ``HALTED``.
    """
    return ReleaseView(release, now, rows, notes)


def headline(release: AgentRelease) -> str:
    """Say in a few words where a release stands: its phase and its place in the list."""
    status = release.status
    candidate = status.candidate
    if candidate is None:
        return status.phase or "not yet seen by the operator"
    if candidate.stage is Stage.LOADING:
        return f"Loading {candidate.revision} into {candidate.slot}"
    if candidate.stage is Stage.WITHDRAWING:
        return f"Withdrawing {candidate.revision}"
    return f"{candidate.phase_name}, phase {candidate.phase_index + 1} of {len(release.spec.phases)}"


def _header(release: AgentRelease, frame: Frame, notes: tuple[str, ...]) -> list[Text]:
    status, glyphs = release.status, frame.glyphs
    first = frame.text(f"{release.namespace}/{release.name}  ", "bold")
    first.append(glyphs.legible(headline(release)), style_of(status.phase))
    if status.verdict:
        first.append(f"{glyphs.separator}verdict ")
        first.append(glyphs.legible(status.verdict), style_of(status.verdict))
    for note in notes:
        first.append(glyphs.legible(f"{glyphs.separator}{note}"), "bold red")
    if (silence := _silence(release, frame.now)) > _SILENCE:
        first.append(f"{glyphs.separator}last look {span(silence)} ago", "yellow")
    if release.spec.paused:
        first.append(f"{glyphs.separator}PAUSED", "yellow")
    _flush_right(first, f"{clock(frame.now)} UTC", frame)
    second = frame.text(_serving("stable", status.stable))
    if status.candidate:
        second.append(f"   candidate {status.candidate.revision} in {status.candidate.slot}")
    elif status.previous:
        second.append(f"   previous {status.previous.revision}")
    return [first, second]


def _silence(release: AgentRelease, now: float) -> float:
    """Return the seconds since the operator last looked at a running candidate; 0 where none runs."""
    candidate = release.status.candidate
    running = candidate is not None and candidate.stage is Stage.RUNNING and candidate.ticked_at
    return now - running if running else 0.0


def _flush_right(line: Text, end: str, frame: Frame) -> None:
    gap = frame.columns - line.cell_len - len(end)
    if gap > 1:
        line.append(" " * gap + end, "dim")


def _serving(role: str, serving: Serving | None) -> str:
    if serving is None:
        return f"no {role} revision yet"
    return f"{role} {serving.revision} in {serving.slot}, {serving.autonomy}"


def _open(release: AgentRelease) -> bool:
    """Whether a candidate is or may be exposed, so that the three views of it are worth their rows."""
    status = release.status
    return status.candidate is not None or status.exposure.live not in (None, status.exposure.intended)


def _at_rest(release: AgentRelease, frame: Frame) -> Text:
    stable = release.status.stable
    if stable is None:
        return frame.text("exposure nothing is promoted and nothing is on its way")
    return frame.text(f"exposure all traffic on {stable.revision}, {stable.autonomy}; no candidate")


def _why(release: AgentRelease, frame: Frame) -> list[Text]:
    """The reason; in at most two lines on a screen, and the rest of it is in ``-o json``."""
    return frame.said("why", release.status.reason, _WHY_LINES) if release.status.reason else []


def _lost(release: AgentRelease, frame: Frame) -> list[Text]:
    """Say that evidence was lost, while it is being rebuilt or where it begins anew."""
    lost = [c.message for c in release.status.conditions if c.type == "EvidenceKept" and c.status == "False"]
    return frame.said("evidence", lost[0], 1, "yellow") if lost else []


def _gap(frame: Frame) -> Iterator[Text]:
    """An empty line where there is room for one."""
    if frame.rows is None or frame.rows >= 30:
        yield Text("")


def _words(release: AgentRelease, frame: Frame) -> int:
    """Return the rows for what is said of guardrails in words; a full screen has room for a few."""
    told = sum(bool(metric.compared) and not metric.stratum for metric in release.status.metrics)
    return told if frame.rows is None else min(told, _WORDS)


def _shares(release: AgentRelease, frame: Frame, used: int) -> tuple[int, int]:
    """Share the rows that are left between guardrails and transitions, headings not counted."""
    metrics, history = len(release.status.metrics), len(release.status.history)
    if frame.rows is None:
        return metrics, min(history, _TRANSITIONS)
    gaps = 4 * sum(1 for _ in _gap(frame))
    left = frame.rows - used - _EXPOSURE_ROWS - gaps - 2 - _words(release, frame)
    guardrails = min(metrics, max(left - min(history, 2), 1))
    return guardrails, max(min(history, left - guardrails, _TRANSITIONS), 0)
