"""What the parts of the live view share: the space there is, the signs, and the colours of verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentrelease.cli.glyphs import Glyphs

WIDE = 96
"""Columns from which on every column of the tables is shown."""

_TONES = {
    "pass": "good",
    "promote": "good",
    "Promoted": "good",
    "PhaseEntered": "good",
    "harm": "bad",
    "RollingBack": "bad",
    "RolledBack": "bad",
    "GuardrailBreached": "bad",
    "RollbackOrdered": "bad",
    "RollbackIncomplete": "bad",
    "Refused": "bad",
    "suspect": "warn",
    "blind": "warn",
    "EvidenceMissing": "warn",
    "TelemetryMissing": "warn",
    "NotInSync": "warn",
    "NotMeasured": "warn",
    "Paused": "warn",
    "Halted": "warn",
    "Blocked": "warn",
    "collecting": "wait",
    "unjudged": "wait",
    "Collecting": "wait",
    "Soaking": "wait",
    "Settling": "wait",
    "Waiting": "wait",
}
_STYLES = {"good": "green", "bad": "bold red", "warn": "yellow", "wait": "cyan", "plain": "none"}


@dataclass(frozen=True, slots=True)
class Frame:
    """Columns and rows to draw in (``None`` rows: as many as it takes), at a moment in unix seconds."""

    columns: int
    rows: int | None
    glyphs: Glyphs
    now: float

    @property
    def wide(self) -> bool:
        """Whether all columns fit."""
        return self.columns >= WIDE

    def text(self, content: str, style: str = "none") -> Text:
        """Return one line of anybody's text, made harmless and cut at the edge."""
        return Text(self.glyphs.legible(content), style, no_wrap=True, overflow=self.glyphs.overflow)

    def said(self, what: str, sentence: str, lines: int, style: str = "none") -> list[Text]:
        """Return a sentence with what it is before it, wrapped; at most so many lines where rows are few."""
        words = Text(self.glyphs.legible(f"{what}: {sentence}"), style)
        words.stylize("bold", 0, len(what) + 1)
        wrapped = list(_wrapped(words, self.columns))
        if self.rows is not None and len(wrapped) > lines:
            wrapped[lines - 1].truncate(self.columns - 3)
            wrapped[lines - 1].append("...")
            return wrapped[:lines]
        return wrapped

    def table(self, *headings: str, yielding: int = -1) -> Table:
        """Return an empty table with headings; one starting with ``>`` is aligned to the right.

        Where not everything fits, the column with the index ``yielding`` is cut, and only then the others.
        """
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
        for index, heading in enumerate(headings):
            right = heading.startswith(">")
            table.add_column(
                heading.removeprefix(">"),
                justify="right" if right else "left",
                no_wrap=index != yielding % len(headings),  # Rich takes from columns that may wrap first
                overflow=self.glyphs.overflow,
            )
        return table


def _wrapped(text: Text, columns: int) -> Iterator[Text]:
    words, line = text.split(" "), Text()
    for word in words:
        if line and line.cell_len + 1 + word.cell_len > columns:
            yield line
            line = Text("     ")
        line.append_text(Text(" ") if line.plain.strip() else Text()).append_text(word)
    yield line


def tone(verdict: str) -> str:
    """Return ``good``, ``bad``, ``warn``, ``wait`` or ``plain`` for a verdict or a phase."""
    return _TONES.get(verdict, "plain")


def style_of(verdict: str) -> str:
    """Return the colour of a verdict or a phase; the word itself is always shown beside it."""
    return _STYLES[tone(verdict)]
