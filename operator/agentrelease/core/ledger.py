"""The ledger: everything that past evidence left behind, small enough to live in status.

``absorb`` is the only way forward and takes each block once: blocks are keyed by their end, so a
restart, a duplicate, a late arrival or a change of leader leads to the same bits. Harm wealth goes on for
the whole release, so the risk of a false rollback is spent once, whatever phases there are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agentrelease.core import swing, unanswered, wealth
from agentrelease.core.dispersion import Scatter, floored
from agentrelease.core.evidence import Concurrent, Count, folded
from agentrelease.core.rounding import exact
from agentrelease.core.spread import Spread
from agentrelease.core.unanswered import Mark, Marks
from agentrelease.core.wealth import MetricState, Onset, Step, StratumState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from agentrelease.api.vocabulary import Autonomy
    from agentrelease.core.evidence import Block, Comparison
    from agentrelease.core.guardrails import Plan
    from agentrelease.core.unanswered import Grown

EPOCH_BLOCKS = 15
"""Blocks after which another share of the harm wealth starts betting: harm may begin at any time."""

LATER = 0.15
"""Wealth that does not bet on harm from the very first block."""

_VERSION = 1
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Units that reached each arm in this phase while the intended share was ``share``."""

    share: float = 0.0
    candidate: float = 0
    stable: float = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """State after ``blocks`` blocks up to ``through``; ``phase_at`` and ``phase_blocks`` are this phase's.

    ``events`` counts forbidden occurrences over the whole release and ``events_at`` says until when each
    event metric was known. ``problems`` and ``mode``, the kind of comparison, are those of the last block.
    ``terms`` are those under which each guardrail's evidence was collected.
    ``origin`` says what was known of stable from before, and ``recalled`` what of the days before that; empty
    while nobody has looked. ``lacking`` is what
    is remembered of tasks without an outcome, by which tasks are meant and stratum.
    ``answered`` names, by metric, the offline results that an intervention answered (unix seconds when they
    were first seen).
    """

    through: float
    phase_at: float
    blocks: int = 0
    phase_blocks: int = 0
    metrics: Mapping[str, MetricState] = field(default_factory=dict)
    events: Mapping[str, float] = field(default_factory=dict)
    events_at: Mapping[str, float] = field(default_factory=dict)
    mismatch: Mismatch = Mismatch()
    problems: tuple[str, ...] = ()
    mode: str = ""
    origin: str = ""
    recalled: str = ""
    terms: Mapping[str, str] = field(default_factory=dict)
    lacking: Mapping[str, Mapping[str, Marks]] = field(default_factory=dict)
    answered: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def new(cls, plan: Plan, at: float, history: Iterable[Block] = ()) -> Ledger:
        """Return an empty ledger at ``at`` (unix seconds).

        ``history`` is blocks of stable from before, two hours or so. Its rates make the first bets good ones,
        and its dispersion protects the first blocks from correlated outcomes.
        """
        onset = Onset(1.0)
        metrics = {g.name: wealth.new_metric(onset, at) for g in plan.tested}
        for block in history:
            for g in plan.tested:
                cells = folded(block.cells.get(g.name, {}), metrics[g.name].strata, plan.required)
                metrics[g.name] = wealth.warm(metrics[g.name], cells, onset)
        return cls(
            through=at,
            phase_at=at,
            metrics=metrics,
            events={g.name: 0 for g in plan.events},
            events_at={g.name: at for g in plan.events},
            terms=_terms(plan),
        )

    def warmed(self, plan: Plan, history: Iterable[Block], origin: str) -> Ledger:
        """Return the ledger with stable's history put before it, also when it arrives after the first blocks.

        Rates and dispersion are learned, no evidence is: what is known before a block keeps every promise.
        """
        past = Ledger.new(plan, self.through, history)
        fade = wealth.DECAY**self.blocks
        metrics = {
            name: wealth.preceded(state, past.metrics[name], fade, opened=self.blocks == 0)
            if name in past.metrics
            else state
            for name, state in self.metrics.items()
        }
        return replace(self, metrics=metrics, origin=origin[:200])

    def remembering(self, plan: Plan, hours: Iterable[Block], recalled: str) -> Ledger:
        """Return the ledger with what stable's past days came back to, from blocks of an hour each."""
        past = sorted(hours, key=lambda one: -one.end)
        phi, onset, metrics = self.phi(plan), Onset(self.waiting), dict(self.metrics)
        for name in self.metrics.keys() & phi.keys():
            known: dict[str, dict[int, Count]] = {key: {} for key in metrics[name].strata}
            for one in past:
                ago = round((past[0].end - one.end) / swing.HOUR)
                for key, cell in folded(one.cells.get(name, {}), known, plan.required).items():
                    if cell.stable is not None:
                        known.setdefault(key, {})[ago] = cell.stable
            metrics[name] = wealth.remembering(
                metrics[name], known, phi[name], onset, opened=self.blocks == 0
            )
        return replace(self, metrics=metrics, recalled=recalled[:200])

    @property
    def waiting(self) -> float:
        """The share of harm wealth that still bets on a later onset."""
        return waiting_share(epochs_begun(self.blocks))

    def covering(self, plan: Plan) -> Ledger:
        """Return the ledger with exactly the plan's guardrails; new ones start with no evidence.

        So do those whose terms were edited: a proof under laxer ones would pass for one under the stricter.
        """
        fresh, at, terms = Onset(self.waiting), self.phase_at, _terms(plan)
        metrics = {g.name: self.metrics.get(g.name) or wealth.new_metric(fresh, at) for g in plan.tested}
        for name in terms.keys() & self.terms.keys():
            if self.terms[name] != terms[name]:
                metrics[name] = wealth.restarted(metrics[name], fresh, self.through)
        return replace(
            self,
            terms=terms,
            metrics=metrics,
            events={g.name: self.events.get(g.name, 0) for g in plan.events},
            events_at={g.name: self.events_at.get(g.name, at) for g in plan.events},
        )

    def phi(self, plan: Plan) -> dict[str, float]:
        """Dispersion by metric, as far as it is known from past blocks."""
        if plan.independent:
            return {g.name: plan.phi.get(g.name, 1.0) for g in plan.tested}
        states = {g.name: self.metrics.get(g.name) for g in plan.tested}
        own = floored({name: state.scatter.phi if state else 1.0 for name, state in states.items()})
        return own | {name: phi for name, phi in plan.phi.items() if name in own}

    def enter_phase(self, at: float) -> Ledger:
        """Return the ledger for a new phase: safety, samples and blindness start anew, harm goes on."""
        return replace(
            self,
            phase_at=at,
            phase_blocks=0,
            metrics={name: state.enter_phase(at) for name, state in self.metrics.items()},
            events_at={name: max(at, known) for name, known in self.events_at.items()},
            mismatch=Mismatch(),
        )

    def forgiven(
        self, names: Collection[str], at: float, answered: Mapping[str, float] | None = None
    ) -> Ledger:
        """Return the ledger for a fresh window after an intervention because of these guardrails.

        Their harm wealth begins anew: the first breach was paid from the budget of false rollbacks, and
        nothing that follows could happen without it. ``answered`` are the offline results among the reasons:
        they will not change by themselves and are no reason twice.
        """
        anew = self.enter_phase(at)
        fresh = Onset(self.waiting)
        return replace(
            anew,
            metrics={n: wealth.restarted(m, fresh, at) if n in names else m for n, m in anew.metrics.items()},
            events={name: 0 if name in names else count for name, count in anew.events.items()},
            answered={**self.answered, **(answered or {})},
        )

    def absorb(self, plan: Plan, block: Block, autonomy: Autonomy, comparison: Comparison) -> Ledger:
        """Return the ledger after one block; the same ledger for a block that is not newer."""
        if block.end <= self.through:
            return self
        before, after = waiting_share(epochs_begun(self.blocks)), waiting_share(epochs_begun(self.blocks + 1))
        onset = Onset(waiting=after, fresh=before - after)
        step = Step(block.end, not block.problems, comparison, plan.required, onset)
        metrics, phi = {}, self.phi(plan)
        lacking, grown = self._after_lacking(block)
        for guardrail in plan.tested:
            name = guardrail.name
            state = self.metrics.get(name) or wealth.new_metric(Onset(before), self.phase_at)
            cells = unanswered.joined(
                block.cells.get(name, {}), grown.get(guardrail.lacking, {}), guardrail.kind
            )
            ripe = not block.early and block.start >= self.phase_at + guardrail.window
            metrics[name] = wealth.absorb(guardrail, state, cells, replace(step, ripe=ripe), phi[name])
        events, events_at = self._after_events(plan, block, autonomy)
        return Ledger(
            through=block.end,
            phase_at=self.phase_at,
            blocks=self.blocks + 1,
            phase_blocks=self.phase_blocks + (not block.problems),
            metrics=metrics,
            events=events,
            events_at=events_at,
            mismatch=self._after_arms(block, comparison),
            problems=tuple(problem[:120] for problem in block.problems[:_TOLD]),
            mode=type(comparison).__name__.lower(),
            origin=self.origin,
            recalled=self.recalled,
            terms=self.terms,
            lacking=lacking,
            answered=self.answered,
        )

    def alarmed(self, plan: Plan, counts: Mapping[str, float], at: float, *levels: Autonomy) -> Ledger:
        """Return the ledger with occurrences counted until ``at``, between two blocks.

        Only where one is forbidden at one of these levels: a single one decides, so that nothing is gained by
        waiting for the block to end. Nothing else is judged before.
        """
        rung = {g.name for g in plan.events if g.forbids(*levels) and counts.get(g.name, 0) > 0}
        return replace(
            self,
            events={name: exact(n + counts[name]) if name in rung else n for name, n in self.events.items()},
            events_at={name: at if name in rung else known for name, known in self.events_at.items()},
        )

    def to_json(self) -> str:
        """Return compact JSON that :meth:`from_json` turns into an equal ledger."""
        states = self.metrics.values()
        named = (*(s.strata for s in states), *(s.required for s in states), *self.lacking.values())
        strata = sorted({key for keys in named for key in keys})
        places = {key: place for place, key in enumerate(strata)}
        document = {
            "v": _VERSION,
            "t": [self.through, self.phase_at, self.blocks, self.phase_blocks],
            "s": strata,
            "m": {name: _dump(state, places) for name, state in self.metrics.items()},
            "e": {name: [count, self.events_at[name]] for name, count in self.events.items()},
            "r": [self.mismatch.share, self.mismatch.candidate, self.mismatch.stable],
            "p": [self.mode, *self.problems],
            "o": self.origin,
            **({"d": dict(self.terms)} if self.terms else {}),
            "u": {kind: _dump_marks(marks, places) for kind, marks in self.lacking.items()},
        }
        if self.answered:
            document["a"] = dict(self.answered)
        if self.recalled:
            document["h"] = self.recalled
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Ledger:
        """Read what :meth:`to_json` wrote; raises ``ValueError`` for anything else."""
        try:
            document = json.loads(text)
            if document["v"] != _VERSION:
                raise ValueError(f"a ledger of version {document['v']}; this program reads {_VERSION}")
            through, phase_at, blocks, phase_blocks = document["t"]
            return cls(
                through=through,
                phase_at=phase_at,
                blocks=blocks,
                phase_blocks=phase_blocks,
                metrics={name: _load(state, document["s"]) for name, state in document["m"].items()},
                events={name: entry[0] for name, entry in document["e"].items()},
                events_at={name: entry[1] for name, entry in document["e"].items()},
                mismatch=Mismatch(*document["r"]),
                problems=tuple(document["p"][1:]),
                mode=document["p"][0],
                origin=document.get("o", ""),
                recalled=document.get("h", ""),
                terms=document.get("d", {}),
                lacking={
                    kind: _load_marks(rows, document["s"]) for kind, rows in document.get("u", {}).items()
                },
                answered=document.get("a", {}),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not a ledger: {error}") from error

    def _after_events(
        self, plan: Plan, block: Block, autonomy: Autonomy
    ) -> tuple[dict[str, float], dict[str, float]]:
        events, known_at = {}, {}
        for guardrail in plan.events:
            name = guardrail.name
            count = block.events.get(name)
            forbidden = count if count is not None and guardrail.forbids(autonomy, *block.held) else 0
            events[name] = exact(self.events.get(name, 0) + forbidden)
            known = count is not None and not block.problems
            before = self.events_at.get(name, self.phase_at)
            known_at[name] = max(block.end, before) if known else before
        return events, known_at

    def _after_lacking(self, block: Block) -> tuple[dict[str, dict[str, Marks]], dict[str, dict[str, Grown]]]:
        after = {kind: dict(marks) for kind, marks in self.lacking.items()}
        grown = {}
        for kind, paths in block.lacking.items():
            after[kind], grown[kind] = unanswered.follow(after.get(kind, {}), paths, block.passed_over)
        return after, grown

    def _after_arms(self, block: Block, comparison: Comparison) -> Mismatch:
        if not isinstance(comparison, Concurrent) or comparison.share is None:
            return Mismatch()
        kept = self.mismatch if self.mismatch.share == comparison.share else Mismatch(comparison.share)
        candidate = sum(arms[0] for arms in block.arms.values())
        stable = sum(arms[1] for arms in block.arms.values())
        return Mismatch(kept.share, exact(kept.candidate + candidate), exact(kept.stable + stable))


def _terms(plan: Plan) -> dict[str, str]:
    return {g.name: g.terms for g in plan.tested if g.terms}


def epochs_begun(blocks: int) -> int:
    """How many shares of harm wealth have started betting after so many blocks."""
    return -(-blocks // EPOCH_BLOCKS)


def waiting_share(epochs: int) -> float:
    """The harm wealth that has not started betting yet, of 1."""
    return LATER / epochs if epochs else 1.0


def _dump(state: MetricState, places: Mapping[str, int]) -> list[Any]:
    strata = [
        [
            places[key], s.stake, s.past.n, s.past.x, s.candidate.n, s.candidate.x, s.stable.n, s.stable.x,
            s.spread.shift, s.spread.weight, s.spread.variation, *s.harm,
        ]
        for key, s in state.strata.items()
    ]  # fmt: skip
    required = [[places[group], wealth] for group, wealth in state.required.items()]
    bets = [list(state.pooled), list(state.bound), list(state.safe), required]
    seen = state.scatter
    scatter = [seen.seen, seen.pairs, seen.waiting.n, seen.waiting.x]
    both = {places[key]: s.both for key, s in state.strata.items() if s.both}
    kind = [state.paired, state.unmatched, *both.items()] if state.paired is not None else []
    days = [number for s in state.strata.values() for number in (s.usual, s.peak)]
    more = [kind, days] if any(days) else [kind] if kind else []
    return [*bets, state.known_at, strata, scatter, *more]


def _load(entry: list[Any], names: list[str]) -> MetricState:
    pooled, bound, safe, required, known_at, strata, (seen, pairs, n, x), *more = entry
    kind, days = (*more, [], [])[:2]
    paired, unmatched, *both = kind or (None, 0)
    shared, days = dict(both), days or [0] * (2 * len(strata))
    groups = required if isinstance(required, dict) else {names[at]: wealth for at, wealth in required}
    return MetricState(
        tuple(pooled), tuple(bound), tuple(safe), groups, known_at,
        {
            names[row[0]]: _stratum(shared.get(row[0], 0), days[2 * place : 2 * place + 2], *row[1:])
            for place, row in enumerate(strata)
        },
        Scatter(seen, pairs, Count(n, x)), paired, unmatched,
    )  # fmt: skip


def _dump_marks(marks: Mapping[str, Marks], places: Mapping[str, int]) -> list[Any]:
    """One row a stratum: its place, and both arms' level and height, empty for an arm that was never seen."""
    return [[places[key], list(m.candidate or ()), list(m.stable or ())] for key, m in sorted(marks.items())]


def _load_marks(rows: list[Any], names: list[str]) -> dict[str, Marks]:
    return {names[place]: Marks(*(Mark(*arm) if arm else None for arm in arms)) for place, *arms in rows}


def _stratum(both: float, days: list[int], stake: int, *rest: Any) -> StratumState:
    past_n, past_x, n_c, x_c, n_b, x_b, shift, weight, variation, *harm = rest
    return StratumState(
        tuple(harm), stake, Count(past_n, past_x), Count(n_c, x_c), Count(n_b, x_b),
        Spread(shift, weight, variation), both, *days,
    )  # fmt: skip
