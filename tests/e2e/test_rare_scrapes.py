"""Agents that a real Prometheus scrapes less often than blocks end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.world import world

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agentrelease.local.controlplane import ControlPlane


async def test_good_is_promoted_and_bad_is_rolled_back(
    control_plane: ControlPlane, namespace: Callable[[], str], tmp_path: Path
) -> None:
    async with world(control_plane, namespace(), tmp_path, scrape=3.0) as here:
        await here.promoted(await here.apply("v1.yaml"))
        v2 = await here.apply("v2.yaml")
        await here.promoted(v2)
        await here.apply("v3.yaml")
        release = await here.in_phase("RolledBack")
        assert "policy-violations" in release.status.refused[-1].reason
        assert release.status.stable is not None
        assert release.status.stable.revision == v2
