"""The shared look at Prometheus: one for all releases, on a fixed clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentrelease.core.series import Snapshot
    from agentrelease.engine.guarding import Guardian
    from agentrelease.engine.ports import Evidence

REACH = 900.0
"""The furthest a look goes back, in seconds; after a longer absence evidence starts at the next block."""


class Lookout:
    """Keeps the newest snapshot, and how far back the next one has to reach."""

    def __init__(self, evidence: Evidence, guardian: Guardian) -> None:
        self._evidence = evidence
        self._guardian = guardian
        self._through: dict[str, float] = {}
        self.latest: Snapshot | None = None

    def note(self, key: str, through: float) -> None:
        """Remember until when a release has taken its evidence."""
        self._through[key] = through

    def forget(self, key: str) -> None:
        """A release needs no evidence any more."""
        self._through.pop(key, None)

    async def look(self) -> Snapshot:
        """Look again; never raises, what went wrong is in the snapshot."""
        since = min(self._through.values(), default=None)
        if since is not None and self.latest is not None and self.latest.at:
            since = max(since, self.latest.at - REACH)
        self.latest = await self._evidence.look(self._guardian.metrics(), since)
        return self.latest
