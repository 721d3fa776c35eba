"""What a verdict stands on: a plan, a ledger, a moment, and what each guardrail says at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING

from agentrelease.core import offline, planner
from agentrelease.core.contrast import Pairs
from agentrelease.core.evidence import Count, matches
from agentrelease.core.guardrails import MetricVerdict
from agentrelease.core.standing import log_safety, safe, stand
from agentrelease.core.wealth import UNIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.guardrails import Guardrail, Margin, Plan
    from agentrelease.core.ledger import Ledger
    from agentrelease.core.offline import Judged, Runs
    from agentrelease.core.standing import Standing
    from agentrelease.core.wealth import MetricState

ABSOLUTE = "absolute"
PAIRED = "paired"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was counted in this phase: both arms and, where answers were compared in pairs, the ``pairs``.

    ``note`` says what is special about it.
    """

    candidate: Count
    stable: Count
    pairs: Pairs | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Grounds:
    """Everything a judgement at ``now`` (unix seconds) rests on.

    ``runs`` are offline evaluations as they are known, and ``evaluated`` what each such guardrail says.
    """

    plan: Plan
    ledger: Ledger
    now: float
    standing: Standing
    runs: Runs = field(default_factory=offline.Runs)
    evaluated: Mapping[str, Judged] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, ledger: Ledger, now: float, runs: Runs) -> Grounds:
        """Weigh a ledger at a moment; guardrails that it has never seen have no evidence."""
        ledger = ledger.covering(plan)
        evaluated = {g.name: offline.judge(g, runs, ledger.answered.get(g.name)) for g in plan.offline}
        return cls(plan, ledger, now, stand(plan, ledger), runs, evaluated)

    def said(self, guardrail: Guardrail) -> MetricVerdict:
        """What a tested guardrail says."""
        state = self.ledger.metrics[guardrail.name]
        checks = (
            (guardrail.name in self.standing.breaches, MetricVerdict.HARM),
            (self.now - state.known_at >= self.plan.stale_after, MetricVerdict.BLIND),
            (self.suspect() is guardrail, MetricVerdict.SUSPECT),
            (self.ledger.mode == ABSOLUTE and guardrail.bound is None, MetricVerdict.UNJUDGED),
            (safe(self.plan, guardrail, state), MetricVerdict.PASS),
        )
        return next((verdict for holds, verdict in checks if holds), MetricVerdict.COLLECTING)

    @property
    def incomparable(self) -> bool:
        """Whether there is neither a comparison nor a bound for any tested guardrail: nothing can pass."""
        return self.ledger.mode == ABSOLUTE and bool(self.plan.tested) and not self.plan.absolute

    def seen(self, guardrail: Guardrail) -> MetricVerdict:
        """What an event guardrail says."""
        if self.ledger.events[guardrail.name] > 0:
            return MetricVerdict.HARM
        dark = self.now - self.ledger.events_at[guardrail.name] >= self.plan.stale_after
        return MetricVerdict.BLIND if dark else MetricVerdict.PASS

    def suspect(self) -> Guardrail | None:
        """The guardrail that leads while the family looks bad but proves nothing."""
        if self.standing.family < log(self.plan.suspect_at) or self.standing.breaches:
            return None
        return next(g for g in self.plan.tested if g.name == self.standing.leading)

    def oldest(self) -> tuple[str, float]:
        """The guardrail that has been without usable evidence longest, and since when; offline ones apart."""
        known = [(state.known_at, name) for name, state in self.ledger.metrics.items()]
        known += [(at, name) for name, at in self.ledger.events_at.items()]
        at, name = min(known, default=(self.now, ""))
        return name, at

    def needed(self, guardrail: Guardrail) -> dict[str, float]:
        """Expected further candidate tasks until harm is excluded, by group that has to pass."""
        state = self.ledger.metrics[guardrail.name]
        found = {"": self._needed(guardrail, "", log_safety(state))}
        for group in self.plan.groups(guardrail):
            found[group] = self._needed(guardrail, group, state.required.get(group, 0) / UNIT)
        return found

    def _needed(self, guardrail: Guardrail, group: str, log_safe: float) -> float:
        seen = self.seen_of(guardrail, group)
        if seen.pairs is None:
            return planner.remaining(guardrail, log_safe, seen.candidate, seen.stable, alone=bool(group))
        return planner.remaining_pairs(guardrail, log_safe, seen.pairs, alone=bool(group))

    def seen_of(self, guardrail: Guardrail, key: str) -> Seen:
        """What was counted of a guardrail in the strata that a key names."""
        state = self.ledger.metrics[guardrail.name]
        candidate, stable = counts(state, key)
        if state.paired:
            both = sum([s.both for k, s in state.strata.items() if matches(key, k)])
            return Seen(candidate, stable, Pairs(candidate.n, candidate.x, stable.x, both))
        without = guardrail.pairs and self.ledger.mode == PAIRED
        note = f"compared arm by arm, because no pairs of {guardrail.pairs} are exported" if without else ""
        return Seen(candidate, stable, note=note)


def margin_of(guardrail: Guardrail, group: str) -> Margin:
    """The harm to exclude: over all strata, or in a group by itself."""
    return guardrail.max_harm_stratum if group else guardrail.max_harm


def counts(state: MetricState, key: str) -> tuple[Count, Count]:
    """Both arms' counts of this phase in the strata that a key names."""
    strata = [s for k, s in state.strata.items() if matches(key, k)]
    candidate = Count(sum([s.candidate.n for s in strata]), sum([s.candidate.x for s in strata]))
    return candidate, Count(sum([s.stable.n for s in strata]), sum([s.stable.x for s in strata]))
