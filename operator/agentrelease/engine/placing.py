"""From what a release intends to what its levers shall say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.core import intent, strata
from agentrelease.core.exposure import ALL, Exposure, kept, tools_alone, tools_asking
from agentrelease.engine.levers import Arm, Placement
from agentrelease.engine.ports import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.api.bundle import Bundle, Tool
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Serving


@dataclass(frozen=True, slots=True)
class Bundles:
    """The bundles that a placement needs, by revision; a missing one grants no tools at all."""

    by_revision: Mapping[str, Bundle]

    def tools(self, revision: str, cut: int = 0) -> tuple[Tool, ...]:
        """Tools of the revision that an intervention left it."""
        bundle = self.by_revision.get(revision)
        return kept(bundle.tools, cut) if bundle else ()

    def fallback(self, revision: str) -> str:
        """Return the model that the revision falls back to, as ``name@version``; empty for none."""
        bundle = self.by_revision.get(revision)
        pin = bundle.model.fallback if bundle else None
        return f"{pin.name}@{pin.version}" if pin else ""


def placement(
    release: AgentRelease, bundles: Bundles, now: float, note: str = "", *, halted: bool | None = None
) -> Placement:
    """Return what all levers of a release shall say for its present status.

    ``halted`` is what was ordered for all agents; a person's halt of this one stays in any case.
    """
    delivery, status = release.spec.delivery, release.status
    exposed, route = intent.exposure(release), delivery.route
    owned = route.owned if route else None
    candidate = None
    if status.candidate is not None:
        revision = status.candidate.revision
        candidate = Arm(
            revision=revision,
            service=_service(release, status.candidate.slot),
            exposure=exposed,
            asking=tools_asking(bundles.tools(revision, status.candidate.tools_cut), exposed.autonomy),
            model=bundles.fallback(revision) if status.candidate.fallback else "",
            lease_until=int(now) + delivery.flags.lease_seconds if exposed.reached else None,
        )
    return Placement(
        namespace=release.namespace,
        agent=release.name,
        route=(owned.name or release.name) if owned else route.http_route if route else None,
        owned=owned,
        config_map=delivery.flags.config_map,
        stable=_stable(release, status.stable, exposed, bundles),
        candidate=candidate,
        services=tuple(slot.service for _, slot in sorted((delivery.slots or {}).items())),
        note=note,
        objects={
            lever: name
            for lever, name in (
                ("virtualservice", route.virtual_service if route else None),
                ("featureflag", delivery.flags.feature_flag),
            )
            if name is not None
        },
        splits=route is None,
        halted=halted,
    )


def place(release: AgentRelease, name: str) -> Place | None:
    """Return a place that holds a bundle, by its name; ``None`` where the spec has no such place."""
    delivery = release.spec.delivery
    if name not in delivery.places:
        return None
    return Place(release.namespace, release.name, name, delivery.slot(name))


def _service(release: AgentRelease, slot: str) -> str:
    """Return the Service of a slot; none where the same pods serve every revision."""
    slots = release.spec.delivery.slots
    return "" if slots is None else slots[slot].service


def _stable(
    release: AgentRelease, serving: Serving | None, exposed: Exposure, bundles: Bundles
) -> Arm | None:
    if serving is None:
        return None
    level, tools = serving.autonomy, bundles.tools(serving.revision)
    return Arm(
        revision=serving.revision,
        service=_service(release, serving.slot),
        exposure=Exposure(
            weight=ALL - exposed.weight,
            autonomy=level,
            tools=tools_alone(tools, level),
            strata=strata.of(serving.strata, level, tools),
        ),
        asking=tools_asking(tools, level),
    )
