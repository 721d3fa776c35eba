"""Watches what the API server says of one agent, and notes when each revision's exposure changed.

Times are those at which a change arrived here by watch, milliseconds after it was stored; nothing is
polled, so a short exposure can't be missed between two looks.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from agentrelease.api.release import AgentRelease
from agentrelease.local.demo_exposure import OBSERVE, Reach, autonomy, reach
from agentrelease.local.kubeapi import KubeApi, collection
from agentrelease.local.reflector import Reflector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Json = dict[str, Any]

_KINDS = {
    "agentreleases": "agentrelease.dev/v1alpha1",
    "httproutes": "gateway.networking.k8s.io/v1",
    "configmaps": "v1",
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a revision was given from ``at`` on (unix seconds)."""

    at: float
    revision: str
    reach: Reach
    autonomy: str


@dataclass(frozen=True, slots=True)
class Exposed:
    """Since when a revision met users, and when route and flags were safe for good; ``None``: not yet.

    ``users`` is false for one that was stopped before: ``since`` is then its cohort's or mirror's time.
    """

    since: float | None = None
    users: bool = False
    route_safe: float | None = None
    flags_safe: float | None = None

    @property
    def safe(self) -> float | None:
        """When both were safe."""
        if self.route_safe is None or self.flags_safe is None:
            return None
        return max(self.route_safe, self.flags_safe)


@dataclass(slots=True)
class Observer:
    """Follows one AgentRelease, its route and its flags while its context is open."""

    kubeconfig: Path
    namespace: str
    name: str
    sightings: list[Sighting] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _services: dict[str, str] = field(default_factory=dict)  # service → the revision last seen in it
    _mirrors: dict[str, Reflector] = field(default_factory=dict)
    _read: tuple[str, AgentRelease] | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        api = await self._stack.enter_async_context(KubeApi(self.kubeconfig))
        for plural, version in _KINDS.items():
            mirror = Reflector(api, collection(version, plural, self.namespace), self._wake)
            self._mirrors[plural] = mirror
            task = asyncio.create_task(mirror.run())
            self._stack.push_async_callback(_ended, task)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def release(self) -> AgentRelease | None:
        """The release as last seen; ``None`` before it was applied."""
        obj = self._object("agentreleases", self.name)
        if obj is None:
            return None
        version = str(obj["metadata"]["resourceVersion"])
        if self._read is None or self._read[0] != version:
            self._read = (version, AgentRelease.from_object(obj))
        return self._read[1]

    def exposed(self, revision: str) -> Exposed:
        """Return since when a revision met users, as far as it came, and when that ended."""
        seen = [sighting for sighting in self.sightings if sighting.revision == revision]
        kinds: tuple[Callable[[Reach], bool], ...] = (
            lambda found: found.weight > 0,
            lambda found: found.answers,
            lambda found: found.reached,
        )
        firsts = [next((s.at for s in seen if kind(s.reach)), None) for kind in kinds]
        since = next((first for first in firsts if first is not None), None)
        if since is None:
            return Exposed()
        return Exposed(
            since,
            firsts[0] is not None,
            _for_good(seen, lambda sighting: not sighting.reach.reached, since),
            _for_good(seen, lambda sighting: sighting.autonomy == OBSERVE, since),
        )

    def _wake(self) -> None:
        self._note(time.time())
        self.changed.set()

    def _note(self, now: float) -> None:
        release = self.release
        if release is None:
            return
        for service, revision in _loaded(release):
            self._services[service] = revision
        routed = release.spec.delivery.route
        route = self._object("httproutes", (routed.http_route if routed else None) or "")
        flags = self._object("configmaps", release.spec.delivery.flags.config_map) or {}
        document = str((flags.get("data") or {}).get(f"{self.name}.flagd.json", ""))
        last = {sighting.revision: sighting for sighting in self.sightings}
        for service, revision in self._services.items():
            found = Sighting(now, revision, reach(route, service), autonomy(document, self.name, revision))
            before = last.get(revision)
            if before is None or (before.reach, before.autonomy) != (found.reach, found.autonomy):
                self.sightings.append(found)

    def _object(self, plural: str, name: str) -> Json | None:
        mirror = self._mirrors.get(plural)
        return mirror.objects.get((self.namespace, name)) if mirror else None


def _loaded(release: AgentRelease) -> Iterator[tuple[str, str]]:
    """Yield the service and the revision of every slot in use, the candidate's last."""
    status, slots = release.status, release.spec.delivery.slots or {}
    for holder in (status.previous, status.stable, status.candidate):
        if holder is not None and holder.slot in slots:
            yield slots[holder.slot].service, holder.revision


def _for_good(seen: list[Sighting], safe: Callable[[Sighting], bool], since: float) -> float | None:
    """Return since when everything seen is safe, not earlier than ``since``; ``None`` if the last is not."""
    trailing = list(itertools.takewhile(safe, reversed(seen)))
    return max(trailing[-1].at, since) if trailing else None


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
