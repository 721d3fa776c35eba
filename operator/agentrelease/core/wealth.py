"""What one metric's evidence is worth: the wealth of its bets, and how a block changes it.

Wealth is kept as integers of 1/10000 nat and sums are rounded, so that state is the same bits whether
or not it went through JSON. Harm wealth goes on for the whole release; safe wealth and sample counts
belong to a phase.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp, log
from typing import TYPE_CHECKING

from agentrelease.core import statistics, swing
from agentrelease.core.contrast import Pairs, against_bound, against_reference, limits
from agentrelease.core.dispersion import Scatter
from agentrelease.core.evidence import Absolute, Count, Recorded, folded, matches, total
from agentrelease.core.rounding import exact, short
from agentrelease.core.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agentrelease.core.contrast import Contrast
    from agentrelease.core.evidence import Cell, Comparison
    from agentrelease.core.guardrails import Guardrail

UNIT = 10_000
"""Steps of the kept logarithms in one nat."""

HALF_LIFE = 60
"""Blocks after which a past block counts half in the plug-in rate; affects power, never validity."""

PSEUDO_TASKS = 50.0
"""Weight of the expected rate in the plug-in rate before anything was seen."""

DECAY = 0.5 ** (1.0 / HALF_LIFE)
"""What is left of a past block's weight after one more."""
_HARM = (0,) * len(statistics.HORIZONS)
_SAFE = (0,) * len(statistics.SAFE_STEPS)
_NONE = Count(0, 0)
_MILLION = 1_000_000
_LEVEL = Spread()
_EVEN = Scatter()


@dataclass(frozen=True, slots=True)
class StratumState:
    """One metric in one stratum.

    ``harm`` is the wealth of harm confined here, one per alternative, from an initial ``stake``; ``past``
    the decaying count of stable; ``usual`` is the least that the mean rate of its past days may have been, in
    millionths (0: not known), and ``peak`` the rate of a day's worst hour in per cent of that.
    ``candidate``, ``stable``, ``both`` and ``spread`` belong to this phase. ``both`` counts pairs that were
    bad in both arms, where answers are compared in pairs.
    """

    harm: tuple[int, ...] = _HARM
    stake: int = 0
    past: Count = _NONE
    candidate: Count = _NONE
    stable: Count = _NONE
    spread: Spread = _LEVEL
    both: float = 0
    usual: int = 0
    peak: int = 0

    @property
    def recorded(self) -> Recorded:
        """What is known of stable, for when nothing serves beside the candidate."""
        usual = self.usual / _MILLION
        longer = max(self.stable, self.past, key=lambda count: count.n)
        return Recorded(longer, usual, short(usual * self.peak / 100.0))

    @property
    def pairs(self) -> Pairs:
        """This phase's counts as pairs."""
        return Pairs(self.candidate.n, self.candidate.x, self.stable.x, self.both)


@dataclass(frozen=True, slots=True)
class MetricState:
    """One metric: wealth of common harm, of the bound, of safety, and of each required group's safety.

    ``paired`` says whether the last evidence was pairs of answers, ``None`` before any; ``unmatched`` counts
    this phase's copies of requests of which only one side was heard.
    """

    pooled: tuple[int, ...] = _HARM
    bound: tuple[int, ...] = _HARM
    safe: tuple[int, ...] = _SAFE
    required: Mapping[str, int] = field(default_factory=dict)
    known_at: float = 0.0
    strata: Mapping[str, StratumState] = field(default_factory=dict)
    scatter: Scatter = _EVEN
    paired: bool | None = None
    unmatched: float = 0

    def enter_phase(self, at: float) -> MetricState:
        """Forget what belongs to a phase: safety, sample counts, and the time without evidence."""
        strata = {
            key: replace(s, candidate=_NONE, stable=_NONE, spread=_LEVEL, both=0)
            for key, s in self.strata.items()
        }
        known_at = max(at, self.known_at)
        return replace(self, safe=_SAFE, required={}, known_at=known_at, strata=strata, unmatched=0)


