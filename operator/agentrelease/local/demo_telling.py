"""One run of the demo's story: apply, show, wait, and measure how the bad release was stopped."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from agentrelease.cli.figures import moment
from agentrelease.local.demo_measuring import Measuring
from agentrelease.local.demo_observer import Observer
from agentrelease.local.demo_parts import NAMESPACE
from agentrelease.local.demo_story import (
    CHAPTERS,
    FIRST,
    WORSE,
    Chapter,
    Late,
    revision_in,
    until_ended,
    until_true,
)
from agentrelease.local.demo_summary import Happened, Stopped, Summary
from agentrelease.local.traffic import Load, Traffic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from agentrelease.api.release import AgentRelease
    from agentrelease.local.demo_parts import Stage
    from agentrelease.local.demo_screen import Screen

AGENT = "support"
_LONGEST = 62
_LOAD = Load(rate=100.0, duration=900.0)


@dataclass(slots=True)
class Telling:
    """What the story needs, and what it has seen so far."""

    screen: Screen
    parts: Stage
    examples: Path
    observer: Observer
    traffic: Traffic
    session: aiohttp.ClientSession
    began: float = field(default_factory=time.time)
    timeline: list[Happened] = field(default_factory=list)
    stopped: Stopped | None = None
    _flowing: asyncio.Task[object] | None = None

    async def tell(self) -> Summary:
        """Apply one release after the other; ends at the first that does not come to its end."""
        failures: tuple[str, ...] = ()
        try:
            for chapter in CHAPTERS:
                await self._chapter(chapter)
        except Late as late:
            failures = (str(late),)
        return Summary(
            timeline=tuple(sorted(self.timeline, key=lambda happened: happened.at)),
            stopped=self.stopped,
            failures=failures,
            shadows=self.traffic.totals.shadows,
            seconds=time.time() - self.began,
        )

    async def _chapter(self, chapter: Chapter) -> None:
        known = self.observer.release
        told = len(known.status.history) if known else 0
        asked = self.traffic.totals.sent
        manifest = self.examples / chapter.manifest
        self._note(f"kubectl apply {chapter.manifest}")
        await self.parts.kubectl("apply", "-n", NAMESPACE, "-f", str(manifest))
        async with self.screen.following(chapter.title, self.observer, self.traffic):
            try:
                release = await until_ended(chapter, revision_in(manifest), self.observer)
                if chapter is FIRST:
                    await until_true("an answer through the gateway", self._answers, 20)
                    self._flowing = asyncio.create_task(self.traffic.run())
            finally:
                for moved in self.observer.release.status.history[told:] if self.observer.release else ():
                    self._note(f"{moved.from_} → {moved.phase}: {_short(moved.reason)}", moment(moved.at))
        self.screen.say(f"  {chapter.ending}: {release.status.reason}")
        if chapter is WORSE:
            await self._measure(release, asked)

    async def _answers(self) -> bool:
        headers = {"x-session": "demo-probe", "x-audience": "internal"}
        try:
            async with self.session.post(
                self.parts.agent_url, json={"text": "demo"}, headers=headers
            ) as reply:
                return reply.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _measure(self, release: AgentRelease, asked: int) -> None:
        """Find out when the bad revision began to do harm, and when and after how much it was stopped."""
        refused = release.status.refused[-1]
        bad = refused.revision
        exposed = self.observer.exposed(bad)
        measuring = Measuring(self.session, self.parts.prometheus_url, NAMESPACE)
        violation = await measuring.first_violation(bad, exposed.since) if exposed.since else None
        totals = self.traffic.totals
        self.stopped = Stopped(
            revision=bad,
            violation=violation,
            flags_safe=exposed.flags_safe,
            route_safe=exposed.route_safe,
            answers=totals.of(bad).answers,
            requests=totals.sent - asked,
            tasks=await measuring.tasks(bad),
            why=refused.reason,
        )
        for at, what in (
            (
                exposed.since,
                f"{bad} {'answers its first users' if exposed.users else 'is tried without users'}",
            ),
            (violation, "Prometheus has its first violation in front of a user"),
            (exposed.flags_safe, "its flags say observe"),
            (exposed.route_safe, "the route leads nobody to it"),
        ):
            if at is not None:
                self._note(what, at)

    def _note(self, what: str, at: float | None = None) -> None:
        self.timeline.append(Happened((at or time.time()) - self.began, what))


def _short(reason: str) -> str:
    """The first statement of a reason; all of it is in the history."""
    first = reason.partition(";")[0]
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 1]}…"


@asynccontextmanager
async def telling(screen: Screen, parts: Stage, examples: Path) -> AsyncIterator[Telling]:
    """Open eyes and traffic for a story on running parts; traffic ends with the context."""
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        Observer(parts.kubeconfig, NAMESPACE, AGENT) as observer,
        aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
    ):
        traffic = Traffic(parts.agent_url, _LOAD)
        story = Telling(screen, parts, examples, observer, traffic, session)
        try:
            yield story
        finally:
            traffic.stop()
            if story._flowing is not None:  # noqa: SLF001 - this function is the other half of the class
                await asyncio.gather(story._flowing, return_exceptions=True)  # noqa: SLF001
