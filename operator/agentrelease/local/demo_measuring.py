"""What Prometheus had seen, asked by the demo itself: raw samples, not the operator's reading of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

VIOLATIONS = "agentrelease_policy_violations_total"
TASKS = "agentrelease_tasks_total"


@dataclass(frozen=True, slots=True)
class Measuring:
    """Asks one Prometheus about one namespace; every question fails with aiohttp's errors."""

    session: aiohttp.ClientSession
    url: str
    namespace: str

    async def first_violation(self, revision: str, since: float) -> float | None:
        """Return the time of the first sample after ``since`` that shows a new violation in front of a user.

        Colleagues don't count: what they see of it is what the agent always had.
        """
        series = await self._samples(VIOLATIONS, revision, ',audience="external"')
        return min((at for values in series for at in increases(values) if at >= since), default=None)

    async def tasks(self, revision: str) -> int:
        """Return all tasks of a revision that were ever counted, mirrored ones too."""
        series = await self._samples(TASKS, revision)
        return sum(round(values[-1][1]) for values in series)

    async def _samples(self, metric: str, revision: str, more: str = "") -> list[list[tuple[float, float]]]:
        # both values come from the API server's own naming rules and need no escaping
        query = f'{metric}{{namespace="{self.namespace}",release="{revision}"{more}}}[15m]'
        async with self.session.get(f"{self.url}/api/v1/query", params={"query": query}) as reply:
            reply.raise_for_status()
            answer: dict[str, Any] = await reply.json()
        return [
            [(float(at), float(value)) for at, value in one["values"]] for one in answer["data"]["result"]
        ]


def increases(values: list[tuple[float, float]]) -> list[float]:
    """Return the times of samples that are higher than the one before; a first sample is no increase."""
    return [at for (_, before), (at, value) in pairwise(values) if value > before]
