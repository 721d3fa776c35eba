"""How a new report replaces an old one.

`lastTransitionTime` moves only when a condition's `status` does; other controllers' entries stay as they are.
"""

from __future__ import annotations

from typing import Any

from agentrelease.local.gateway.status import CONTROLLER

__all__ = ["conditions_since", "gateway_status", "merged_parents"]

Json = dict[str, Any]


def conditions_since(new: list[Json], old: list[Json], now: str) -> list[Json]:
    """Date `new` conditions: the old time where the status is the same, else `now` (RFC 3339)."""
    before = {item["type"]: item for item in old}

    def since(item: Json) -> str:
        known = before.get(item["type"])
        same = known is not None and known["status"] == item["status"]
        return str(known["lastTransitionTime"]) if known is not None and same else now

    return [item | {"lastTransitionTime": since(item)} for item in new]


def merged_parents(new: list[Json], old: list[Json], now: str) -> list[Json]:
    """Give `status.parents` of a route: other controllers' entries as they are, ours replaced and dated."""
    theirs = [entry for entry in old if entry["controllerName"] != CONTROLLER]
    ours = [entry for entry in old if entry["controllerName"] == CONTROLLER]

    def dated(entry: Json) -> Json:
        known: list[Json] = next((o["conditions"] for o in ours if o["parentRef"] == entry["parentRef"]), [])
        return entry | {"conditions": conditions_since(entry["conditions"], known, now)}

    return theirs + [dated(entry) for entry in new]


def gateway_status(new: Json, old: Json, now: str) -> Json:
    """Date a Gateway's status, its listeners' conditions included."""
    known = {listener["name"]: listener.get("conditions", []) for listener in old.get("listeners", [])}
    listeners = [
        listener
        | {"conditions": conditions_since(listener["conditions"], known.get(listener["name"], []), now)}
        for listener in new["listeners"]
    ]
    return new | {
        "conditions": conditions_since(new["conditions"], old.get("conditions", []), now),
        "listeners": listeners,
    }