@dataclass(frozen=True, slots=True)
class Onset:
    """When harm may begin: ``waiting`` wealth bets on later, ``fresh`` wealth starts betting now."""

    waiting: float
    fresh: float = 0.0

    def initial(self, stake: int = 0) -> tuple[int, ...]:
        """Wealth of bets that have had nothing to bet on, before the fresh part."""
        betting = 1.0 - self.waiting - self.fresh
        return (stake + round(UNIT * log(betting)) if betting > 0.0 else _RUINED,) * len(_HARM)

    def start(self, harm: tuple[int, ...], stake: int = 0) -> tuple[int, ...]:
        """Return the wealth with the fresh part."""
        if self.fresh <= 0.0:
            return harm
        fresh = log(self.fresh) + stake / UNIT
        return tuple(round(UNIT * statistics.add(h / UNIT, fresh)) for h in harm)

    def log_evidence(self, harm: tuple[int, ...], stake: int = 0) -> float:
        """The log e-value of a group: the mean over its alternatives, and what still waits."""
        waits = log(self.waiting) + stake / UNIT
        best = max(max(harm) / UNIT, waits)
        bets = sum([exp(h / UNIT - best) for h in harm]) / len(harm)
        return best + log(bets + exp(waits - best))


_RUINED = -1_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """What all metrics of a block have in common. ``usable`` evidence may raise exposure.

    Evidence that is not ``ripe`` is of tasks from before the phase: it can prove harm, and nothing else.
    """

    end: float
    usable: bool
    comparison: Comparison
    required: tuple[str, ...]
    onset: Onset
    ripe: bool = True


def new_metric(onset: Onset, at: float) -> MetricState:
    """Return the state of a metric that has seen nothing."""
    return MetricState(pooled=onset.initial(), bound=onset.initial(), known_at=at)


def restarted(state: MetricState, onset: Onset, at: float) -> MetricState:
    """Return a metric without evidence that still knows the rates and the dispersion it has learned."""
    strata = {
        key: StratumState(harm=onset.initial(), past=s.past, usual=s.usual, peak=s.peak)
        for key, s in state.strata.items()
    }
    return replace(new_metric(onset, at), strata=strata, scatter=state.scatter)


def warm(state: MetricState, cells: Mapping[str, Cell], onset: Onset) -> MetricState:
    """Return the state after a block of stable alone, from before the release: rates and dispersion only."""
    strata = _opened(state.strata, cells, onset)
    for key, cell in cells.items():
        if cell.stable is not None:
            strata[key] = replace(strata[key], past=_faded(strata[key].past, cell.stable))
    scatter = state.scatter.after(total(cell.stable for cell in cells.values()) or _NONE)
    return replace(state, strata=strata, scatter=scatter)


def preceded(state: MetricState, past: MetricState, fade: float, *, opened: bool) -> MetricState:
    """Return the state with the rates and the dispersion of blocks before its own, which count ``fade``.

    Strata that only the past has are opened when nothing was absorbed yet; later they wait to be seen.
    """
    strata = dict(past.strata) if opened else {}
    for key, own in state.strata.items():
        if key in past.strata:
            before = past.strata[key].past
            whole = Count(short(own.past.n + fade * before.n, 4), short(own.past.x + fade * before.x, 4))
            strata[key] = replace(own, past=whole)
        else:
            strata[key] = own
    seen, pairs = short(state.scatter.seen + past.scatter.seen), state.scatter.pairs + past.scatter.pairs
    waiting = (
        state.scatter.waiting if state.scatter.pairs or state.scatter.waiting.n else past.scatter.waiting
    )
    return replace(state, strata=strata, scatter=Scatter(seen, pairs, waiting))


