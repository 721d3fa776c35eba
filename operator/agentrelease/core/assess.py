"""The verdict on a candidate: what the ledger proves, what it does not, and what is still needed.

The order is the safety logic: proven breaches, then blindness, then anything suspicious, then promotion,
which needs every guardrail and fresh evidence, and otherwise a hold. Time alone never promotes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil, inf, log
from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import Action, MetricClass
from agentrelease.core import report, words
from agentrelease.core.evidence import ALL
from agentrelease.core.guardrails import MetricVerdict
from agentrelease.core.standing import safe, stand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.guardrails import Guardrail, Plan
    from agentrelease.core.ledger import Ledger
    from agentrelease.core.report import MetricReport
    from agentrelease.core.standing import Standing

FRESH_BLOCKS = 3.0
"""Promotion needs a last block that ended at most this many block lengths ago."""


class Verdict(StrEnum):
    """What to do with the candidate now."""

    ROLLBACK = "rollback"
    INTERVENE = "intervene"
    DRAIN = "drain"
    SUSPECT = "suspect"
    HOLD = "hold"
    PROMOTE = "promote"


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a phase asks for besides proof.

    ``min_samples`` is exposures of every tested metric; ``min_samples_by_stratum`` the same by stratum
    key; ``not_before`` is in unix seconds.
    """

    min_samples: int = 0
    min_samples_by_stratum: Mapping[str, int] = field(default_factory=dict)
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Assessment:
    """A verdict, the action of the strongest breach, and one sentence that says why.

    ``still_needed`` is the expected number of candidate tasks until promotion can be decided: 0 when none
    are missing, ``None`` when no number will do. ``evidence`` is the decimal logarithm of the family's
    e-value for harm. ``blind_for`` is seconds without usable evidence.
    """

    verdict: Verdict
    action: Action | None
    reason: str
    metrics: tuple[MetricReport, ...]
    still_needed: int | None
    evidence: float
    blind_for: float


def assess(plan: Plan, ledger: Ledger, now: float, requirements: Requirements) -> Assessment:
    """Judge the ledger at ``now`` (unix seconds)."""
    ledger = ledger.covering(plan)
    return _Judge(plan, ledger, now, requirements, stand(plan, ledger)).judge()


