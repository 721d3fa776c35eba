"""Keeps one bad route from holding up all others.

Envoy takes or refuses a configuration as a whole. When it refuses one, the routes that have changed since the
last accepted one are the suspects: all of them are set aside, which must be accepted, and then each is tried
alone. A refused route keeps serving its last good version, and its status says so (Gateway API's
`PartiallyInvalid`, "Fall Back").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Isolation", "Refusal"]

Json = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Envoy's words about a route at one generation, and the version that serves instead, if any."""

    generation: int
    message: str
    last_good: Json | None


class Isolation:
    """Remembers which version of each route is in force and which versions were refused."""

    def __init__(self) -> None:
        self._in_force: dict[Key, Json] = {}
        self._refused: dict[Key, Refusal] = {}

    def refusals(self, routes: Iterable[Json]) -> dict[Key, Refusal]:
        """Give the refusals that still concern `routes` as they are now; forget the others."""
        current = {key_of(route): route["metadata"]["generation"] for route in routes}
        self._refused = {k: r for k, r in self._refused.items() if current.get(k) == r.generation}
        return dict(self._refused)

    def suspects(self, routes: Iterable[Json]) -> list[Json]:
        """Give the routes that differ from what is in force and aren't refused yet."""
        return [
            route
            for route in routes
            if key_of(route) not in self._refused
            and route["spec"] != self._in_force.get(key_of(route), {}).get("spec")
        ]

    def refuse(self, route: Json, message: str) -> None:
        key = key_of(route)
        generation = route["metadata"]["generation"]
        self._refused[key] = Refusal(generation, message, self._in_force.get(key))

    def pardon(self, route: Json) -> None:
        self._refused.pop(key_of(route), None)

    def accepted(self, routes: Iterable[Json]) -> None:
        """Note that these are in force now, but for the refused ones."""
        known = {key_of(route): route for route in routes}
        kept = {key: route for key, route in self._in_force.items() if key in self._refused and key in known}
        self._in_force = {key: route for key, route in known.items() if key not in self._refused} | kept


def key_of(obj: Json) -> Key:
    """Name a namespaced object within its kind."""
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