def remembering(
    state: MetricState, hours: Mapping[str, Mapping[int, Count]], phi: float, onset: Onset, *, opened: bool
) -> MetricState:
    """Return the state with what the strata's past days came back to; ``hours`` as ``swing.highest`` has it.

    Strata that only those days have are opened when nothing was absorbed yet.
    """
    strata = _opened(state.strata, hours if opened else (), onset)
    found = {key: used_to(s, hours.get(key, {}), phi, len(strata)) for key, s in strata.items()}
    return replace(state, strata=found)


def used_to(state: StratumState, hours: Mapping[int, Count], phi: float, strata: int) -> StratumState:
    """Return the state of a stratum, one of ``strata``, with what stable's hours come to."""
    whole = total(hours.values()) or _NONE
    usual = round(_MILLION * limits(whole, strata)[0]) if whole.n > 0 else 0
    peak = round(100.0 * _MILLION * swing.highest(hours, phi) / usual) if usual else 0
    return replace(state, usual=usual, peak=peak)


def absorb(
    guardrail: Guardrail, state: MetricState, cells: Mapping[str, Cell], step: Step, phi: float
) -> MetricState:
    """Return the state after one block. Cells with an unknown arm change nothing.

    Evidence divides by ``phi``, the dispersion. A block that may not raise exposure can still lower
    the safe side, so leaving blocks out never helps the candidate.
    """
    state, cells = _of_one_kind(state, cells)
    cells = folded(cells, state.strata, step.required)
    strata = _opened(state.strata, cells, step.onset)
    found: dict[str, Contrast] = {}
    for key, cell in cells.items():
        rate, seen = plug_in(guardrail, strata[key]), strata[key].pairs
        contrast = against_reference(guardrail, key, cell, step.comparison, rate, seen)
        if contrast is not None:
            found[key] = contrast
    harm = {key: [value / phi for value in contrast.harm()] for key, contrast in found.items()}
    bound = _bound(guardrail, cells.values())
    before = tuple(state.required.get(group, 0) for group in step.required)
    gained = [_required(guardrail, cells, found, step, group) for group in step.required]
    return MetricState(
        pooled=_bet(step.onset.start(state.pooled), _sums(harm.values(), _HARM)),
        bound=_bet(step.onset.start(state.bound), [v / phi for v in bound.harm()] if bound else _HARM),
        safe=_bet(state.safe, _believed(_safe(found, bound, step), phi, step)),
        required=dict(zip(step.required, _bet(before, _believed(gained, phi, step)), strict=True)),
        known_at=step.end if step.usable and _known(cells, found, step) else state.known_at,
        strata={
            key: _moved(guardrail, s, cells.get(key), harm.get(key, _HARM), step) for key, s in strata.items()
        },
        scatter=state.scatter.after(total(cell.stable for cell in cells.values()) or _NONE),
        paired=state.paired,
        unmatched=exact(state.unmatched + sum(cell.unmatched for cell in cells.values())),
    )


def _of_one_kind(state: MetricState, cells: Mapping[str, Cell]) -> tuple[MetricState, Mapping[str, Cell]]:
    """Keep pairs and arms apart: a block in which the kind of evidence changes is none.

    A request that was counted by arms in one block may be counted in a pair in the next one, and no request
    may be evidence twice. What the phase has seen of the other kind is forgotten, harm apart.
    """
    if not cells:
        return state, cells
    paired = any(cell.both is not None for cell in cells.values())
    if state.paired is None or paired is state.paired:
        return replace(state, paired=paired), cells
    return replace(state.enter_phase(state.known_at), paired=paired), {}


def plug_in(guardrail: Guardrail, state: StratumState) -> float:
    """The stable rate to expect, from earlier blocks only."""
    n = state.past.n + PSEUDO_TASKS
    return min(0.999, max(1e-6, (state.past.x + PSEUDO_TASKS * guardrail.expected) / n))


