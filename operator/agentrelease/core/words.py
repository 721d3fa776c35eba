"""The sentences of a judgement. They name metric, stratum, numbers and bound, and no mathematics."""

from __future__ import annotations

from math import exp, inf, log
from typing import TYPE_CHECKING

from agentrelease.core.guardrails import MetricVerdict

if TYPE_CHECKING:
    from agentrelease.core.evidence import Count
    from agentrelease.core.grounds import Seen
    from agentrelease.core.guardrails import Guardrail, Margin


def share(count: Count) -> str:
    """Say a count: ``12 of 1,020 (1.18 %)``."""
    if count.n <= 0:
        return "nothing yet"
    return f"{_number(count.x)} of {_number(count.n)} ({100 * count.x / count.n:.3g} %)"


def against(seen: Seen) -> str:
    """Say both arms, or the candidate alone where stable has nothing; pairs by which side was bad."""
    if seen.pairs is not None:
        alone_c, alone_b = seen.pairs.apart(1.0)
        return (
            f"{_number(seen.pairs.n)} pairs of answers to the same request: {_number(alone_c)} bad only in "
            f"the candidate, {_number(alone_b)} only in stable, {_number(seen.pairs.both)} in both"
        )
    beside = f" against {share(seen.stable)} in stable" if seen.stable.n > 0 else ""
    return f"{share(seen.candidate)} bad{beside}" + (f" ({seen.note})" if seen.note else "")


def unmatched(copies: float, whole: float) -> str:
    """Say that too many copies of requests have an outcome on one side only."""
    return (
        f"{_number(copies)} of {_number(copies + whole)} copied requests were judged on one side only; "
        f"what the other side made of them is unknown"
    )


def where(key: str) -> str:
    """Say a stratum, with a space before it; nothing for all strata."""
    return f" in {key}" if key else ""


def odds(log_evidence: float) -> str:
    """Say an e-value as odds."""
    if log_evidence > log(1e6):
        return "more than a million to 1"
    return f"{_number(float(f'{exp(log_evidence):.3g}'))} to 1"


def metric(guardrail: Guardrail, margin: Margin, counted: Seen, verdict: MetricVerdict, needed: float) -> str:
    """Say why a metric got its verdict; ``margin`` is the harm to exclude."""
    seen = against(counted)
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
            return collecting(margin, counted, needed)


def collecting(margin: Margin, counted: Seen, needed: float) -> str:
    """Say what is still needed to exclude harm of a margin."""
    seen = against(counted)
    if needed == inf:
        return f"{seen}: harm of {margin} cannot be excluded at this rate, however many tasks there are"
    wait = f"about {_number(needed)} more candidate tasks are needed"
    return f"{seen}: harm of {margin} is not excluded yet; {wait}"


def watched(counted: Seen) -> str:
    """Say a stratum that is watched for harm and need not be proven safe by itself."""
    return f"{against(counted)}: watched for harm"


def event(guardrail: Guardrail, count: float, verdict: MetricVerdict) -> str:
    """Say what an event guardrail saw."""
    levels = ", ".join(sorted(guardrail.when_autonomy)) or "any autonomy"
    if verdict is MetricVerdict.BLIND:
        return f"no usable evidence of {guardrail.name}"
    return f"{_number(count)} forbidden at {levels}; one is enough"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"
