"""Asking who served before, where a release has no status: slots, flags and kept revisions.

All of it or nothing: what can't be read makes stable unknown, and then nothing begins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agentrelease.core.recovery import Former, former, is_lost
from agentrelease.engine.placing import place
from agentrelease.engine.ports import ClusterError

if TYPE_CHECKING:
    from agentrelease.api.bundle import Bundle
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.situation import Desired
    from agentrelease.engine.levers import Reading
    from agentrelease.engine.outside import Outside


async def recall_former(
    outside: Outside, release: AgentRelease, desired: Desired, flags: Reading | None
) -> tuple[Former | None, Bundle | None]:
    """Return what a release without a status was, and the bundle of what served then."""
    if not is_lost(release.status):
        return None, None
    try:
        found = await _asked(outside, release, desired, flags)
        if found is None or found.stable is None:
            return found, None
        bundle = (
            release.spec.bundle
            if found.stable.digest == desired.digest
            else await outside.releases.bundle(release.namespace, found.stable.revision)
        )
    except ClusterError as error:
        outside.recorder.failed(release.key, "what served before", str(error))
        return Former(None, f"it could not be read what served before: {error}"), None
    if bundle is None:
        said = f"the bundle of {found.stable.revision}, which served before, can't be read"
        return replace(found, stable=None, said=said), None
    return found, bundle


async def _asked(
    outside: Outside, release: AgentRelease, desired: Desired, flags: Reading | None
) -> Former | None:
    slots = {}
    for name in release.spec.delivery.places:
        where = place(release, name)
        carried = (await outside.slots.state(where)).revision if where else None
        if carried:
            slots[name] = carried
    if not slots:
        return None
    if flags is None:
        return Former(None, "the flags could not be read, and the status says nothing of what served before")
    kept = await outside.releases.kept(release)
    order = release.spec.rollback
    ordered = order.to if order.to and order.of in (None, desired.revision) else ""
    return former(kept, slots, flags.serving, desired, ordered)


__all__ = ["recall_former"]
