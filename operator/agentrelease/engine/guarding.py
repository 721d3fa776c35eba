"""The policies of releases, compiled once for each content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.core import lacking, routing
from agentrelease.core.blocks import metrics_read
from agentrelease.core.course import policy_of
from agentrelease.core.guardrails import PlanError
from agentrelease.core.overdue import FINISHED, STARTED
from agentrelease.core.plan import compile_plan
from agentrelease.core.series import Wanted
from agentrelease.core.skew import CLOCK
from agentrelease.engine.observe import Guarding
from agentrelease.engine.ports import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentrelease.api.guardrail import GuardrailPolicySpec
    from agentrelease.api.release import AgentRelease
    from agentrelease.engine.ports import Releases

ALWAYS = frozenset({FINISHED, STARTED, "agentrelease_autonomy_in_effect", "agentrelease_info", CLOCK})
"""What the engine itself reads: the share, the level in effect, who reports, and by which clock."""


class Guardian:
    """Reads and compiles policies. ``grid`` is the block length in seconds."""

    def __init__(self, releases: Releases, grid: float) -> None:
        self._releases = releases
        self._grid = grid
        self._known: dict[str, tuple[tuple[GuardrailPolicySpec, ...], Guarding]] = {}
        self._services: dict[str, tuple[tuple[str, str], ...]] = {}  # where each release's slots are reached

    async def of(self, release: AgentRelease) -> Guarding:
        """Return a release's guardrails as they are now; raises ``Unusable`` in words for their author."""
        specs = tuple(await self._releases.guardrails(release))
        slots = (release.spec.delivery.slots or {}).values()
        self._services[release.key] = tuple((release.namespace, slot.service) for slot in slots)
        known = self._known.get(release.key)
        if known is not None and known[0] == specs:
            return known[1]
        try:
            guarding = Guarding(*(made := compile_plan(specs, self._grid)), policy_of(made[0].to_object()))
        except PlanError as error:
            raise Unusable(f"guardrails: {error}") from None
        self._known[release.key] = (specs, guarding)
        return guarding

    def known(self, release: AgentRelease) -> Guarding | None:
        """Return what was compiled last for a release, without reading."""
        known = self._known.get(release.key)
        return known[1] if known else None

    def forget(self, key: str) -> None:
        """Drop a release that is gone."""
        self._known.pop(key, None)
        self._services.pop(key, None)

    def wanted(self) -> tuple[Wanted, ...]:
        """Return every counter that any known release needs, and how far back."""
        reach = dict.fromkeys(ALWAYS, 0.0)
        for _, guarding in self._known.values():
            further = lacking.reach(guarding.plan.deadline) if guarding.plan.deadline else 0.0
            for name in metrics_read(guarding.spec):
                needed = further if name in lacking.METRICS else 0.0
                reach[name] = max(needed, reach.get(name, 0.0))
        return (*(Wanted(name, reach[name]) for name in sorted(reach)), *self._routed())

    def _routed(self) -> Iterator[Wanted]:
        """Return the routers' counters, each for all the Services whose requests it counts."""
        values: dict[str, dict[str, set[str]]] = {}
        for key, (_, guarding) in self._known.items():
            router = guarding.spec.router
            for whose in self._services.get(key, ()) if router is not None else ():
                assert router is not None
                for name in routing.counters(router):
                    for label, value in routing.labels_of(router, *whose).items():
                        values.setdefault(name, {}).setdefault(label, set()).add(value)
        for name, labels in sorted(values.items()):
            picked = tuple((label, tuple(sorted(found))) for label, found in sorted(labels.items()))
            yield Wanted(name, routing.RECENT, picked)
