"""``core.dispersion`` and the core's rounding on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentrelease.core import dispersion

Floats = NDArray[np.float64]


class Scatters:
    """``dispersion.Scatter`` of R runs and M metrics."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.seen, self.pairs = np.zeros(shape), np.zeros(shape)
        self.n, self.x = np.zeros(shape), np.zeros(shape)

    def after(self, n: Floats, x: Floats) -> None:
        first = self.n <= 0
        whole, bad = n + self.n, x + self.x
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = bad / whole
            independent = rate * (1 - rate) * (1 / self.n + 1 / n) * whole / (whole - 1)
            gap = self.x / self.n - x / n
            added = gap * gap / independent
        paired = (n > 0) & ~first
        counted = paired & (rate > 0) & (rate < 1) & (whole > 1)
        self.seen = np.where(counted, short(self.seen + np.where(counted, added, 0.0), 6), self.seen)
        self.pairs += counted
        begun = (n > 0) & first
        self.n = np.where(begun, n, np.where(paired, 0.0, self.n))
        self.x = np.where(begun, x, np.where(paired, 0.0, self.x))

    def phi(self) -> Floats:
        """``floored`` phi by metric."""
        pairs = np.maximum(self.pairs, 1)
        error, found = np.sqrt(2 / pairs), self.seen / pairs
        believed = (self.pairs > 0) & (found > 1 + dispersion.CERTAIN * error)
        own = np.where(believed, found * (1 + error), 1.0)
        return np.maximum(own, np.median(own, axis=1, keepdims=True))


def short(values: Floats, digits: int) -> Floats:
    """``rounding.short`` on arrays."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(values))))
        return np.where(values == 0, 0.0, np.rint(values * scale) / scale)
