"""A world for each end-to-end test; after it no traceback, no broken look and no shadow's answer was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.world import World, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from agentrelease.local.controlplane import ControlPlane


@pytest.fixture
async def here(
    control_plane: ControlPlane, namespace: Callable[[], str], tmp_path: Path
) -> AsyncIterator[World]:
    async with world(control_plane, namespace(), tmp_path) as made:
        yield made
        lines = made.operator_log()
    assert not [line for line in lines if "Traceback" in str(line)]
    assert not [line for line in lines if line.get("event") == "look broke"]
    assert made.traffic.totals.shadows == 0, "an answer of a mirror reached a user"
