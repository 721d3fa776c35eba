"""``history``: what happened to a release, and what became of each of its revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from agentrelease.cli.figures import age, moment
from agentrelease.cli.frame import style_of
from agentrelease.cli.transitions import transitions_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from agentrelease.api.release import AgentRelease
    from agentrelease.cli.frame import Frame


_PAST = {"RolledBack": "rolled back", "Superseded": "superseded"}


def history_tables(
    release: AgentRelease, revisions: Sequence[dict[str, Any]], frame: Frame
) -> Iterator[RenderableType]:
    """Yield the revisions, newest first, and the transitions, newest first."""
    if revisions:
        yield _revisions(release, revisions, frame)
        yield Text("")
    if release.status.history:
        yield transitions_table(release.status.history, frame, len(release.status.history))
    else:
        yield frame.text("No change of exposure is recorded yet.")


def _revisions(release: AgentRelease, revisions: Sequence[dict[str, Any]], frame: Frame) -> Table:
    table = frame.table("revision", ">age", "is", "changed since its parent", "why")
    for revision in sorted(revisions, key=lambda r: str(r["metadata"]["creationTimestamp"]), reverse=True):
        name = str(revision["metadata"]["name"])
        born = moment(str(revision["metadata"]["creationTimestamp"])) or frame.now
        word, why = _standing(release, name, revision.get("status") or {})
        table.add_row(
            frame.text(name),
            frame.text(age(frame.now - born)),
            frame.text(word, style_of("RolledBack" if word == "refused" else "")),
            frame.text(_layers(revision)),
            frame.text(why),
        )
    return table


def _standing(release: AgentRelease, name: str, fared: dict[str, Any]) -> tuple[str, str]:
    status = release.status
    for word, holder in (
        ("stable", status.stable),
        ("candidate", status.candidate),
        ("previous", status.previous),
    ):
        if holder is not None and holder.revision == name:
            return word, ""
    refused = next((r for r in status.refused if r.revision == name), None)
    if refused:
        return "refused", refused.reason
    return _PAST.get(str(fared.get("outcome", "")), "past"), str(fared.get("reason", ""))


def _layers(revision: dict[str, Any]) -> str:
    changes = revision.get("spec", {}).get("changes") or ()
    return ", ".join(dict.fromkeys(str(change.get("layer", "")) for change in changes)) or "first"
