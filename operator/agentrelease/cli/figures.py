"""How counts, shares, spans and moments are written, in one place and the same width every time."""

from __future__ import annotations

from datetime import UTC, datetime


def count(value: float) -> str:
    """``1204``, ``40.2k``, ``1.3M``; at most five characters."""
    if value >= 1e6:
        return f"{value / 1e6:.1f}M"
    if value >= 1e4:
        return f"{value / 1e3:.1f}k"
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def percent(share: float) -> str:
    """A share of 0 to 1 with as many digits as say something: ``0.04 %``, ``2.6 %``, ``97 %``."""
    return weight(share * 100)


def weight(value: float) -> str:
    """Per cent, given as per cent."""
    if value == 0 or abs(value) >= 10:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if abs(value) >= 1 and value != int(value) else f"{value:.2g} %"


def points(low: float, high: float) -> str:
    """An interval of a difference of shares, in percentage points: ``-0.2…+1.4``."""
    digits = 2 if max(abs(low), abs(high)) < 0.01 else 1
    return f"{low * 100:+.{digits}f}…{high * 100:+.{digits}f}"


def span(seconds: float) -> str:
    """``0.8 s``, ``45 s``, ``12m30s``, ``3h05m``."""
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def age(seconds: float) -> str:
    """One unit, as kubectl writes an age: ``45s``, ``12m``, ``3h``, ``8d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(int(seconds), 0)}s"


def moment(stamp: str) -> float | None:
    """Unix seconds of an RFC 3339 time, ``None`` for anything else."""
    try:
        parsed = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def clock(stamp: str | float) -> str:
    """Time of day in UTC, ``12:03:44``; a text that is no time is shown as it is."""
    seconds = moment(stamp) if isinstance(stamp, str) else stamp
    if seconds is None:
        return str(stamp)[:8]
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S")
