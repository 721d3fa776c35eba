"""Exposure three times: what was asked for, what the objects say, what traffic and agents report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.cli.figures import clock, count, weight

if TYPE_CHECKING:
    from rich.table import Table

    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import ExposurePoint, MeasuredExposure
    from agentrelease.cli.frame import Frame


def exposure_table(release: AgentRelease, frame: Frame) -> Table:
    """Return the table; what differs from the intent is marked, what is unknown is not a zero."""
    exposure = release.status.exposure
    table = frame.table("exposure", ">mirror", "cohort", ">weight", "autonomy", "")
    table.add_row(*(frame.text(cell) for cell in ("intended", *_point(exposure.intended, frame), "")))
    live = ("unknown",) * 4 if exposure.live is None else _point(exposure.live, frame)
    differs = exposure.live is not None and exposure.live != exposure.intended
    note = frame.text("differs from intended" if differs else "", "yellow")
    table.add_row(*(frame.text(cell) for cell in ("live", *live)), note)
    table.add_row(*(frame.text(cell) for cell in _measured(exposure.measured, frame)))
    return table


def _point(point: ExposurePoint, frame: Frame) -> tuple[str, str, str, str]:
    cohort = point.cohort or frame.glyphs.unknown
    return weight(point.mirror), cohort, weight(point.weight), str(point.autonomy)


def _measured(seen: MeasuredExposure | None, frame: Frame) -> list[str]:
    none = frame.glyphs.unknown
    if seen is None:
        return ["measured", none, none, "unknown", "unknown", ""]
    share = "unknown" if seen.weight is None else weight(seen.weight)
    level = "unknown" if seen.autonomy is None else str(seen.autonomy)
    tasks = "" if seen.tasks is None else f"{count(seen.tasks)} tasks"
    return ["measured", none, none, share, level, f"{tasks} at {clock(seen.at)}" if seen.at else tasks]
