"""How a decision is recorded: its status, with the evidence, the epoch and the head of the decision log.

All of it goes into one write, so that no prefix of it can be seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agentrelease.api.status import MAX_ENTRY
from agentrelease.api.vocabulary import Action
from agentrelease.core import intent
from agentrelease.core.course import Course, digest_of
from agentrelease.core.exposure import ALL
from agentrelease.core.packing import packed
from agentrelease.core.reference import write_reference
from agentrelease.core.steps import INTERVENTIONS, Move
from agentrelease.engine.absorbing import course_of, ledger_of

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import ReleaseStatus
    from agentrelease.core.assess import Assessment
    from agentrelease.core.chain import Entry
    from agentrelease.core.decision import Decision
    from agentrelease.core.ledger import Ledger
    from agentrelease.core.steps import Step
    from agentrelease.engine.outside import Outside
    from agentrelease.engine.reading import Sight
    from agentrelease.engine.rebuilding import Regained


class Record:
    """What is to be stored and told of one decision."""

    def __init__(self, outside: Outside, sight: Sight, decision: Decision) -> None:
        self._out = outside
        self._sight = sight
        self._release = sight.situation.release
        self._decision = decision
        self._entry: Entry | None = None
        self.status = self._complete()

    async def write(self) -> AgentRelease:
        """Write the status, and with it which entry of the decision log it is by."""
        if self._entry is not None:
            self._out.journal.writing(self._release.key, self._entry)
        written = await self._out.releases.write_status(self._release, self.status)
        self._out.journal.seen(written, leading=self._sight.epoch is not None)
        said = self._sight.situation.regained
        if said and not (self._sight.regained and self._sight.regained.waits):
            self._out.recorder.regained(written, said)
        return written

    def _complete(self) -> ReleaseStatus:
        """Add evidence, epoch and log head to the status that was decided."""
        status, move = self._decision.status, self._decision.step.move
        update: dict[str, object] = {"epoch": max(status.epoch, self._sight.epoch or 0)}
        ledger = self._sight.observed.ledger
        if move in (Move.ENTER, Move.STEP_BACK, Move.GIVE_BACK) or move in INTERVENTIONS:
            update |= self._entered()
        elif ledger is not None and status.candidate is not None and self._release.status.candidate:
            # of this candidate, not of the watch before it
            update |= _kept(*self._settled(ledger, self._sight.observed.course))
        elif ledger is None and status.candidate is not None and (regained := self._sight.regained):
            update |= _restored(self._release, regained)
        elif ledger is not None and status.watch is not None:
            evidence = self._of_watch(ledger)
            known = {"evidence": evidence, "proof": digest_of(evidence)}
            update["watch"] = status.watch.model_copy(update=known)
        if status.candidate is None and status.watch is None:
            self._out.lookout.forget(self._release.key)
        if ledger is not None:
            self._out.lookout.note(self._release.key, ledger.through, self._sight.observed.alarms)
        self._entry = self._out.journal.seal(
            self._sight.situation, self._decision, self._sight.now, self._sight.epoch or 0
        )
        if self._entry is not None:
            update["decision"] = self._entry.head
            update["decision_entry"] = packed(self._entry.content, MAX_ENTRY)
        return status.model_copy(update=update)

    def _entered(self) -> dict[str, object]:
        """Start the safe side anew in a new phase, and freeze stable's record when its traffic ends."""
        snapshot = self._out.lookout.latest
        at = snapshot.end if snapshot and snapshot.end else self._sight.now
        ledger, course = self._sight.observed.ledger, self._sight.observed.course
        if ledger is None:
            guarding = self._out.guardian.known(self._release)
            if guarding is None:
                return {}
            regained = self._sight.regained
            if regained is not None and regained.waits:
                return self._entered_unseen(at)
            back = regained.ledger if regained else None
            ledger = back or ledger_of(self._release, guarding.plan, at)
            course = course_of(self._release, guarding.policy, ledger, regained=back is not None)
            # between two exposures nothing was judged, and nothing of that time can be
            ledger, course = replace(ledger, through=at), course and course.then("through", at)
        return self._anew(ledger, course, at)

    def _anew(self, ledger: Ledger, course: Course | None, at: float) -> dict[str, object]:
        step, found = self._decision.step, self._sight.observed.assessment
        freezes = self._decision.intended.weight >= ALL and intent.exposure(self._release).weight < ALL
        if freezes:
            course = course and course.then("frozen")
        fresh, entered = begun_anew(step, found, ledger, at)
        update = _kept(fresh, course and course.then(*entered))
        if freezes:
            update["reference"] = write_reference(ledger)
        return update

    def _settled(self, ledger: Ledger, course: Course | None) -> tuple[Ledger, Course | None]:
        """Begin the window that an intervention is judged on, once agents have taken it up."""
        before, after = self._release.status.candidate, self._decision.status.candidate
        if before is None or after is None or not before.settling_until or after.settling_until:
            return ledger, course
        at, names = ledger.through, sorted(self._milder(Action.ROLLBACK))
        return ledger.forgiven(names, at), course and course.then("forgive", at, names, {})

    def _entered_unseen(self, at: float) -> dict[str, object]:
        """Note a move in the course of evidence that is being rebuilt, to be made when it is there."""
        course = Course.from_json(self._release.status.course)
        return {"course": course.then("through", at).then("enter", at).to_json()} if course else {}

    def _of_watch(self, ledger: Ledger) -> str:
        """Return the watch's evidence: harm goes on from the rollout, and begins anew with every level."""
        move, found = self._decision.step.move, self._sight.observed.assessment
        if move in (Move.LOWER_STABLE, Move.RAISE_STABLE):
            names = ledger.metrics.keys() | ledger.events.keys()
            ledger = ledger.forgiven(names, ledger.through, found.answered if found else None)
        elif move is Move.PROMOTE:
            ledger = ledger.enter_phase(ledger.through)
        elif settling := self._settling():
            ledger = ledger.forgiven(settling, ledger.through)
        return ledger.to_json()

    def _settling(self) -> frozenset[str]:
        """Return the guardrails whose evidence is not of the new level yet, because agents still take it up.

        What asks for a return counts from the first moment.
        """
        watch = self._release.status.watch
        if watch is None or self._sight.now >= watch.permitted_until:
            return frozenset()
        return self._milder(Action.STEP_BACK)

    def _milder(self, action: Action) -> frozenset[str]:
        """Return the guardrails that ask for less."""
        guarding = self._out.guardian.known(self._release)
        return (
            frozenset(g.name for g in guarding.plan.guardrails if g.on_breach < action)
            if guarding
            else frozenset()
        )


def begun_anew(
    step: Step, found: Assessment | None, ledger: Ledger, at: float
) -> tuple[Ledger, tuple[object, ...]]:
    """Return the ledger of the fresh window that a step begins, and the step's words in the course."""
    if step.cause != "GuardrailBreached" and step.move not in INTERVENTIONS:
        return ledger.enter_phase(at), ("enter", at)
    names, answered = (sorted(found.breached), found.answered) if found else ([], {})
    return ledger.forgiven(names, at, answered), ("forgive", at, names, answered)


def _restored(release: AgentRelease, regained: Regained) -> dict[str, object]:
    """Return evidence that was rebuilt while nothing is judged; nothing while it is not there yet."""
    course = Course.from_json(release.status.course)
    return _kept(regained.ledger, course and course.open) if regained.ledger else {}


def _kept(ledger: Ledger, course: Course | None) -> dict[str, object]:
    """Return a ledger as it is stored, and beside it how it came about."""
    evidence = ledger.to_json()
    return {
        "evidence": evidence,
        "course": course.sealed(evidence, ledger.problems).to_json() if course else "",
    }


__all__ = ["Record", "begun_anew"]