@dataclass(frozen=True, slots=True)
class _Judge:
    plan: Plan
    ledger: Ledger
    now: float
    requirements: Requirements
    standing: Standing

    def judge(self) -> Assessment:
        verdict, action, reason = self._verdict()
        lines = tuple(self._lines())
        needed = max([line.needed for line in lines] + [float(n) for _, n in self._missing()], default=0.0)
        return Assessment(
            verdict=verdict,
            action=action,
            reason=reason,
            metrics=lines,
            still_needed=None if needed == inf else ceil(needed),
            evidence=self.standing.family / log(10.0),
            blind_for=max(0.0, self.now - self._oldest()[1]),
        )

    def _verdict(self) -> tuple[Verdict, Action | None, str]:
        breaches = self._breaches()
        if breaches and breaches[0][0].on_breach > Action.NOTIFY:
            worst, reason = breaches[0]
            rollback = worst.on_breach is Action.ROLLBACK
            return Verdict.ROLLBACK if rollback else Verdict.INTERVENE, worst.on_breach, reason
        verdict, action, reason = self._unbreached()
        if not breaches:
            return verdict, action, reason
        return verdict, action or Action.NOTIFY, f"{breaches[0][1]}; {reason}"

    def _unbreached(self) -> tuple[Verdict, Action | None, str]:
        name, known_at = self._oldest()
        blind = self.now - known_at
        if blind >= self.plan.blind_after:
            return Verdict.ROLLBACK, Action.ROLLBACK, f"blind: {self._dark(name, blind)}"
        if blind >= self.plan.stale_after:
            return Verdict.DRAIN, None, f"stale: {self._dark(name, blind)}"
        suspicion = self._suspicion()
        if suspicion:
            return Verdict.SUSPECT, None, suspicion
        missing = self._unmet()
        if missing:
            return Verdict.HOLD, None, missing
        return Verdict.PROMOTE, None, "every guardrail excludes the harm it has to, on fresh evidence"

    def _breaches(self) -> list[tuple[Guardrail, str]]:
        """Breached guardrails and why, the strongest consequence first; among equals safety."""
        found = [
            (g, self._event_reason(g)) for g in self.plan.events if self.ledger.events.get(g.name, 0) > 0
        ]
        by_name = {g.name: g for g in self.plan.tested}
        found += [(by_name[name], self._harm_reason(by_name[name])) for name in self.standing.breaches]
        return sorted(
            found, key=lambda f: (-f[0].on_breach.rank, f[0].metric_class is not MetricClass.SAFETY)
        )

    def _event_reason(self, guardrail: Guardrail) -> str:
        said = words.event(guardrail, self.ledger.events[guardrail.name], MetricVerdict.HARM)
        return f"{guardrail.name}: {said}"

    def _harm_reason(self, guardrail: Guardrail) -> str:
        harm = self.standing.harm[guardrail.name]
        counts = report.counts(self.ledger.metrics[guardrail.name], harm.stratum)
        limit = (
            f"the bound of {100 * (guardrail.bound or 0):g} %" if harm.absolute else f"{guardrail.tolerance}"
        )
        bound = 1.0 / (self.plan.false_rollback * guardrail.weight)
        return (
            f"{guardrail.name}{words.where(harm.stratum)} is worse than {limit}: {words.against(*counts)}; "
            f"odds {words.odds(harm.log_evidence)}, {bound:,.0f} to 1 are enough"
        )

    def _oldest(self) -> tuple[str, float]:
        """The guardrail that has been without usable evidence longest, and since when."""
        known = [(state.known_at, name) for name, state in self.ledger.metrics.items()]
        known += [(at, name) for name, at in self.ledger.events_at.items()]
        at, name = min(known)
        return name, at

    def _dark(self, name: str, blind: float) -> str:
        because = f" ({'; '.join(self.ledger.problems)})" if self.ledger.problems else ""
        return f"no usable evidence of {name} for {blind:,.0f} s{because}"

    def _suspicion(self) -> str:
        if self.standing.mismatch >= log(self.plan.mismatch_at):
            arms = self.ledger.mismatch
            return (
                f"sample-ratio mismatch: {arms.candidate:,.0f} of {arms.candidate + arms.stable:,.0f} units "
                f"reached the candidate, {100 * arms.share:g} % were intended"
            )
        suspect = self._suspect()
        return f"suspect: {self._harm_reason(suspect)}" if suspect else ""

    def _suspect(self) -> Guardrail | None:
        """The guardrail that leads while the family looks bad but proves nothing."""
        if self.standing.family < log(self.plan.suspect_at) or self.standing.breaches:
            return None
        return next(g for g in self.plan.tested if g.name == self.standing.leading)

    def _unmet(self) -> str:
        """Why promotion has to wait; empty when nothing is missing."""
        ledger = self.ledger
        if ledger.problems:
            return f"the last evidence is not usable: {'; '.join(ledger.problems)}"
        if ledger.phase_blocks < self.plan.min_blocks:
            return f"{ledger.phase_blocks} of {self.plan.min_blocks} blocks of evidence in this phase"
        if self.now - self._oldest()[1] > FRESH_BLOCKS * self.plan.grid:
            return f"waiting for fresh evidence of {self._oldest()[0]}"
        waiting = [line for line in self._lines() if line.verdict is MetricVerdict.COLLECTING]
        if waiting:
            line = max(waiting, key=lambda w: w.needed)
            return f"collecting: {line.name}{words.where(line.stratum)}: {line.why}"
        for what, number in self._missing():
            if number > 0:
                return f"{number:,.0f} more samples are required{words.where(what)}"
        if self.now < self.requirements.not_before:
            return f"the phase lasts {self.requirements.not_before - self.now:,.0f} s more"
        return ""

    def _missing(self) -> list[tuple[str, float]]:
        """Required samples that are not there yet, by stratum key."""
        wanted = {ALL: self.requirements.min_samples, **self.requirements.min_samples_by_stratum}
        return [(key, max(0.0, number - self._samples(key))) for key, number in wanted.items()]

    def _samples(self, key: str) -> float:
        """Candidate exposures that every tested metric has in this phase."""
        counts = [report.counts(state, key)[0].n for state in self.ledger.metrics.values()]
        return min(counts, default=self.ledger.mismatch.candidate)

    def _lines(self) -> list[MetricReport]:
        """All lines of the judgement: the metrics first, then their strata."""
        metrics, strata = [], []
        for guardrail in self.plan.tested:
            said, harm = self._said(guardrail), self.standing.harm[guardrail.name]
            metrics.append(report.metric_line(self.plan, guardrail, self.ledger, said, harm))
            strata += report.stratum_lines(self.plan, guardrail, self.ledger, said)
        for guardrail in self.plan.events:
            metrics.append(report.event_line(guardrail, self.ledger, self._seen(guardrail)))
        return metrics + strata

    def _seen(self, guardrail: Guardrail) -> MetricVerdict:
        if self.ledger.events[guardrail.name] > 0:
            return MetricVerdict.HARM
        dark = self.now - self.ledger.events_at[guardrail.name] >= self.plan.stale_after
        return MetricVerdict.BLIND if dark else MetricVerdict.PASS

    def _said(self, guardrail: Guardrail) -> MetricVerdict:
        state = self.ledger.metrics[guardrail.name]
        if guardrail.name in self.standing.breaches:
            return MetricVerdict.HARM
        if self.now - state.known_at >= self.plan.stale_after:
            return MetricVerdict.BLIND
        if self._suspect() is guardrail:
            return MetricVerdict.SUSPECT
        if self.ledger.mode == "absolute" and guardrail.bound is None:
            return MetricVerdict.UNJUDGED
        return MetricVerdict.PASS if safe(self.plan, guardrail, state) else MetricVerdict.COLLECTING
