"""The last changes of exposure, each with its reason; newest first, because that is the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.cli.figures import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from agentrelease.api.status import Transition
    from agentrelease.cli.frame import Frame


def transitions_table(history: Sequence[Transition], frame: Frame, rows: int) -> Table:
    """Return the newest ``rows`` transitions."""
    wide = ["revision"] if frame.wide else []
    table = frame.table("at (UTC)", *wide, "change", "why")
    for transition in newest_first(history)[:rows]:
        revision = [transition.revision] if frame.wide else []
        change = f"{transition.from_} {frame.glyphs.arrow} {transition.phase}"
        cells = (clock(transition.at), *revision, change, transition.reason)
        table.add_row(*(frame.text(cell) for cell in cells))
    return table


def newest_first(history: Sequence[Transition]) -> list[Transition]:
    """Return the transitions in reverse order; the operator appends the newest."""
    return list(reversed(history))
