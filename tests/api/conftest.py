"""The real API server, as the administrator sees it in a namespace of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.api.guarded import Guarded, in_force
from tests.api.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server(admin, namespace) -> Server:
    return Server(admin, namespace())


@pytest.fixture(scope="session")
def guarded(control_plane, admin) -> Iterator[Guarded]:
    made = Guarded(control_plane, admin)
    made.home = made.open(f"{made.label}-home")
    made.enforce()
    try:
        in_force(made)
        yield made
    finally:
        made.close()
