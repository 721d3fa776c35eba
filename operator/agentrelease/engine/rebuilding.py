"""Evidence that was lost from a status, folded anew from Prometheus along its course.

In the background and in chunks; a look sees how far it is, and holds meanwhile. What comes out is used only
where its digest is the one that was stored: bit for bit the ledger that was lost. Anything else (retention is
over, the policy is another one) is told, and evidence is earned anew.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import blocks, lacking, swing
from agentrelease.core.course import Course, Terms, digest_of, missing, runs
from agentrelease.core.ledger import Ledger
from agentrelease.core.permitted import Levels
from agentrelease.core.reference import write_reference
from agentrelease.core.series import Stretch
from agentrelease.core.span import Services, Span
from agentrelease.engine.lookout import CHUNK, history, remembered

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.series import Snapshot
    from agentrelease.engine.observe import Guarding
    from agentrelease.engine.ports import Evidence


class Unrebuildable(Exception):
    """The ledger can't be had again as it was; the text says why."""


@dataclass(frozen=True, slots=True)
class Regained:
    """How it is with lost evidence: a ``ledger`` that proved itself, what holds, or why it is lost."""

    ledger: Ledger | None = None
    waits: str = ""
    lost: str = ""


def unwatched(release: AgentRelease) -> Regained | None:
    """Say that the watch's ledger is gone, or is not what was stored; ``None`` where it is there.

    It has no course: it is made of days of blocks, and what is lost is evidence of harm, never a permission.
    """
    watch = release.status.watch
    if watch is None or not watch.proof or digest_of(watch.evidence) == watch.proof:
        return None
    return Regained(
        lost="the evidence of the watch after promotion was lost; what serves is judged by what it does from "
        "now on, and harm that was on record counts no more"
    )


class Rebuilder:
    """One rebuilding at a time for each release that needs one."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._under_way: dict[str, tuple[str, _Folding, asyncio.Task[Regained]]] = {}

    def of(self, release: AgentRelease, guarding: Guarding | None) -> Regained | None:
        """Return how it is with a candidate's evidence; ``None`` where nothing was lost."""
        course = Course.from_json(release.status.course)
        if release.status.candidate is None or not missing(release.status.evidence, course):
            self.forget(release.key)
            return None
        if guarding is None:
            return Regained(waits="the evidence was lost, and the guardrails that it is about can't be read")
        known = self._under_way.get(release.key)
        if known is None or known[0] != release.status.course:
            self.forget(release.key)
            assert course is not None
            folding = _Folding(self._evidence, release, course, guarding)
            known = release.status.course, folding, asyncio.get_running_loop().create_task(folding.run())
            self._under_way[release.key] = known
        if not known[2].done():
            return Regained(
                waits=f"the evidence was lost and is being rebuilt from Prometheus: {known[1].said}"
            )
        return known[2].result()

    def forget(self, key: str) -> None:
        """A release needs no rebuilding any more."""
        known = self._under_way.pop(key, None)
        if known is not None:
            known[2].cancel()

    async def settled(self) -> None:
        """Wait until everything that is under way has ended; for those whose time is not the wall's."""
        await asyncio.gather(*(task for _, _, task in self._under_way.values()))


