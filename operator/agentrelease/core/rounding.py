"""How kept numbers are rounded, so that state is small and survives JSON bit for bit.

Whole numbers become integers, which JSON writes shorter and reads back as they were.
"""

from __future__ import annotations


def exact(value: float) -> float:
    """Round a count to thousandths."""
    return _plain(round(value, 3))


def short(value: float, digits: int = 6) -> float:
    """Round a number of which only the size matters."""
    return _plain(float(f"{value:.{digits}g}"))


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value
