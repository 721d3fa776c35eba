"""The phases of a release on one line, and how far the current one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.cli.figures import count, span
from agentrelease.cli.frame import tone
from agentrelease.cli.guardrail_table import toward

if TYPE_CHECKING:
    from rich.text import Text

    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate, MetricStatus, ReleaseStatus
    from agentrelease.cli.frame import Frame


def phases_lines(release: AgentRelease, frame: Frame) -> list[Text]:
    """Return the line of phases and, in a phase, the line of its progress."""
    candidate = release.status.candidate
    lines = [_names(release, frame)]
    if candidate is not None and candidate.stage is Stage.RUNNING:
        lines.append(_progress(release, candidate, frame))
    return lines


def _names(release: AgentRelease, frame: Frame) -> Text:
    glyphs, candidate = frame.glyphs, release.status.candidate
    current = _place(release)
    line = frame.text("phases ", "dim")
    for index, phase in enumerate(release.spec.phases):
        if index < current:
            line.append(f" {glyphs.done} {phase.name}", "green")
        elif index == current and candidate is not None:
            out = candidate.stage is Stage.WITHDRAWING
            line.append(
                f" {glyphs.bad if out else glyphs.current} {phase.name}", "red" if out else "bold cyan"
            )
        else:
            line.append(f" {glyphs.ahead} {phase.name}", "dim")
    return line


def _place(release: AgentRelease) -> int:
    """Index of the current phase; behind the last one when nothing is on its way but all is done."""
    status = release.status
    if status.candidate is not None:
        return status.candidate.phase_index
    return len(release.spec.phases) if status.phase == "Promoted" else -1


def _progress(release: AgentRelease, candidate: Candidate, frame: Frame) -> Text:
    """Three bars: the phase's clock, its samples, and the guardrail that is furthest from proven safe."""
    phase = release.spec.phases[min(candidate.phase_index, len(release.spec.phases) - 1)]
    wanted = phase.min_duration.seconds
    ran = candidate.active_seconds
    parts = [("time", ran / wanted if wanted else 1.0, f"{span(ran)}/{span(wanted)}")]
    if phase.min_samples:
        tasks = _tasks(release.status)
        parts.append(("tasks", tasks / phase.min_samples, f"{count(tasks)}/{count(phase.min_samples)}"))
    parts.append(("proof", _proof(release.status), _slowest(release.status)))
    line = frame.text("       ")
    for name, share, label in parts:
        line.append(f" {name} ")
        line.append(frame.glyphs.bar(share, 12 if frame.wide else 7), "green" if share >= 1 else "cyan")
        line.append(f" {frame.glyphs.legible(label)} ")
    if not candidate.confirmed_at:
        line.append(" not yet in effect", "yellow")
    return line


def _tasks(status: ReleaseStatus) -> float:
    measured = status.exposure.measured
    if measured is not None and measured.tasks is not None:
        return measured.tasks
    return max((m.candidate.n for m in status.metrics if m.candidate and not m.stratum), default=0)


def _proof(status: ReleaseStatus) -> float:
    return min((_safety(metric) for metric in _unproven(status)), default=1.0)


def _slowest(status: ReleaseStatus) -> str:
    unproven = _unproven(status)
    return min(unproven, key=_safety).name if unproven else "all proven"


def _unproven(status: ReleaseStatus) -> list[MetricStatus]:
    """What still stands in the way: not every stratum has to be proven by itself."""
    waiting = [metric for metric in status.metrics if tone(metric.verdict) != "good"]
    return [m for m in waiting if m.needed or tone(m.verdict) != "wait"]


def _safety(metric: MetricStatus) -> float:
    return toward(metric.safe_evidence, metric.safe_bound)