class _Folding:
    """One course, being walked again."""

    def __init__(self, evidence: Evidence, release: AgentRelease, course: Course, guarding: Guarding) -> None:
        self._evidence = evidence
        self._where = release.namespace, release.name
        self._course = course
        self._spec, self._plan, self._policy = guarding.spec, guarding.plan, guarding.policy
        self._reference = ""
        self._whole = sum(
            count for step in course.steps if step[0] == "to" for _, _, count in runs(*step[1:])
        )
        self._done = 0

    @property
    def said(self) -> str:
        return f"{self._done} of {self._whole} blocks"

    async def run(self) -> Regained:
        try:
            return Regained(await self._folded())
        except (Unrebuildable, ValueError, TypeError, KeyError, IndexError) as error:
            return Regained(lost=f"the evidence was lost and can't be rebuilt: {error}; it is earned anew")

    async def _folded(self) -> Ledger:
        if self._course.policy != self._policy:
            raise Unrebuildable("the guardrails were changed since it began")
        ledger, terms = Ledger.new(self._plan, 0.0), None
        for word, *rest in self._course.steps:
            match word:
                case "terms":
                    terms = Terms(*rest)
                case "to" if terms is not None:
                    for first, length, count in runs(*rest):
                        ledger = await self._blocks(ledger, terms, first, length, count)
                case "past":
                    ledger = await self._warmed(ledger, *rest)
                case "days":
                    ledger = await self._remembering(ledger, *rest)
                case "proof":
                    ledger = _proven(ledger, *rest)
                case _:
                    ledger = self._moved(ledger, word, *rest)
        return ledger

    def _moved(self, ledger: Ledger, word: str, *rest: object) -> Ledger:
        at = float(rest[0]) if rest else 0.0  # type: ignore[arg-type]
        match word:
            case "new":
                return Ledger.new(self._plan, at)
            case "enter":
                return ledger.enter_phase(at)
            case "through":
                return replace(ledger, through=at)
            case "alarm":
                _, level, counts, *held = rest
                levels = map(Autonomy, (level, *(held[0] if held else ())))  # type: ignore[misc]
                return ledger.alarmed(self._plan, counts, at, *levels)  # type: ignore[arg-type]
            case "forgive":
                return ledger.forgiven(rest[1], at, rest[2])  # type: ignore[arg-type]
            case "frozen":
                self._reference = write_reference(ledger)
                return ledger
        raise Unrebuildable(f"its course has a step {word!r} that this program doesn't know")

    async def _warmed(self, ledger: Ledger, start: float, end: float, stable: str, said: str) -> Ledger:
        stretch = Stretch(*self._where, (stable,), start, end)
        past = await history(self._evidence, "", stretch, self._spec, self._plan.grid)
        return ledger.warmed(self._plan, past.blocks, said)

    async def _remembering(self, ledger: Ledger, start: float, end: float, stable: str, said: str) -> Ledger:
        stretch = Stretch(*self._where, (stable,), start, end, swing.HOUR)
        days = await remembered(self._evidence, stretch, self._spec)
        return ledger.remembering(self._plan, days.hours, said)

    async def _blocks(self, ledger: Ledger, terms: Terms, first: float, length: float, count: int) -> Ledger:
        at_once = max(1, round(CHUNK * self._plan.grid / length)) if length > 0 else 1
        for place in range(0, count, at_once):
            ends = [first + (place + one) * length for one in range(min(at_once, count - place) + 1)]
            reach = lacking.reach(self._plan.deadline) if self._plan.deadline else 0.0
            stretch = Stretch(*self._where, (), ends[0] - reach, ends[-1])
            snapshot = await self._evidence.past(blocks.metrics_read(self._spec), stretch)
            if snapshot.problem:
                raise Unrebuildable(snapshot.problem)
            ledger = await asyncio.to_thread(self._absorbed, ledger, terms, snapshot, ends)
            self._done += len(ends) - 1
        return ledger

    def _absorbed(self, ledger: Ledger, terms: Terms, snapshot: Snapshot, ends: list[float]) -> Ledger:
        problems, level = () if terms.usable else ("?",), Autonomy(terms.autonomy)
        for start, end in pairwise(ends):
            span = Span(
                *self._where,
                terms.candidate,
                terms.stable,
                start,
                end,
                terms.audience,
                terms.stable_audience,
                step=self._plan.grid,
                since=terms.since,
                mirrored=terms.mirrored,
                paired=frozenset(name for name, state in ledger.metrics.items() if state.paired),
                counted=ledger.events_at,
                services=Services(terms.candidate_service, terms.stable_service),
                early=terms.early,
                levels=Levels.read(level, terms.held),
            )
            block = blocks.block(snapshot, self._spec, span, problems)
            ledger = ledger.absorb(self._plan, block, level, terms.against(self._reference))
        return ledger


def _proven(ledger: Ledger, digest: str, problems: list[str]) -> Ledger:
    """Return the ledger with the words of its last block; raises where it is another than was stored."""
    ledger = replace(ledger, problems=tuple(problems))
    if digest_of(ledger.to_json()) != digest:
        raise Unrebuildable("Prometheus no longer has all that it was made of")
    return ledger


__all__ = ["Rebuilder", "Regained", "unwatched"]
