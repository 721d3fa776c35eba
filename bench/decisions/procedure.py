"""The operator's own procedure on arrays: phase by phase, with the rules of the core in their order.

What happens in a block is in :mod:`bench.decisions.ledgers`; here is what follows from it. The rules are
those of ``core.rollout`` that need nothing but evidence and time: breach, the end of patience, deadline, a
phase's clock, samples, proof, the next phase. :mod:`bench.decisions.product` plays single runs through the
real ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agentrelease.api.vocabulary import Action, Autonomy, OnDeadline
from agentrelease.core.assess import FRESH_BLOCKS
from agentrelease.core.exposure import ALL
from agentrelease.core.interventions import PATIENCE
from bench.decisions.ledgers import Counts, Ledgers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.api.release import AgentRelease
    from agentrelease.core.guardrails import Plan
    from bench.decisions.world import World

Flags = NDArray[np.bool_]
RUNNING, ROLLED_BACK, PROMOTED, DRAINED = 0, 1, 2, 3
ASKED = 3
"""Steps of autonomy from ``observe`` to ``full-action``."""


@dataclass
class Outcome:
    """What became of each run: state, and the tick (from 1) after which it was decided.

    ``blind`` is whether it was raised on evidence that was not fresh. ``entered`` is the ticks at which each
    phase was entered, the first one again after a drain; 0 for never.
    """

    state: NDArray[np.int64]
    tick: NDArray[np.int64]
    blind: Flags
    entered: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    interventions: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    evidence: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Log evidence for harm when it was judged last."""

    @classmethod
    def open(cls, runs: int, ticks: int, phases: int = 1) -> Outcome:
        ints = lambda: np.zeros(runs, dtype=np.int64)  # noqa: E731
        flags = np.zeros(runs, dtype=bool)
        entered = np.zeros((runs, phases + 1), dtype=np.int64)
        return cls(ints(), np.full(runs, ticks), flags, entered, ints(), np.zeros(runs))


