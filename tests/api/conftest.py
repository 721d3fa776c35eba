"""The real API server, as the administrator sees it in a namespace of the test's own."""

from __future__ import annotations

import pytest
from tests.api.server import Server


@pytest.fixture
def server(admin, namespace) -> Server:
    return Server(admin, namespace())
