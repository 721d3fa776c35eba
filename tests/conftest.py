"""What every test needs, and nothing else."""

from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    # pytest-asyncio asks for the current loop before it makes its own. Up to Python 3.11 that question
    # creates one which nobody closes, and some later test fails for it; after this it has no answer.
    asyncio.set_event_loop(None)
