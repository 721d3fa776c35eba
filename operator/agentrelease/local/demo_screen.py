"""How the demo shows itself: a live picture on a terminal, plain lines with times everywhere else."""

from __future__ import annotations

import asyncio
import shlex
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agentrelease.cli.glyphs import ASCII, UNICODE
from agentrelease.cli.view import headline, view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from agentrelease.local.demo_observer import Observer
    from agentrelease.local.traffic import Traffic

_REFRESH = 0.25
_OWN_ROWS = 3


class Screen:
    """Prints lines, commands and the live view; lines never overwrite each other."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._glyphs = ASCII if self.console.options.ascii_only else UNICODE
        self._began = time.monotonic()

    def say(self, text: str, style: str = "none") -> None:
        """Print one line, with the time where nobody sees it appear."""
        stamp = "" if self.console.is_terminal else f"[{time.monotonic() - self._began:6.1f} s] "
        self.console.print(Text(self._glyphs.legible(f"{stamp}{text}"), style), soft_wrap=True)

    def plain(self, text: str) -> None:
        """Print one line as it is."""
        self.console.print(Text(self._glyphs.legible(text)), soft_wrap=True)

    def blank(self) -> None:
        """Print an empty line."""
        self.console.print()

    def command(self, arguments: Sequence[str]) -> None:
        """Print a command as one would type it."""
        self.say(f"$ {shlex.join(arguments)}", "bold")

    @asynccontextmanager
    async def following(self, title: str, observer: Observer, traffic: Traffic) -> AsyncIterator[None]:
        """Show the release while the context is open."""
        follow = self._picture if self.console.is_terminal else self._lines
        task = asyncio.create_task(follow(title, observer, traffic))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _picture(self, title: str, observer: Observer, traffic: Traffic) -> None:
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self._drawn(title, observer, traffic), refresh=True)
                await asyncio.sleep(_REFRESH)

    def _drawn(self, title: str, observer: Observer, traffic: Traffic) -> Group:
        parts: list[object] = [self._line(f"{title}  ({time.monotonic() - self._began:.0f} s)", "reverse")]
        release = observer.release
        if release is not None:
            parts.append(view(release, time.time(), self.console.height - _OWN_ROWS))
        parts.append(self._line(served(traffic), "dim"))
        return Group(*parts)  # type: ignore[arg-type]

    def _line(self, text: str, style: str) -> Text:
        return Text(self._glyphs.legible(text), style, no_wrap=True, overflow=self._glyphs.overflow)

    async def _lines(self, _title: str, observer: Observer, _traffic: Traffic) -> None:
        said = ""
        while True:
            observer.changed.clear()
            release = observer.release
            if release is not None and release.status.verdict:
                line = f"{headline(release)}: {release.status.verdict}"
                if line != said:
                    self.say(f"  {line}: {release.status.reason}")
                    said = line
            await observer.changed.wait()


def served(traffic: Traffic) -> str:
    """Say what traffic was sent and who answered it."""
    totals = traffic.totals
    releases = ", ".join(f"{name} {got.answers}" for name, got in sorted(totals.releases.items()))
    trouble = f", {totals.failed} failed" if totals.failed else ""
    return f"traffic: {totals.sent} requests{trouble}; answered by {releases or 'nobody yet'}"
