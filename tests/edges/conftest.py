"""What tests of the edges share: the production gateway to the real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agentrelease.edges.cluster import ApiServer
from agentrelease.edges.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentrelease.local.controlplane import ControlPlane


@pytest.fixture
async def cluster(control_plane: ControlPlane) -> AsyncIterator[ApiServer]:
    """The API server as an administrator sees it."""
    async with await ApiServer.connect(Credentials(control_plane.kubeconfig)) as connected:
        yield connected
