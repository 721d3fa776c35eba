"""The gateway to the real API server, straight and through a proxy that goes wrong on request."""

from __future__ import annotations

import pytest
from tests.support.fault_proxy import proxying

from agentrelease.edges.cluster import ApiServer
from agentrelease.edges.credentials import Credentials


@pytest.fixture
def credentials(control_plane):
    """An administrator's."""
    return Credentials(control_plane.kubeconfig)


@pytest.fixture
async def server(credentials):
    """The API server, with nothing in between."""
    async with await ApiServer.connect(credentials) as connected:
        yield connected


@pytest.fixture
async def proxy(control_plane, tmp_path):
    """A fault proxy before the API server; see tests/support/fault_proxy.py."""
    async with proxying(control_plane.kubeconfig, tmp_path) as running:
        yield running
