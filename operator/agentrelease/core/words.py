"""The sentences of a judgement. They name metric, stratum, numbers and bound, and no mathematics."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from agentrelease.core.guardrails import MetricVerdict

if TYPE_CHECKING:
    from agentrelease.core.evidence import Count
    from agentrelease.core.guardrails import Guardrail, Margin


def share(count: Count) -> str:
    """Say a count: ``12 of 1,020 (1.18 %)``."""
    if count.n <= 0:
        return "nothing yet"
    return f"{_number(count.x)} of {_number(count.n)} ({100 * count.x / count.n:.3g} %)"


def against(candidate: Count, stable: Count) -> str:
    """Say both arms, or the candidate alone where stable has nothing."""
    return f"{share(candidate)} bad" + (f" against {share(stable)} in stable" if stable.n > 0 else "")


def where(key: str) -> str:
    """Say a stratum, with a space before it; nothing for all strata."""
    return f" in {key}" if key else ""


def odds(log_evidence: float) -> str:
    """Say an e-value as odds."""
    if log_evidence > 13.8:
        return "more than a million to 1"
    return f"{_number(float(f'{2.718281828459045**log_evidence:.3g}'))} to 1"


def metric(
    guardrail: Guardrail, margin: Margin, both: tuple[Count, Count], verdict: MetricVerdict, needed: float
) -> str:
    """Say why a metric got its verdict; ``margin`` is the harm to exclude."""
    seen = against(*both)
    match verdict:
        case MetricVerdict.PASS:
            return f"{seen}: harm of {margin} is excluded"
        case MetricVerdict.HARM:
            return f"{seen}: proven worse than tolerated ({guardrail.tolerance})"
        case MetricVerdict.SUSPECT:
            return f"{seen}: looks worse than tolerated ({guardrail.tolerance}), not proven"
        case MetricVerdict.BLIND:
            return f"no usable evidence; last seen {seen}"
        case MetricVerdict.UNJUDGED:
            return f"{seen}: there is no stable revision to compare with and no ceiling or floor is set"
        case MetricVerdict.COLLECTING:
            return collecting(margin, *both, needed)


def collecting(margin: Margin, candidate: Count, stable: Count, needed: float) -> str:
    """Say what is still needed to exclude harm of a margin."""
    seen = against(candidate, stable)
    if needed == inf:
        return f"{seen}: harm of {margin} cannot be excluded at this rate, however many tasks there are"
    wait = f"about {_number(needed)} more candidate tasks are needed"
    return f"{seen}: harm of {margin} is not excluded yet; {wait}"


def watched(candidate: Count, stable: Count) -> str:
    """Say a stratum that is watched for harm and need not be proven safe by itself."""
    return f"{against(candidate, stable)}: watched for harm"


def event(guardrail: Guardrail, count: float, verdict: MetricVerdict) -> str:
    """Say what an event guardrail saw."""
    levels = ", ".join(sorted(guardrail.when_autonomy)) or "any autonomy"
    if verdict is MetricVerdict.BLIND:
        return f"no usable evidence of {guardrail.name}"
    return f"{_number(count)} forbidden at {levels}; one is enough"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"
