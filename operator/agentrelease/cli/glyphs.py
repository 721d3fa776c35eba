"""The signs that the live view is drawn with, and what becomes of text on a terminal that lacks them.

Every sign says its thing by shape, so that nothing is lost without colour. Text that comes out of
the cluster was written by others: control characters never reach the terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import OverflowMethod

_ASCII = str.maketrans(
    {
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "×": "x",
        "·": "-",
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "..",
        "±": "+/-",
        "“": '"',
        "”": '"',
        "’": "'",
        "\u00a0": " ",
    }
)


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs; ``full`` and ``empty`` make bars."""

    done: str
    current: str
    ahead: str
    full: str
    empty: str
    arrow: str
    unknown: str
    separator: str
    good: str
    bad: str
    waiting: str
    overflow: OverflowMethod  # one of Rich's overflow methods; its ellipsis is not ASCII
    ascii_only: bool = False

    def bar(self, share: float, width: int) -> str:
        """Draw a share of 0 to 1; only a whole one looks full, and anything above 0 is seen."""
        cells = int(min(max(share, 0.0), 1.0) * width)
        if share > 0 and cells == 0:
            cells = 1
        return self.full * cells + self.empty * (width - cells)

    def legible(self, text: str) -> str:
        """Make one line of any text: no control characters, no line breaks, ASCII where needed."""
        line = "".join(c if c.isprintable() else " " for c in text)
        if not self.ascii_only:
            return line
        return line.translate(_ASCII).encode("ascii", "replace").decode("ascii")


UNICODE = Glyphs("✔", "▶", "·", "█", "░", "→", "–", " · ", "✔", "✘", "…", "ellipsis")
ASCII = Glyphs("+", ">", ".", "#", ".", "->", "-", " - ", "+", "X", "?", "crop", ascii_only=True)
