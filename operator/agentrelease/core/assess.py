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
from agentrelease.core import pairs, report, words
from agentrelease.core.evidence import ALL
from agentrelease.core.grounds import Grounds, counts, margin_of
from agentrelease.core.guardrails import Kind, MetricVerdict
from agentrelease.core.offline import Runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.guardrails import Guardrail, Plan
    from agentrelease.core.ledger import Ledger
    from agentrelease.core.report import MetricReport

FRESH_BLOCKS = 3.0
"""Promotion needs evidence that ended at most this many block lengths ago."""


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
    key; ``not_before`` is in unix seconds, and so is ``due_at``, when the first of the phase's tasks have
    had the time that a task may take. Without ``proof`` no guardrail has to exclude its harm.
    """

    min_samples: int = 0
    min_samples_by_stratum: Mapping[str, int] = field(default_factory=dict)
    not_before: float = 0.0
    due_at: float = 0.0
    proof: bool = True


@dataclass(frozen=True, slots=True)
class Assessment:
    """A verdict, the action of the strongest breach, and one sentence that says why."""

    verdict: Verdict
    action: Action | None
    reason: str
    grounds: Grounds = field(repr=False)
    requirements: Requirements = Requirements()

    @property
    def metrics(self) -> tuple[MetricReport, ...]:
        """The judgement line by line: the metrics first, then required groups and strata."""
        return report.lines(self.grounds)

    @property
    def still_needed(self) -> int | None:
        """Expected candidate tasks until promotion can be decided; ``None`` when no number will do."""
        judged = _judged(self.grounds) if self.requirements.proof else []
        needed = [n for g in judged for n in self.grounds.needed(g).values()]
        needed += _missing(self.grounds, self.requirements).values()
        most = max(needed, default=0.0)
        return None if most == inf else ceil(most)

    @property
    def breached(self) -> frozenset[str]:
        """Names of the guardrails that are breached."""
        return frozenset(guardrail.name for guardrail, _ in _breaches(self.grounds))

    @property
    def answered(self) -> dict[str, float]:
        """The offline results that are a breach now, by guardrail."""
        found = self.grounds.evaluated
        return {name: found[name].at for name in self.breached if name in found}

    @property
    def unsafe(self) -> bool:
        """Whether a safety guardrail is breached."""
        return any(g.metric_class is MetricClass.SAFETY for g, _ in _breaches(self.grounds))

    @property
    def evidence(self) -> float:
        """The decimal logarithm of the family's e-value for harm."""
        return self.grounds.standing.family / log(10.0)

    @property
    def blinded(self) -> bool:
        """Whether the verdict rests on missing evidence alone, which says nothing about the bundle."""
        return self.verdict in (Verdict.DRAIN, Verdict.ROLLBACK) and not _breaches(self.grounds)

    @property
    def blind_for(self) -> float:
        """Seconds without usable evidence of some guardrail."""
        return max(0.0, self.grounds.now - self.grounds.oldest()[1])


def assess(
    plan: Plan, ledger: Ledger, now: float, requirements: Requirements, runs: Runs | None = None
) -> Assessment:
    """Judge the ledger, and the offline evaluations that are known, at ``now`` (unix seconds)."""
    grounds = Grounds.of(plan, ledger, now, runs or Runs())
    breaches = _breaches(grounds)
    if breaches and breaches[0][0].on_breach > Action.NOTIFY:
        strongest, reason = breaches[0][0].on_breach, breaches[0][1]
        verdict = Verdict.ROLLBACK if strongest is Action.ROLLBACK else Verdict.INTERVENE
        return Assessment(verdict, strongest, reason, grounds, requirements)
    verdict, reason = _unbreached(grounds, requirements)
    action = Action.ROLLBACK if verdict is Verdict.ROLLBACK else None
    if breaches:  # somebody is told; that alone changes nothing
        action, reason = action or Action.NOTIFY, f"{breaches[0][1]}; {reason}"
    return Assessment(verdict, action, reason, grounds, requirements)


def _breaches(grounds: Grounds) -> list[tuple[Guardrail, str]]:
    """Breached guardrails and why, the strongest consequence first; among equals safety."""
    by_name = {g.name: g for g in grounds.plan.tested}
    found = [(g, _event(grounds, g)) for g in grounds.plan.events if grounds.ledger.events[g.name] > 0]
    found += [(by_name[name], _harm(grounds, by_name[name])) for name in grounds.standing.breaches]
    found += [
        (g, f"{g.name}: {grounds.evaluated[g.name].why}")
        for g in grounds.plan.offline
        if grounds.evaluated[g.name].verdict is MetricVerdict.HARM
    ]
    return sorted(found, key=lambda f: (-f[0].on_breach.rank, f[0].metric_class is not MetricClass.SAFETY))


def _unbreached(grounds: Grounds, requirements: Requirements) -> tuple[Verdict, str]:
    name, known_at = grounds.oldest()
    blind = grounds.now - known_at
    if blind >= grounds.plan.blind_after:
        return Verdict.ROLLBACK, f"blind: {_dark(grounds, name, blind)}"
    if blind >= grounds.plan.stale_after:
        return Verdict.DRAIN, f"stale: {_dark(grounds, name, blind)}"
    suspicion = _suspicion(grounds)
    if suspicion:
        return Verdict.SUSPECT, suspicion
    unproven = _unproven(grounds) if requirements.proof else ""
    unmet = _not_ready(grounds) or unproven or _unevaluated(grounds) or _unmet(grounds, requirements)
    if unmet:
        return Verdict.HOLD, unmet
    if not requirements.proof:
        return Verdict.PROMOTE, "nothing is breached or suspicious; the phase asks for no proof"
    return Verdict.PROMOTE, "every guardrail excludes the harm it has to, on fresh evidence"


