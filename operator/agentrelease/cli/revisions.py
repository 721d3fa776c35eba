"""The kept revisions of one release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.edges.kinds import AGENT_REVISION

if TYPE_CHECKING:
    from agentrelease.cli.session import Session
    from agentrelease.engine.ports import Object


async def revisions_of(session: Session, name: str) -> list[Object]:
    """Return the AgentRevisions that name the release in their spec, in no order."""
    found = await session.cluster.list(AGENT_REVISION, session.namespace)
    return [obj for obj in found if obj.get("spec", {}).get("release") == name]
