"""Progress of something long: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["counting", "say"]

_LINE_EVERY_SECONDS = 15.0


@contextmanager
def counting(label: str, unit: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Give a function to call once for each of `total` units done (None: nobody knows how many)."""
    console = Console(stderr=True)
    shown = _bar(console, label, total) if console.is_terminal else _lines(label, unit, total)
    with shown as step:
        yield step


@contextmanager
def _bar(console: Console, label: str, total: int | None) -> Iterator[Callable[[], None]]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)
        # What was cached from an earlier attempt is not announced again.
        progress.update(task, total=total or 1, completed=total or 1)


@contextmanager
def _lines(label: str, unit: str, total: int | None) -> Iterator[Callable[[], None]]:
    began = told = time.monotonic()
    done = 0

    def step() -> None:
        nonlocal done, told
        done += 1
        now = time.monotonic()
        if now - told >= _LINE_EVERY_SECONDS:
            told = now
            say(f"{label}: {done}{f' of {total}' if total else ''} {unit}, {now - began:.0f} s")

    say(f"{label}: started")
    yield step
    say(f"{label}: done after {time.monotonic() - began:.0f} s")


def say(line: str) -> None:
    """Print one line beside whatever is shown."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress is this module's output
