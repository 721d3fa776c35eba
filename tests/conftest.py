"""What every test needs, and nothing else."""

from __future__ import annotations

import asyncio

from tests.support.controlplane import admin, close_run, control_plane, namespace, open_run

__all__ = ["admin", "control_plane", "namespace"]


def pytest_configure() -> None:
    # pytest-asyncio asks for the current loop before it makes its own. Up to Python 3.11 that question
    # creates one which nobody closes, and some later test fails for it; after this it has no answer.
    asyncio.set_event_loop(None)
    open_run()


def pytest_unconfigure() -> None:
    close_run()
