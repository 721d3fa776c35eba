"""A status that always fits: below 64 KiB and within every bound of its schema, whatever happened.

A status that the API server refuses would stop the release where it stands. So what is too long is
cut here, least needed first: old transitions, reasons, metrics, the frozen reference, and the ledger of
evidence last. A ledger that is gone is missing evidence, which holds and is gathered anew; it is never a
pass. Which revision serves, which is on its way and which are refused is never given up.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agentrelease.api.status import MAX_HISTORY, MAX_MESSAGE, MAX_REFUSED, ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 60_000
"""Below 64 KiB with room for what the API server adds."""

MAX_METRICS = 48
_BOUNDS = {
    name: next((m.max_length for m in field.metadata if hasattr(m, "max_length")), None)
    for name, field in ReleaseStatus.model_fields.items()
}
_SHORT = 160


def fitted(status: ReleaseStatus, limit: int = MAX_BYTES) -> ReleaseStatus:
    """Return the status itself where it fits, else the same with the least needed parts cut."""
    status = _within_bounds(status)
    for cut in _CUTS:
        if size_of(status) <= limit:
            return status
        status = cut(status)
    return status


def size_of(status: ReleaseStatus) -> int:
    """Bytes of the status as compact JSON in UTF-8, ``<``, ``>`` and ``&`` escaped as the API server does."""
    text = json.dumps(status.to_object(), separators=(",", ":"), ensure_ascii=False)
    return len(text.encode()) + 5 * sum(text.count(sign) for sign in "<>&")


def _within_bounds(status: ReleaseStatus) -> ReleaseStatus:
    """Lists keep their newest entries; a ledger that was cut could not be read, so it goes as a whole."""
    whole = {name: getattr(status, name) for name in ("evidence", "reference", "decision_entry")}
    return status.model_copy(
        update={
            **{name: "" for name, text in whole.items() if len(text) > (_BOUNDS[name] or 0)},
            **({"course": ""} if len(status.evidence) > (_BOUNDS["evidence"] or 0) else {}),
            "reason": status.reason[:MAX_MESSAGE],
            "history": status.history[-MAX_HISTORY:],
            "refused": status.refused[-MAX_REFUSED:],
            "metrics": status.metrics[:MAX_METRICS],
        }
    )


def _with(**lists: Callable[[ReleaseStatus], Any]) -> Callable[[ReleaseStatus], ReleaseStatus]:
    return lambda status: status.model_copy(update={name: make(status) for name, make in lists.items()})


def _clipped(entry: Any, field: str) -> Any:
    text = getattr(entry, field)
    return entry if len(text) <= _SHORT else entry.model_copy(update={field: text[: _SHORT - 1] + "…"})


_CUTS: tuple[Callable[[ReleaseStatus], ReleaseStatus], ...] = (
    _with(decision_entry=lambda _: ""),
    _with(outlook=lambda _: []),
    _with(history=lambda s: s.history[-10:]),
    _with(
        history=lambda s: [_clipped(entry, "reason") for entry in s.history],
        refused=lambda s: [_clipped(entry, "reason") for entry in s.refused],
        metrics=lambda s: [_clipped(entry, "why") for entry in s.metrics],
        conditions=lambda s: [_clipped(entry, "message") for entry in s.conditions],
    ),
    _with(metrics=lambda s: [m for m in s.metrics if not m.stratum or m.verdict != "pass"]),
    _with(history=lambda s: s.history[-3:], metrics=lambda s: s.metrics[:12]),
    _with(course=lambda _: ""),
    _with(reference=lambda _: ""),
    _with(evidence=lambda _: ""),
)
