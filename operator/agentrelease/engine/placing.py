"""From what a release intends to what its levers shall say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.core import intent
from agentrelease.core.exposure import ALL, Exposure, tools_alone, tools_asking
from agentrelease.engine.levers import Arm, Placement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.api.bundle import Bundle
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Serving
    from agentrelease.api.vocabulary import Autonomy


@dataclass(frozen=True, slots=True)
class Bundles:
    """The bundles that a placement needs, by revision; a missing one grants no tools at all."""

    by_revision: Mapping[str, Bundle]

    def alone(self, revision: str, level: Autonomy) -> frozenset[str]:
        """Tools that the revision may use without asking."""
        bundle = self.by_revision.get(revision)
        return tools_alone(bundle.tools, level) if bundle else frozenset()

    def asking(self, revision: str, level: Autonomy) -> frozenset[str]:
        """Tools that the revision may use after a person agreed."""
        bundle = self.by_revision.get(revision)
        return tools_asking(bundle.tools, level) if bundle else frozenset()


def placement(release: AgentRelease, bundles: Bundles, now: float, note: str = "") -> Placement:
    """Return what all levers of a release shall say for its present status."""
    delivery, status = release.spec.delivery, release.status
    exposed = intent.exposure(release)
    candidate = None
    if status.candidate is not None:
        candidate = Arm(
            revision=status.candidate.revision,
            service=delivery.slots[status.candidate.slot].service,
            exposure=exposed,
            asking=bundles.asking(status.candidate.revision, exposed.autonomy),
            lease_until=int(now) + delivery.flags.lease_seconds if exposed.reached else None,
        )
    return Placement(
        namespace=release.namespace,
        agent=release.name,
        route=delivery.route.http_route,
        config_map=delivery.flags.config_map,
        stable=_stable(release, status.stable, exposed, bundles),
        candidate=candidate,
        services=tuple(delivery.slots[name].service for name in sorted(delivery.slots)),
        note=note,
        objects={
            lever: name
            for lever, name in (
                ("virtualservice", delivery.route.virtual_service),
                ("featureflag", delivery.flags.feature_flag),
            )
            if name is not None
        },
    )


def _stable(
    release: AgentRelease, serving: Serving | None, exposed: Exposure, bundles: Bundles
) -> Arm | None:
    if serving is None:
        return None
    level = serving.autonomy
    return Arm(
        revision=serving.revision,
        service=release.spec.delivery.slots[serving.slot].service,
        exposure=Exposure(
            weight=ALL - exposed.weight, autonomy=level, tools=bundles.alone(serving.revision, level)
        ),
        asking=bundles.asking(serving.revision, level),
    )
