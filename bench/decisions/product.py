"""One run of a world through the operator's own functions: what a block means, and what follows from it.

Nothing is re-implemented here. Blocks go into ``Ledger.covering``, ``warmed`` and ``absorb`` as the engine
puts them in (``engine.absorbing``), ``assess`` judges, ``decide`` takes the step with all its rules, and
what a step does to the ledger is ``engine.recording``'s. Simulated is what lies outside: Prometheus, and
levers that obey.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.api.vocabulary import Action, Autonomy
from agentrelease.core import intent
from agentrelease.core.assess import Assessment, Requirements, assess
from agentrelease.core.decision import decide
from agentrelease.core.evidence import Block, Cell, Count, Frozen
from agentrelease.core.exposure import ALL, Exposure
from agentrelease.core.ledger import Ledger
from agentrelease.core.reference import read_reference, write_reference
from agentrelease.core.situation import Desired, Live, Measured, Situation, SlotState
from agentrelease.core.steps import INTERVENTIONS, Move
from agentrelease.engine.absorbing import comparison
from agentrelease.engine.recording import begun_anew
from bench.decisions.procedure import DRAINED, PROMOTED, ROLLED_BACK, RUNNING
from bench.decisions.world import METRICS, STRATA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate
    from agentrelease.core.guardrails import Plan
    from agentrelease.core.steps import Step
    from bench.decisions.world import World

_UNCONFIRMED = "the levers have not been seen in effect yet"
_FRESH = frozenset({Move.ENTER, Move.STEP_BACK, Move.GIVE_BACK}) | INTERVENTIONS


@dataclass
class Played:
    """What the operator did with one run. Ticks count from 1; ``entered`` is by phase, 0 for never.

    ``families`` is the log evidence for harm by block.
    """

    entered: list[int]
    state: int = RUNNING
    tick: int = 0
    interventions: int = 0
    families: list[float] = field(default_factory=list)


def recorded(world: World, run: int, tick: int) -> Block:
    """Return a block as ``core.blocks`` would read it: an arm that was not scraped is unknown, not zero."""
    told = bool(world.seen_c[run, tick]), bool(world.seen_b[run, tick])
    n, x = (world.n_c[run, tick], world.n_b[run, tick]), (world.x_c[run, tick], world.x_b[run, tick])
    counts = [
        [[Count(float(n[arm][s]), float(x[arm][m, s])) if told[arm] else None for arm in (0, 1)]
         for s in range(len(STRATA))]
        for m in range(len(METRICS))
    ]  # fmt: skip
    cells = {
        metric: {key: Cell(*counts[m][s]) for s, key in enumerate(STRATA)} if any(told) else {}
        for m, metric in enumerate(METRICS)
    }
    grid = world.traffic.grid
    arms = {"": (float(n[0].sum()), float(n[1].sum()))} if all(told) else {}
    return Block(grid * tick, grid * (tick + 1), cells, arms=arms)


def _of_candidate(block: Block, later: float) -> Block:
    """Return a block of the candidate alone, ``later`` seconds later: there is no other revision any more."""
    cells = {m: {key: Cell(cell.candidate) for key, cell in of.items()} for m, of in block.cells.items()}
    return Block(block.start + later, block.end + later, cells)


def _of_stable(block: Block) -> Block:
    cells = {m: {key: Cell(None, cell.stable) for key, cell in of.items()} for m, of in block.cells.items()}
    return replace(block, cells=cells)


class Operator:
    """One release, looked at once a block. ``worlds`` is one for each weight of the phases, in per cent."""

    def __init__(
        self, release: AgentRelease, plan: Plan, worlds: Mapping[float, World], run: int,
        past: World | None = None,
    ) -> None:  # fmt: skip
        self.release, self.plan, self.worlds, self.run = release, plan, worlds, run
        self.ledger = Ledger.new(plan, 0.0)
        self.past, self.frozen = past, ""
        self.played = Played([0] * (len(release.spec.phases) + 1))

    def play(self, until: int) -> Played:
        """Go on until the phase ``until`` is entered, or the candidate is out, or the world ends."""
        ticks = next(iter(self.worlds.values())).ticks
        for tick in range(ticks):
            self._look(tick)
            candidate = self.release.status.candidate
            if self.played.state == ROLLED_BACK:
                break
            if candidate is None or candidate.phase_index >= until:
                self.played.state, self.played.tick = PROMOTED, tick + 1
                break
        else:
            self.played.tick = self.played.tick if self.played.state == DRAINED else ticks
        return self.played

    def watch(self, world: World, began: int) -> int:
        """Watch what was promoted; return the tick (from 1) of the return to the revision before, or 0.

        ``began`` is the tick of the rollout after which the world begins.
        """
        self.ledger = self.ledger.enter_phase(self.ledger.through)  # ``Record._of_watch``
        compared = Frozen(read_reference(self.release.status.reference))
        for tick in range(world.ticks):
            block = _of_candidate(recorded(world, self.run, tick), began * self.plan.grid)
            self.ledger = self.ledger.covering(self.plan).absorb(
                self.plan, block, Autonomy.LIMITED_ACTION, compared
            )
            found = assess(self.plan, self.ledger, block.end, Requirements())
            self.played.families.append(found.grounds.standing.family)
            step = decide(self._serving(found), block.end).step
            if step.move is Move.RETURN:
                return tick + 1
            assert step.move is Move.KEEP, step
        return 0

    def _serving(self, assessment: Assessment) -> Situation:
        stable, previous = self.release.status.stable, self.release.status.previous
        assert stable is not None
        assert previous is not None
        return Situation(
            release=self.release,
            desired=Desired(stable.digest, stable.revision),
            live=Live(Exposure()),
            slot=SlotState(previous.revision, available=True),
            measured=Measured(),
            assessment=assessment,
            leading=True,
        )

    def _look(self, tick: int) -> None:
        candidate = self._candidate()
        world = self.worlds[self._weight()]
        seen = bool(world.seen_c[self.run, tick] and world.seen_b[self.run, tick])
        now = (tick + 1) * self.plan.grid
        assessment = self._judged(world, tick, now) if candidate.stage is Stage.RUNNING else None
        blind = "no samples" if assessment is None and not seen else ""
        if assessment is not None and assessment.blinded:
            blind = assessment.reason
        decision = decide(self._situation(candidate, assessment, blind, now), now)
        self._write(decision.step, assessment, now, tick)
        after = decision.status.candidate
        if candidate.settling_until and after is not None and not after.settling_until:
            milder = [g.name for g in self.plan.guardrails if g.on_breach < Action.ROLLBACK]
            self.ledger = self.ledger.forgiven(milder, self.ledger.through)  # ``Record._settled``
        status = decision.status.model_copy(update={"reference": self.frozen})
        self.played.interventions = status.candidate.interventions if status.candidate else 0
        self.release = self.release.model_copy(update={"status": status})

    def _judged(self, world: World, tick: int, now: float) -> Assessment:
        self.ledger = self.ledger.covering(self.plan)
        if not self.ledger.origin and self.past is not None:
            blocks = [_of_stable(recorded(self.past, self.run, t)) for t in range(self.past.ticks)]
            self.ledger = self.ledger.warmed(self.plan, blocks, "history")
            if (days := self.past.days) is not None:
                hours = [_of_stable(recorded(days, self.run, t)) for t in range(days.ticks)]
                self.ledger = self.ledger.remembering(self.plan, hours, "days")
        block = recorded(world, self.run, tick)
        exposure = intent.exposure(self.release)
        compared = comparison(self.release, exposure, block.start, self.plan.grid)
        self.ledger = self.ledger.absorb(self.plan, block, exposure.autonomy, compared)
        phase = self.release.spec.phases[self._candidate().phase_index]
        found = assess(self.plan, self.ledger, now, Requirements(min_samples=phase.min_samples))
        self.played.families.append(found.grounds.standing.family)
        return found

    def _situation(
        self, candidate: Candidate, assessment: Assessment | None, blind: str, now: float
    ) -> Situation:
        running = candidate.stage is Stage.RUNNING
        unconfirmed = _UNCONFIRMED if running and not candidate.confirmed_at else ""
        return Situation(
            release=self.release,
            desired=Desired(candidate.digest, candidate.revision),
            live=Live(intent.exposure(self.release)),
            slot=SlotState(candidate.revision, available=True),
            measured=Measured(reporting=not (blind and not running), disagreement=unconfirmed, at=now),
            assessment=assessment,
            blind=blind,
            leading=True,
        )

    def _write(self, step: Step, assessment: Assessment | None, now: float, tick: int) -> None:
        """Follow a step with the ledger, as ``engine.recording`` does."""
        before = self._weight()
        if step.move in (Move.ENTER, Move.PROMOTE):
            self.played.entered[step.phase if step.move is Move.ENTER else -1] = tick + 1
        if step.move is Move.WITHDRAW:
            self.played.state, self.played.tick = ROLLED_BACK, tick + 1
        elif step.move is Move.DRAIN:
            self.played.state, self.played.tick = DRAINED, tick + 1
        elif step.move is Move.ENTER:
            self.played.state = RUNNING
        if step.move in _FRESH:
            if (
                assessment is None
            ):  # between two exposures nothing was judged, and nothing of that time can be
                self.ledger = replace(self.ledger, through=now)
            after = self.release.spec.phases[step.phase].weight if step.move is Move.ENTER else before
            if (after or 0.0) >= ALL and before < ALL:
                self.frozen = write_reference(self.ledger)
            self.ledger, _ = begun_anew(step, assessment, self.ledger, now)

    def _candidate(self) -> Candidate:
        candidate = self.release.status.candidate
        assert candidate is not None
        return candidate

    def _weight(self) -> float:
        """The weight of the phase; between two phases, that of the first."""
        return self.release.spec.phases[max(0, self._candidate().phase_index)].weight or 0.0
