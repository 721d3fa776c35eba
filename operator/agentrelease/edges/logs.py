"""The operator's log: one JSON object a line on stdout, ours and every library's alike.

An exception becomes two fields, what and where, never a traceback over many lines. What looks like a
credential is hidden, whatever wrote it; prompts and answers never come here in the first place.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"(?i)token|secret|password|passwd|authorization|cookie|api[-_]?key")
_SECRET_TEXT = re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}")

# kopf logs each attempt on an absent API server, per watch, and says at ERROR what is no news
_CHATTY = "kopf._cogs.clients"
_CHATTY_PAUSE = 30.0


def configure(level: str, *, clock: Callable[[], float], stream: TextIO | None = None) -> None:
    """Send all logging to ``stream`` (stdout by default) from ``level`` up; call it once, at the start."""
    stream = stream or sys.stdout
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        one_line_errors,
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _Unfailing(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared[:3]],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                one_line_errors,
                hide_secrets,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handler.addFilter(Quieter(_CHATTY, _CHATTY_PAUSE, clock))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for library in ("kopf", "aiohttp.access", "asyncio", "httpx", "httpcore"):
        logging.getLogger(library).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(capture=True)


class _Unfailing(structlog.WriteLogger):
    """Loses a line rather than stop who logs it: a full disk or a broken pipe must not hold up a rollback."""

    def msg(self, message: str) -> None:
        """Write and flush a line, if that can be done."""
        with suppress(OSError, ValueError):  # ValueError: the stream was closed
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


class Quieter(logging.Filter):
    """Lets one record of a chatty family through per pause, in seconds."""

    def __init__(self, family: str, pause: float, clock: Callable[[], float]) -> None:
        super().__init__()
        self._family = family
        self._pause = pause
        self._clock = clock
        self._next = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record may pass."""
        if not record.name.startswith(self._family):
            return True
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._pause
        return True


def one_line_errors(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001
    """Replace an exception by its type, its message and the place where it was raised."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = f"{type(error).__name__}: {error}"
        frames = traceback.extract_tb(error.__traceback__)
        if frames:
            event["where"] = f"{frames[-1].filename}:{frames[-1].lineno}"
    event.pop("stack_info", None)
    return event


class Sealed(dict[str, Any]):
    """Content whose hash was taken: it leaves as it is. Whoever makes one keeps credentials out of it."""


def hide_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001
    """Hide values under telling names and texts that look like an Authorization header."""
    return {name: HIDDEN if _SECRET_NAME.search(name) else _hidden(value) for name, value in event.items()}


def _hidden(value: Any) -> Any:
    if isinstance(value, Sealed):
        return value
    if isinstance(value, str):
        return _SECRET_TEXT.sub(rf"\1 {HIDDEN}", value)
    if isinstance(value, dict):
        return hide_secrets(None, "", {str(name): item for name, item in value.items()})
    if isinstance(value, list | tuple):
        return [_hidden(item) for item in value]
    return value
