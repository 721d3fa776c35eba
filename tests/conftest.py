"""What every test needs, and nothing else."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from tests.support.controlplane import admin, close_run, control_plane, namespace, open_run

__all__ = ["admin", "control_plane", "namespace"]


@pytest.fixture(autouse=True)
def _leaves_logging_alone():
    """A test that configures logging and leaves it so breaks those after it that happen to log."""
    yield
    left, _ = structlog.is_configured(), structlog.reset_defaults()
    assert not left, "structlog is still configured; use tests.support.logging"


def pytest_configure() -> None:
    # pytest-asyncio asks for the current loop before it makes its own. Up to Python 3.11 that question
    # creates one which nobody closes, and some later test fails for it; after this it has no answer.
    asyncio.set_event_loop(None)
    open_run()


def pytest_unconfigure() -> None:
    close_run()
