"""Release windows as people write them, resolved to time zones. The zone data come with Python or tzdata."""

from __future__ import annotations

from datetime import date, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agentrelease.core.gates import Calendar, Freeze, Hours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.calendar import FreezeDates, Window


def calendar_of(windows: Sequence[Window], freezes: Sequence[FreezeDates]) -> Calendar:
    """Return a calendar; what can't be resolved makes one that is always closed and says why."""
    try:
        return Calendar(tuple(_hours(w) for w in windows), tuple(_freeze(f) for f in freezes))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        return Calendar(problem=f"spec.windows or spec.freezes can't be understood: {error}")


def _hours(window: Window) -> Hours:
    start, end = time.fromisoformat(window.from_), time.fromisoformat(window.to)
    return Hours(frozenset(window.days), start, end, ZoneInfo(window.time_zone))


def _freeze(dates: FreezeDates) -> Freeze:
    first, last = date.fromisoformat(dates.first), date.fromisoformat(dates.last)
    return Freeze(first, last, ZoneInfo(dates.time_zone))