class Procedure:
    """R releases from the first phase on; ``worlds`` is one for each weight of the phases, in per cent."""

    def __init__(
        self, release: AgentRelease, plan: Plan, worlds: Mapping[float, World], until: int = 1
    ) -> None:
        self.plan, self.worlds, self.until = plan, worlds, until
        self.phases, self.rollback = release.spec.phases, release.spec.rollback
        first = next(iter(worlds.values()))
        self.ticks, runs = first.ticks, first.runs
        self.ledgers = Ledgers(plan, runs)
        self.out = Outcome.open(runs, self.ticks, len(self.phases))
        self.ids = np.arange(runs)
        self.phase, self.cap = np.zeros(runs, dtype=int), np.full(runs, ASKED)
        self.entered, self.confirmed, self.active, self.ticked, self.blind_since = (
            np.zeros(runs) for _ in range(5)
        )
        self.out_of_it, self.newest = np.zeros(runs, dtype=bool), np.zeros(runs)
        self.taken, self.settling = np.zeros(runs, dtype=int), np.zeros(runs)
        self.lease = release.spec.delivery.flags.lease_seconds
        self.ended: list[tuple[NDArray[np.int64], Ledgers]] = []  # who was promoted, and with which evidence

    def run(self, past: World | None = None) -> Outcome:
        if past is not None:
            self.ledgers.warmed(past)
        for tick in range(self.ticks):
            self._step(tick)
            if len(self.ids) == 0:
                break
        return self.out

    def _step(self, tick: int) -> None:
        grid, plan = self.plan.grid, self.plan
        now = (tick + 1) * grid
        block = self._read(tick, now)
        self.newest = np.where(block.seen_c & block.seen_b, now, self.newest)
        inside = ~self.out_of_it
        self.ledgers.absorb(block, now, inside)
        breached, suspect = self.ledgers.breached()
        self.out.evidence[self.ids[inside]] = self.ledgers.family[inside]
        breached &= inside[:, None]
        harmed = self._answered(breached)
        dark = now - self.ledgers.known_at
        seen = inside & ~breached.any(axis=1)  # a breach is judged before blindness
        stale = seen & (dark >= plan.stale_after)
        spent = (self.blind_since > 0) & (now - self.blind_since >= self.rollback.hold_budget.seconds)
        drained = seen & ((dark >= plan.blind_after) | (stale & spent))
        late = inside & ~harmed & ~drained & self._overdue(now)
        rolled = self._answer(harmed, breached, now) | late
        going = inside & ~harmed & ~drained & ~late
        runs_on = going & (self.confirmed > 0) & ~stale & (self.settling == 0)
        proven = self._proven(runs_on & ~suspect, dark)
        ready = proven & (self.active >= self._of_phase(lambda p: p.min_duration.seconds))
        self._clock(going & ~ready, runs_on, stale, now)
        self._settles(going & ~ready, now)
        self._move(drained, ready, block, now, tick)
        self._settle(rolled, tick)

    def _read(self, tick: int, now: float) -> Counts:
        """What a scraper saw of each run, at the weight of its phase."""
        runs = len(self.ids)
        weight = self._of_phase(lambda p: p.weight)
        judged = (self.confirmed > 0) & (self.confirmed <= now - 2 * self.plan.grid)
        found: Counts | None = None
        for percent, world in self.worlds.items():
            i = self.ids
            share = (
                np.where(judged, percent / 100, np.nan) if world.scenario.routed and percent < ALL else None
            )
            one = Counts(
                world.n_c[i, tick], world.x_c[i, tick], world.n_b[i, tick], world.x_b[i, tick],
                world.seen_c[i, tick], world.seen_b[i, tick],
                np.full(runs, np.nan) if share is None else share, np.full(runs, percent >= ALL),
            )  # fmt: skip
            found = one if found is None else _chosen(weight == percent, one, found)
        assert found is not None
        return found

    def _of_phase(self, what) -> NDArray[np.float64]:
        return np.array([float(what(phase)) for phase in self.phases])[self.phase]

    def _overdue(self, now: float) -> Flags:
        ends = self._of_phase(
            lambda p: p.deadline.seconds if p.deadline and p.on_deadline is OnDeadline.ROLLBACK else np.inf
        )
        return now - self.entered >= ends

    def _proven(self, asked: Flags, dark) -> Flags:
        held = self.ledgers
        fresh = (held.phase_blocks >= self.plan.min_blocks) & (dark <= FRESH_BLOCKS * self.plan.grid)
        samples = held.n_c >= self._of_phase(lambda p: p.min_samples)
        asked = asked & fresh & samples
        if not asked.any():
            return asked
        return asked & held.excluded() & ~held.mismatched()

    def _answer(self, harmed: Flags, breached: Flags, now: float) -> Flags:
        """Roll back, or take a level of autonomy and begin a fresh window: ``lowering.breach``."""
        ranks = np.array([g.on_breach.rank for g in self.plan.tested])
        strongest = np.where(breached, ranks, -1).max(axis=1)
        rolled = harmed & (strongest == Action.ROLLBACK.rank)
        milder = harmed & (strongest == Action.LOWER_AUTONOMY.rank)
        level = np.minimum(self.cap, self._of_phase(lambda p: p.autonomy.rank))
        capped = milder & (self.taken < PATIENCE) & (level > Autonomy.OBSERVE.rank)
        back = milder & (self.taken < PATIENCE) & ~capped
        rolled |= milder & (self.taken >= PATIENCE) | (back & (self.phase == 0))
        back &= self.phase > 0
        if (capped | back).any():
            self.ledgers.forgiven(capped | back, breached, now)
        self.cap = np.where(capped, level - 1, self.cap)
        self.taken += capped | back
        self.settling[capped | back] = now + self.lease
        self.active[capped] = 0.0
        if back.any():
            self.phase = np.where(back, self.phase - 1, self.phase)
            self._anew(back, now)
        self.out.interventions[self.ids] = self.taken
        return rolled

    def _answered(self, breached: Flags) -> Flags:
        """Who has a breach that counts: while agents take up an intervention, only a rollback's does."""
        rolls = np.array([g.on_breach is Action.ROLLBACK for g in self.plan.tested])
        return breached.any(axis=1) & ((self.settling == 0) | (breached & rolls).any(axis=1))

    def _settles(self, kept: Flags, now: float) -> None:
        """Begin the window that an intervention is judged on, once agents have taken it up."""
        over = kept & (self.settling > 0) & (now >= self.settling)
        if over.any():
            milder = np.array([g.on_breach < Action.ROLLBACK for g in self.plan.tested])
            self.ledgers.forgiven(over, np.broadcast_to(milder, (len(over), len(milder))), now)
            self.settling[over] = 0.0

    def _anew(self, which: Flags, now: float) -> None:
        """The clocks of a phase that begins."""
        self.entered[which], self.ticked[which] = now, now
        for clock in (self.confirmed, self.active, self.blind_since):
            clock[which] = 0.0

    def _clock(self, kept: Flags, counts: Flags, stale: Flags, now: float) -> None:
        """Advance the phase's clock where nothing else happens: ``succession._ticked``."""
        passed = np.minimum(now - self.ticked, FRESH_BLOCKS * self.plan.grid)
        self.active += np.where(kept & counts, np.maximum(passed, 0.0), 0.0)
        since = np.where(stale, np.where(self.blind_since > 0, self.blind_since, now), 0.0)
        self.blind_since = np.where(kept, since, self.blind_since)
        self.confirmed = np.where(kept & (self.confirmed == 0), now, self.confirmed)
        self.ticked = np.where(kept, now, self.ticked)

    def _move(self, drained: Flags, ready: Flags, block: Counts, now: float, tick: int) -> None:
        """Drain, come back, give back what was taken, or enter the next phase."""
        returns = self.out_of_it & block.seen_c & block.seen_b
        gives = ready & (self.cap < self._of_phase(lambda p: p.autonomy.rank))
        enters = ready & ~gives
        ids = self.ids
        self.out.state[ids[drained]], self.out.tick[ids[drained]] = DRAINED, tick + 1
        self.out.state[ids[returns]], self.out.tick[ids[returns]] = RUNNING, self.ticks
        self.out_of_it = (self.out_of_it | drained) & ~returns
        self.phase = np.where(drained, 0, self.phase)
        self.cap = np.where(gives, self.cap + 1, self.cap)
        self.active[gives] = self.confirmed[gives] = 0.0
        if (gives | enters | returns).any():
            self.out.entered[ids[returns], 0] = tick + 1
            last = enters & (self._of_phase(lambda p: p.weight) < ALL)
            self.phase = self.phase + enters
            self._raise(enters, last, now, tick)
            self.ledgers.enter_phase(gives | enters | returns, now)
            self._anew(returns | enters, now)
            over = enters & (self.phase >= self.until)
            self.phase = np.minimum(self.phase, len(self.phases) - 1)
            if over.any() and self.until >= len(self.phases):
                self.ended.append((self.ids[over], self.ledgers.taken(over)))
            self._done(over, PROMOTED, tick)

    def _raise(self, enters: Flags, below: Flags, now: float, tick: int) -> None:
        ids = self.ids[enters]
        self.out.entered[ids, self.phase[enters]] = tick + 1
        self.out.blind[ids] |= (now - self.newest > FRESH_BLOCKS * self.plan.grid)[enters]
        weights = np.array([phase.weight for phase in self.phases] + [ALL])
        frozen = below & (weights[self.phase] >= ALL)
        if frozen.any():
            self.ledgers.freeze(frozen)

    def _settle(self, rolled: Flags, tick: int) -> None:
        self._done(rolled, ROLLED_BACK, tick)
        open_ = np.isin(self.out.state[self.ids], (RUNNING, DRAINED))
        if open_.all():
            return
        for name in (
            "ids", "phase", "cap", "entered", "confirmed", "active", "ticked", "blind_since", "out_of_it",
            "newest", "taken", "settling",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name)[open_])
        self.ledgers.keep(open_)

    def _done(self, which: Flags, state: int, tick: int) -> None:
        self.out.state[self.ids[which]] = state
        self.out.tick[self.ids[which]] = tick + 1


def _chosen(which: Flags, one: Counts, other: Counts) -> Counts:
    def pick(name: str):
        a, b = getattr(one, name), getattr(other, name)
        return np.where(which.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return Counts(*(pick(name) for name in Counts.__dataclass_fields__))