def _opened(strata: Mapping[str, StratumState], keys: Iterable[str], onset: Onset) -> dict[str, StratumState]:
    """Add strata that were not seen before.

    A newcomer's stake is at most the mean evidence of the others, so that averaging over more strata
    never makes evidence by itself.
    """
    opened = dict(strata)
    before = Onset(onset.waiting + onset.fresh)
    for key in keys:
        if key not in opened:
            others = [before.log_evidence(s.harm, s.stake) for s in opened.values()]
            stake = min(0, round(UNIT * statistics.mean(others))) if others else 0
            opened[key] = StratumState(harm=onset.initial(stake), stake=stake)
    return opened


def _bound(guardrail: Guardrail, cells: Iterable[Cell]) -> Contrast | None:
    """Set the total over strata against the absolute bound."""
    count = total(cell.candidate for cell in cells)
    if guardrail.bound is None or count is None:
        return None
    return against_bound(guardrail.bound, count, bounded=guardrail.bounded)


def _known(cells: Mapping[str, Cell], found: Mapping[str, Contrast], step: Step) -> bool:
    if isinstance(step.comparison, Absolute):
        return any(cell.candidate is not None for cell in cells.values())
    return bool(found)


def _judged_alone(bound: Contrast | None, step: Step) -> bool:
    return bound is not None and isinstance(step.comparison, Absolute)


def _safe(found: Mapping[str, Contrast], bound: Contrast | None, step: Step) -> list[float]:
    if bound is not None and _judged_alone(bound, step):
        return bound.safe()
    return _sums((contrast.safe() for contrast in found.values()), _SAFE)


def _required(
    guardrail: Guardrail, cells: Mapping[str, Cell], found: Mapping[str, Contrast], step: Step, group: str
) -> float:
    """Log evidence of this block that a group by itself is safe."""
    if not isinstance(step.comparison, Absolute):
        return sum([contrast.safe_alone() for key, contrast in found.items() if matches(group, key)])
    bound = _bound(guardrail, (cell for key, cell in cells.items() if matches(group, key)))
    return 0.0 if bound is None else bound.safe_alone()


def _moved(
    guardrail: Guardrail, state: StratumState, cell: Cell | None, harm: Sequence[float], step: Step
) -> StratumState:
    started = step.onset.start(state.harm, state.stake)
    if cell is None or cell.candidate is None:
        return replace(state, harm=started)
    rate = plug_in(guardrail, state)
    if not step.ripe:
        return replace(
            state,
            harm=_bet(started, harm),
            past=state.past if cell.stable is None else _faded(state.past, cell.stable),
        )
    return StratumState(
        harm=_bet(started, harm),
        stake=state.stake,
        past=state.past if cell.stable is None else _faded(state.past, cell.stable),
        candidate=_sum(state.candidate, cell.candidate),
        stable=state.stable if cell.stable is None else _sum(state.stable, cell.stable),
        spread=state.spread.after(cell, rate, step.comparison),
        both=exact(state.both + (cell.both or 0)),
        usual=state.usual,
        peak=state.peak,
    )


def _bet(wealth: tuple[int, ...], gains: Sequence[float]) -> tuple[int, ...]:
    return tuple(w + round(UNIT * gain) for w, gain in zip(wealth, gains, strict=True))


def _believed(gains: Sequence[float], phi: float, step: Step) -> list[float]:
    if not step.ripe:
        return [0.0 for _ in gains]
    return [gain / phi if step.usable else min(0.0, gain / phi) for gain in gains]


def _sums(rows: Iterable[Sequence[float]], zero: Sequence[float]) -> list[float]:
    sums = [float(value) for value in zero]
    for row in rows:
        sums = [s + value for s, value in zip(sums, row, strict=True)]
    return sums


def _sum(left: Count, right: Count) -> Count:
    return Count(exact(left.n + right.n), exact(left.x + right.x))


def _faded(past: Count, stable: Count) -> Count:
    return Count(short(past.n * DECAY + stable.n, 4), short(past.x * DECAY + stable.x, 4))
