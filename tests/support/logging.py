"""The operator's logging for one test; afterwards nothing of it is left."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import structlog

from agentrelease.edges import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def logging_to(stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Log to ``stream`` as the operator does; libraries' loggers keep their raised thresholds."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("info", clock=clock, stream=stream)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
