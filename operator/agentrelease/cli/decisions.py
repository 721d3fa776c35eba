"""Where the decision log is read from: the copies on a release's revisions, or a file of the stream."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agentrelease.api.revision import RevisionStatus
from agentrelease.cli.orders import Impossible, fetch, read
from agentrelease.cli.revisions import revisions_of
from agentrelease.core import copies
from agentrelease.core.chain import Fault, Link, check
from agentrelease.edges.recorder import STREAM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agentrelease.api.status import LogHead
    from agentrelease.cli.session import Session

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Log:
    """The log of one release as it was found; ``where`` says in words where that was.

    Without ``head`` nothing says where the log ends. ``dropped`` entries are known to be in no copy.
    """

    release: str
    where: str
    links: tuple[Link, ...]
    head: LogHead | None = None
    dropped: frozenset[int] = frozenset()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with it."""
        return check(self.links, self.head, self.dropped)


async def from_copies(session: Session, name: str) -> Log:
    """Merge the copies of all revisions of a release."""
    release = read(await fetch(session.cluster, session.namespace, name))
    statuses = [_status(obj) for obj in await revisions_of(session, name)]
    links = [link for status in statuses for link in copies.links(status) if _of(link, release.uid)]
    links.sort(key=lambda link: link.sequence)  # copies have no order between them
    return Log(
        release=f"{release.namespace}/{name}",
        where=f"the copies on {len(statuses)} revisions",
        links=tuple(links),
        head=release.status.decision,
        dropped=copies.dropped(statuses),
    )


def from_file(path: str, namespace: str | None, name: str | None) -> tuple[Log, ...]:
    """Read a file of the operator's stdout (``-``: stdin), whatever else is in it; one log a release."""
    try:
        text = sys.stdin.read() if path == STDIN else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Impossible(f"--file: can't read {path}: {error}") from None
    found: dict[tuple[str, str], list[Link]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if (link := _line(line, f"{path}:{number}")) is None or link.entry is None:
            continue
        about = f"{link.entry.get('namespace')}/{link.entry.get('release')}"
        if name in (None, link.entry.get("release")) and namespace in (None, link.entry.get("namespace")):
            found.setdefault((about, str(link.entry.get("uid"))), []).append(link)
    if not found:
        raise Impossible(f"--file: {path} has no decision of {name or 'any release'}")
    return tuple(Log(about, path, tuple(links)) for (about, _), links in found.items())


def _line(line: str, where: str) -> Link | None:
    """Return the entry of a line of the stream; ``None`` for any other line."""
    start = line.find("{")  # `kubectl logs --prefix` and `--timestamps` write something before it
    if f'"{STREAM}"' not in line or start < 0:
        return None
    try:
        record = json.loads(line[start:])
        return Link.of(record["entry"], record["hash"]) if record.get("event") == STREAM else None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Impossible(f"--file: {where} is not an entry of the decision log: {error}") from None


def entry_at(log: Log, wanted: str | None) -> Mapping[str, Any]:
    """Return the entry of a name, or the newest; ``Impossible`` says which there are."""
    whole = {str(link.entry["id"]): link.entry for link in log.links if link.entry and "inputs" in link.entry}
    if not whole:
        raise Impossible(f"NAME: {log.where} have no whole decision of {log.release}; try --file")
    if wanted is not None and wanted not in whole:
        raise Impossible(
            f"--at: {wanted} is not whole in {log.where}; there are {min(whole)} to {max(whole)}. "
            f"The operator's stdout has all: --file"
        )
    return whole[wanted or max(whole)]


def _status(obj: Mapping[str, Any]) -> RevisionStatus:
    try:
        return RevisionStatus.model_validate(obj.get("status") or {})
    except ValidationError:
        return RevisionStatus()


def _of(link: Link, uid: str) -> bool:
    """Whether an entry is of this release, not of one of the same name before it."""
    return not link.entry or link.entry.get("uid") == uid


def lines(links: Iterable[Link]) -> list[dict[str, Any]]:
    """Return entries as the stream has them, for JSON output."""
    return [
        {"event": STREAM, "hash": link.hash, "entry": link.entry}
        if link.entry
        else {"event": STREAM, "hash": link.hash, "sequence": link.sequence, "previous": link.previous}
        for link in links
    ]