def _suspicion(grounds: Grounds) -> str:
    if grounds.standing.mismatch >= log(grounds.plan.mismatch_at):
        arms = grounds.ledger.mismatch
        return (
            f"sample-ratio mismatch: {arms.candidate:,.0f} of {arms.candidate + arms.stable:,.0f} units "
            f"reached the candidate, {100 * arms.share:g} % were intended"
        )
    for name, state in grounds.ledger.metrics.items():
        whole = counts(state, ALL)[0].n
        if pairs.too_many(state.unmatched, whole):
            return f"{name}: {words.unmatched(state.unmatched, whole)}"
    suspect = grounds.suspect()
    return f"suspect: {_harm(grounds, suspect)}" if suspect else ""


def _not_ready(grounds: Grounds) -> str:
    """Why evidence cannot raise anything now."""
    ledger, plan = grounds.ledger, grounds.plan
    if ledger.problems:
        return f"the last evidence is not usable: {'; '.join(ledger.problems)}"
    if ledger.phase_blocks < plan.min_blocks:
        return f"{ledger.phase_blocks} of {plan.min_blocks} blocks of evidence in this phase"
    name, known_at = grounds.oldest()
    return (
        f"waiting for fresh evidence of {name}" if grounds.now - known_at > FRESH_BLOCKS * plan.grid else ""
    )


def _unproven(grounds: Grounds) -> str:
    """Which guardrail does not exclude its harm yet: the one that needs most."""
    if grounds.incomparable:
        return "there is nothing to compare with, and no guardrail has a ceiling or a floor to judge by"
    waiting = [
        (needed, g, group)
        for g in _judged(grounds)
        if grounds.said(g) is not MetricVerdict.PASS
        for group, needed in grounds.needed(g).items()
    ]
    if not waiting:
        return ""
    unripe = [(g.window - (grounds.now - grounds.ledger.phase_at), g) for _, g, _ in waiting if g.window]
    rest, late = max(unripe, key=lambda one: one[0], default=(0.0, None))
    if late is not None and rest > 0:
        return f"collecting: {late.name}: labels of this phase's first tasks are complete in {rest:,.0f} s"
    needed, guardrail, group = max(waiting, key=lambda w: w[0])
    seen = grounds.seen_of(guardrail, group)
    said = words.collecting(margin_of(guardrail, group), seen, needed)
    return f"collecting: {guardrail.name}{words.where(group)}: {said}"


def _unevaluated(grounds: Grounds) -> str:
    """Which evaluation has no result yet that is good enough."""
    for guardrail in grounds.plan.offline:
        found = grounds.evaluated[guardrail.name]
        if found.verdict not in (MetricVerdict.PASS, MetricVerdict.UNJUDGED):
            return f"waiting for an evaluation: {guardrail.name}: {found.why}"
    return ""


def _unmet(grounds: Grounds, requirements: Requirements) -> str:
    """Which requirement of the phase is not met."""
    for key, number in _missing(grounds, requirements).items():
        if number > 0:
            return f"{number:,.0f} more samples are required{words.where(key)}"
    rest = requirements.not_before - grounds.now
    if rest > 0:
        return f"the phase lasts {rest:,.0f} s more"
    rest = requirements.due_at - grounds.now
    return f"tasks of this phase are due in {rest:,.0f} s; before, one that hangs looks like any other" * (
        rest > 0
    )


def _missing(grounds: Grounds, requirements: Requirements) -> dict[str, float]:
    """Required samples that are not there yet, by stratum key."""
    wanted = {ALL: requirements.min_samples, **requirements.min_samples_by_stratum}
    return {key: max(0.0, number - _samples(grounds, key)) for key, number in wanted.items() if number > 0}


def _samples(grounds: Grounds, key: str) -> float:
    """Candidate exposures that every tested metric has in this phase."""
    states = grounds.ledger.metrics
    found = [counts(states[g.name], key)[0].n for g in grounds.plan.tested if g.kind is not Kind.MISSING]
    return min(found, default=grounds.ledger.mismatch.candidate)


def _judged(grounds: Grounds) -> list[Guardrail]:
    return [g for g in grounds.plan.tested if grounds.said(g) is not MetricVerdict.UNJUDGED]


def _event(grounds: Grounds, guardrail: Guardrail) -> str:
    said = words.event(guardrail, grounds.ledger.events[guardrail.name], MetricVerdict.HARM)
    return f"{guardrail.name}: {said}"


def _harm(grounds: Grounds, guardrail: Guardrail) -> str:
    harm = grounds.standing.harm[guardrail.name]
    seen = grounds.seen_of(guardrail, harm.stratum)
    limit = f"the bound of {100 * (guardrail.bound or 0):g} %" if harm.absolute else str(guardrail.tolerance)
    enough = 1.0 / (grounds.plan.false_rollback * guardrail.weight)
    return (
        f"{guardrail.name}{words.where(harm.stratum)} is worse than {limit}: {words.against(seen)}; "
        f"odds {words.odds(harm.log_evidence)}, {enough:,.0f} to 1 are enough"
    )


def _dark(grounds: Grounds, name: str, blind: float) -> str:
    because = f" ({'; '.join(grounds.ledger.problems)})" if grounds.ledger.problems else ""
    return f"no usable evidence of {name} for {blind:,.0f} s{because}"
