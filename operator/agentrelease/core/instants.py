"""Moments as the API writes them: RFC 3339, UTC, with a ``Z``."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(now: float) -> str:
    """Return unix seconds in whole seconds, as conditions have them."""
    return _written(now, "seconds")


def exact_stamp(now: float) -> str:
    """Return unix seconds with milliseconds, for what has to be told apart within a second."""
    return _written(now, "milliseconds")


def unix(written: str) -> float:
    """Return what such a moment is in unix seconds."""
    return datetime.fromisoformat(written).timestamp()


def _written(now: float, precision: str) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
