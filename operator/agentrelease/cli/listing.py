"""``list``: one line a release, in the columns that ``kubectl get arel`` has too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.cli.figures import age, moment, weight
from agentrelease.cli.frame import style_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text

    from agentrelease.api.release import AgentRelease
    from agentrelease.cli.frame import Frame


def release_list(releases: Sequence[tuple[AgentRelease, str]], frame: Frame, *, namespaces: bool) -> Table:
    """Return the table of releases, each with its creation time."""
    first = ["namespace"] if namespaces else []
    last = ["stable", ">age"] if frame.wide else [">age"]
    table = frame.table(*first, "name", "phase", "step", "autonomy", ">weight", "verdict", *last, yielding=-2)
    for release, created in releases:
        where = [frame.text(release.namespace)] if namespaces else []
        table.add_row(*where, *_cells(release, created, frame))
    return table


def _cells(release: AgentRelease, created: str, frame: Frame) -> list[Text]:
    status, none = release.status, frame.glyphs.unknown
    candidate, intended = status.candidate, status.exposure.intended
    running = candidate is not None and candidate.stage is Stage.RUNNING
    step = f"{candidate.phase_index + 1}/{len(release.spec.phases)}" if candidate and running else none
    level = str(intended.autonomy) if running else str(status.stable.autonomy if status.stable else none)
    share = weight(intended.weight) if candidate else none
    verdict = "Paused" if release.spec.paused else status.verdict or none
    born = moment(created)
    return [
        frame.text(release.name, "bold"),
        frame.text(status.phase or "Pending", style_of(status.phase)),
        frame.text(step),
        frame.text(level),
        frame.text(share),
        frame.text(verdict, style_of(verdict)),
        *([frame.text(status.stable.revision if status.stable else none)] if frame.wide else []),
        frame.text(none if born is None else age(frame.now - born)),
    ]
