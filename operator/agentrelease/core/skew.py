"""How far the agents' clocks are off: a lease ends by the clock of the agent that evaluates it.

An agent exports its own time with every scrape, and Prometheus stamps the sample with its own. The
difference is the skew, give or take the scrape's duration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentrelease.core.series import Series

CLOCK = "agentrelease_clock_seconds"


def skew(series: Iterable[Series], at: float, window: float) -> float | None:
    """Return the largest difference in seconds, positive for clocks that are ahead; ``None`` if unknown.

    ``at`` is Prometheus' time; samples older than ``window`` seconds say nothing of now.
    """
    newest = [one.samples[-1] for one in series if one.samples and at - one.newest <= window]
    return max((sample.value - sample.at for sample in newest), key=abs, default=None)


def unreliable(seconds: float | None, lease: float) -> str:
    """Say why leases of so many seconds can't be relied on; empty while they can."""
    if seconds is None or abs(seconds) <= lease:
        return ""
    side = "ahead of" if seconds > 0 else "behind"
    return (
        f"an agent's clock is {abs(seconds):.0f} s {side} Prometheus', more than the lease of {lease:g} s: "
        "mend the clock"
    )
