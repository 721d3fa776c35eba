"""``log`` and ``explain``: the decision log shown, checked, and decided again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.cli.decisions import entry_at, from_copies, from_file, lines
from agentrelease.cli.explain_view import print_explanation, whole_entries
from agentrelease.cli.figures import clock
from agentrelease.cli.frame import style_of
from agentrelease.cli.orders import Impossible
from agentrelease.core.chain import name_of
from agentrelease.core.explanation import Explanation, explain
from agentrelease.core.record import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rich.table import Table

    from agentrelease.cli.decisions import Log
    from agentrelease.cli.frame import Frame
    from agentrelease.cli.session import Printer, Session
    from agentrelease.core.chain import Link


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a log is printed: only the check, or as JSON."""

    verify: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """Which decision is explained: the newest unless ``at`` names one, or everything, a line each."""

    at: str | None
    everything: bool
    as_json: bool


async def log(session: Session, name: str, shown: Shown) -> int:
    """Show and check the log of a release from its revisions' copies."""
    return _show(session, [await from_copies(session, name)], shown)


def log_of_file(printer: Printer, path: str, namespace: str | None, name: str | None, shown: Shown) -> int:
    """Show and check the logs in a file of the stream."""
    return _show(printer, from_file(path, namespace, name), shown)


async def explain_release(session: Session, name: str, asked: Asked) -> int:
    """Explain a decision from the copies."""
    return _explain(session, await from_copies(session, name), asked)


def explain_of_file(printer: Printer, path: str, namespace: str | None, name: str, asked: Asked) -> int:
    """Explain a decision from a file of the stream; of a release that was made anew, the newer one."""
    return _explain(printer, from_file(path, namespace, name)[-1], asked)


def _show(printer: Printer, logs: Sequence[Log], shown: Shown) -> int:
    faults = [fault for one in logs for fault in one.faults]
    if shown.as_json:
        found = [{"kind": f.kind.value, "id": f.id, "sentence": f.sentence} for f in faults]
        entries = [] if shown.verify else lines([link for one in logs for link in one.links])
        printer.dump({"entries": entries, "faults": found, "verified": not faults})
        return 1 if faults else 0
    for one in logs:
        if not shown.verify:
            printer.console.print(_table(one.links, printer.frame()))
        _say_checked(printer, one)
    return 1 if faults else 0


def _say_checked(printer: Printer, one: Log) -> None:
    for fault in one.faults:
        printer.say(f"{one.release}: {fault.sentence} (in {one.where}).")
    if one.faults:
        printer.say(f"{one.release}: the decision log does not hold.")
        return
    if not one.links:
        printer.say(f"{one.release}: nothing has been decided yet.")
        return
    last = one.links[-1]
    printer.say(
        f"{one.release}: {len(one.links)} decisions in {one.where}, unchanged, complete and in order, "
        f"up to {name_of(last.sequence)} ({last.hash})."
    )
    if one.dropped:
        printer.say(
            f"{len(one.dropped)} older ones are only on the operator's stdout; check them with --file."
        )
    if one.head is None:
        printer.say("What came after the file's end can't be told from it: status.decision names the newest.")


def _table(links: Sequence[Link], frame: Frame) -> Table:
    wide = ["revision"] if frame.wide else []
    table = frame.table("decision", "at (UTC)", *wide, "phase", "move", "cause", "why")
    for link in links:
        entry: Mapping[str, Any] = link.entry or {}
        outcome = entry.get("outcome", {})
        cells = [
            str(entry.get("phase", "")),
            str(outcome.get("move", "")),
            str(outcome.get("cause", "")),
            str(outcome.get("reason", "only its hash is kept here" if link.entry is None else "")),
        ]
        revision = [frame.text(str(entry.get("revision", "")))] if frame.wide else []
        table.add_row(
            frame.text(name_of(link.sequence)),
            frame.text(clock(str(entry.get("at", "")))),
            *revision,
            *(frame.text(cell, style_of(cell)) for cell in cells),
        )
    return table


def _explain(printer: Printer, found: Log, asked: Asked) -> int:
    if asked.everything:
        return _explain_all(printer, found, as_json=asked.as_json)
    entry = entry_at(found, asked.at)
    said = _again(entry)
    if asked.as_json:
        printer.dump(_as_json(entry, said))
    elif isinstance(said, str):
        raise Impossible(f"{entry['id']} can't be decided again: {said}")
    else:
        print_explanation(printer, entry, said)
    return 0 if _same(said) else 1


def _again(entry: Mapping[str, Any]) -> Explanation | str:
    try:
        return explain(entry)
    except (Unreadable, KeyError) as error:
        return str(error)


def _explain_all(printer: Printer, found: Log, *, as_json: bool) -> int:
    said = [(entry, _again(entry)) for entry in whole_entries(found.links)]
    wrong = [entry["id"] for entry, one in said if not _same(one)]
    if as_json:
        printer.dump([_as_json(entry, one) for entry, one in said])
    else:
        for entry, one in said:
            outcome = entry["outcome"]
            word = "reproduced" if _same(one) else "DIFFERS"
            printer.say(f"{entry['id']}  {word}  {outcome['move']}: {outcome['cause']}: {outcome['reason']}")
        printer.say(f"{len(said) - len(wrong)} of {len(said)} decisions came out bit for bit as recorded.")
    return 1 if wrong else 0


def _same(said: Explanation | str) -> bool:
    return isinstance(said, Explanation) and said.reproduced


def _as_json(entry: Mapping[str, Any], said: Explanation | str) -> dict[str, Any]:
    shown = {"id": entry["id"], "recorded": entry["outcome"], "reproduced": _same(said)}
    if isinstance(said, str):
        return {**shown, "problem": said}
    rules = [
        {"rule": one.rule, "applied": one.step is not None, "reason": one.step.reason if one.step else ""}
        for one in said.considered
    ]
    return {**shown, "again": said.outcome, "differs": said.differs, "rules": rules}
