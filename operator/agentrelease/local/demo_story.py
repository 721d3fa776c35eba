"""What the demo tells: three releases, what each must come to, and how long each may take at most."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from agentrelease.api.bundle import Bundle
from agentrelease.cli.view import headline
from agentrelease.core.bundle import digest_of, revision_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from agentrelease.api.release import AgentRelease
    from agentrelease.local.demo_observer import Observer


@dataclass(frozen=True, slots=True)
class Chapter:
    """One manifest, what it is, the phase word it must end with, and the seconds it may take."""

    manifest: str
    title: str
    ending: str
    seconds: float


FIRST = Chapter("v1.yaml", "v1: the first release, promoted as asked", "Promoted", 60)
BETTER = Chapter("v2.yaml", "v2: better in everything; must earn its promotion", "Promoted", 180)
WORSE = Chapter("v3.yaml", "v3: completes more by breaking policies; must be rolled back", "RolledBack", 150)
CHAPTERS = (FIRST, BETTER, WORSE)


class Late(RuntimeError):
    """A chapter did not end as it should in its time; the message says what was awaited and what there is."""


def revision_in(manifest: Path) -> str:
    """Return the name of the revision that a manifest's bundle will have."""
    obj = yaml.safe_load(manifest.read_text(encoding="utf-8"))
    return revision_name(obj["metadata"]["name"], digest_of(Bundle.model_validate(obj["spec"]["bundle"])))


async def until_ended(chapter: Chapter, revision: str, observer: Observer) -> AgentRelease:
    """Wait until a revision has come to the chapter's end; raises ``Late``, at once for another end."""

    def ended() -> AgentRelease | None:
        release = observer.release
        return release if release is not None and ending_of(revision, release) else None

    try:
        release = await _until(ended, observer, chapter.seconds)
    except TimeoutError:
        raise Late(
            f"{chapter.manifest}: waited {chapter.seconds:.0f} s for {revision} to be {chapter.ending}; "
            f"{standing(observer)}"
        ) from None
    if ending_of(revision, release) != chapter.ending:
        raise Late(f"{chapter.manifest}: {revision} must end {chapter.ending}, but {standing(observer)}")
    return release


def ending_of(revision: str, release: AgentRelease) -> str:
    """Return how a revision ended, by its name and not by the release's phase; empty while it has not."""
    status = release.status
    if status.candidate is not None:
        return ""
    if status.stable is not None and status.stable.revision == revision:
        return "Promoted"
    return "RolledBack" if any(refused.revision == revision for refused in status.refused) else ""


def standing(observer: Observer) -> str:
    """Say where the release is and why, as its status has it."""
    release = observer.release
    if release is None:
        return "there is no AgentRelease"
    status = release.status
    return f"it is at {headline(release)}: {status.verdict or 'no verdict'}: {status.reason or 'no reason'}"


async def until_true(what: str, condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Wait for something that nothing announces; raises ``Late`` naming it."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise Late(f"waited {seconds:.0f} s for {what}")
        await asyncio.sleep(0.1)


async def _until(
    condition: Callable[[], AgentRelease | None], observer: Observer, seconds: float
) -> AgentRelease:
    async with asyncio.timeout(seconds):
        while (found := condition()) is None:
            observer.changed.clear()
            await observer.changed.wait()
        return found
