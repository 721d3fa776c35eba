"""What a status says to people and to GitOps tools: phase word, exposure three times, conditions.

kstatus reads ``Ready``, ``Reconciling`` and ``Stalled``; none of them is ever left over from an
earlier generation, because every condition carries the generation it was judged on.
"""

from __future__ import annotations

from math import ceil, isfinite
from typing import TYPE_CHECKING

from agentrelease.api.status import (
    MAX_MESSAGE,
    ArmCount,
    Condition,
    ExposurePoint,
    MeasuredExposure,
    MetricStatus,
    PhaseOutlook,
    ReleaseStatus,
    Stage,
)
from agentrelease.api.status import Exposure as ExposureStatus
from agentrelease.core import runs
from agentrelease.core.fitting import MAX_METRICS
from agentrelease.core.guardrails import MetricVerdict
from agentrelease.core.instants import stamp
from agentrelease.core.steps import Move, Step

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.exposure import Exposure
    from agentrelease.core.forecast import Outlook
    from agentrelease.core.report import MetricReport
    from agentrelease.core.situation import Situation


def phase_word(status: ReleaseStatus) -> str:
    """Return the one word for where a release stands."""
    candidate = status.candidate
    if candidate is not None:
        if candidate.stage is Stage.WITHDRAWING:
            return "RollingBack"
        return candidate.phase_name if candidate.stage is Stage.RUNNING else "Loading"
    return "Promoted" if status.stable else "Pending"


def describe(s: Situation, after: AgentRelease, step: Step, intended: Exposure, now: float) -> ReleaseStatus:
    """Return ``after``'s status with everything that is derived from the decision."""
    status = after.status
    word = phase_word(status)
    refused = status.candidate is None and any(r.digest == s.desired.digest for r in status.refused)
    if refused and (status.stable is None or status.stable.digest != s.desired.digest):
        word = "RolledBack"
    update = {
        "observed_generation": after.generation,
        "phase": word,
        "verdict": step.cause,
        "reason": step.reason[:MAX_MESSAGE],
        "weight": intended.weight if status.candidate else 100.0 if status.stable else None,
        "autonomy": intended.autonomy if status.candidate else status.stable and status.stable.autonomy,
        "exposure": _exposure(s, intended, now),
        "metrics": _metrics(s, status),
        "outlook": _outlook(s, status),
        "evaluations": runs.to_store(s.evaluations),
    }
    status = status.model_copy(update=update)
    return status.model_copy(update={"conditions": _conditions(s, after, status, step, now)})


def point(exposure: Exposure) -> ExposurePoint:
    """Return an exposure as status shows it."""
    return ExposurePoint(
        mirror=exposure.mirror,
        cohort=str(exposure.cohort or ""),
        weight=exposure.weight,
        autonomy=exposure.autonomy,
    )


def _exposure(s: Situation, intended: Exposure, now: float) -> ExposureStatus:
    measured = s.measured
    seen = measured.at and s.release.status.candidate is not None
    return ExposureStatus(
        intended=point(intended),
        live=point(s.live.exposure) if s.live.exposure is not None else None,
        measured=MeasuredExposure(
            weight=None if measured.weight is None else round(measured.weight, 2),
            tasks=None if measured.tasks is None else int(measured.tasks),
            autonomy=measured.autonomy,
            at=stamp(measured.at or now),
            seconds=round(measured.seconds, 1),
        )
        if seen
        else None,
    )


def _metrics(s: Situation, status: ReleaseStatus) -> list[MetricStatus]:
    begins = status.candidate is not None and s.release.status.candidate is None
    if s.assessment is None or begins:  # what was judged is what serves, not what begins
        return status.metrics
    return [_metric(report) for report in s.assessment.metrics[:MAX_METRICS]]


def _outlook(s: Situation, status: ReleaseStatus) -> list[PhaseOutlook]:
    if status.candidate is None:
        return []
    return [_foreseen(one) for one in s.outlook] or status.outlook


def _foreseen(one: Outlook) -> PhaseOutlook:
    return PhaseOutlook(
        phase=one.phase,
        tasks=one.tasks,
        seconds=None if one.seconds is None else round(one.seconds, 1),
        decided_by=one.decided_by[:256],
        smallest=_rounded(one.smallest),
        caught_by=one.caught_by[:256],
        bad=None if one.bad is None else round(one.bad, 1),
        warning=one.warning[:256],
    )


def _metric(report: MetricReport) -> MetricStatus:
    return MetricStatus(
        name=report.name,
        class_=report.metric_class,
        stratum=report.stratum,
        verdict=report.verdict,
        candidate=ArmCount(n=report.candidate.n, x=report.candidate.x) if report.candidate else None,
        stable=ArmCount(n=report.stable.n, x=report.stable.x) if report.stable else None,
        difference=_rounded(report.estimate),
        low=_rounded(report.interval[0]) if report.interval else None,
        high=_rounded(report.interval[1]) if report.interval else None,
        harm_evidence=round(report.harm_evidence, 3),
        harm_bound=round(report.harm_bound, 3),
        safe_evidence=round(report.safe_evidence, 3),
        safe_bound=round(report.safe_bound, 3),
        needed=ceil(report.needed) if isfinite(report.needed) else None,
        why=report.why[:512],
        compared=report.compared,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


# ---- conditions ------------------------------------------------------------------------------------


def _conditions(
    s: Situation, after: AgentRelease, status: ReleaseStatus, step: Step, now: float
) -> list[Condition]:
    moving = status.candidate is not None or step.move in (Move.START, Move.ENTER)
    settled = not moving and status.stable is not None and status.stable.digest == s.desired.digest
    stalled = not moving and not settled and step.move is Move.KEEP and step.cause != "NotLeading"
    withdrawing = status.candidate is not None and status.candidate.stage is Stage.WITHDRAWING
    said: list[tuple[str, bool | None, str, str]] = [
        ("Ready", settled, step.cause, step.reason),
        ("Reconciling", moving or not (settled or stalled), step.cause, step.reason),
        ("Stalled", stalled, step.cause, step.reason),
        ("BundlePinned", True, "DigestKnown", s.desired.digest),
        _evals(s, status),
        _telemetry(s, status),
        _evidence(s, status),
        *_sync(s, status),
        (
            "AwaitingApproval",
            step.cause == "AwaitingApproval",
            "ApprovalMissing" if step.cause == "AwaitingApproval" else "NothingToApprove",
            s.approval if step.cause == "AwaitingApproval" else "",
        ),
        (
            "RollbackIncomplete",
            withdrawing and step.cause == "RollbackIncomplete",
            step.cause if withdrawing else "NoRollback",
            step.reason if withdrawing else "",
        ),
    ]
    old = {c.type: c for c in s.release.status.conditions}
    return [
        _condition(kind, on, why, text, old.get(kind), after.generation, now) for kind, on, why, text in said
    ]


def _evals(s: Situation, status: ReleaseStatus) -> tuple[str, bool | None, str, str]:
    """Say whether every offline evaluation is passed; what is absent, incomplete or broken is not."""
    before = s.release.status
    if s.assessment is None:
        was, now = before.candidate, status.candidate
        another = now is not None and (was is None or was.revision != now.revision)
        kept = next((c for c in before.conditions if c.type == "EvalsPassed"), None)
        if kept is None or another:
            return "EvalsPassed", None, "NotJudged", "evaluations are judged from the first phase on"
        return "EvalsPassed", _TRUTH[kept.status], kept.reason, kept.message
    found = s.assessment.grounds.evaluated
    said = "; ".join(f"{name}: {one.why}" for name, one in found.items())
    verdicts = {one.verdict for one in found.values()}
    if not found:
        return "EvalsPassed", None, "NotConfigured", "no offline evaluation is among the guardrails"
    if MetricVerdict.HARM in verdicts:
        return "EvalsPassed", False, "EvaluationFailed", said
    if any(one.errored for one in found.values()):
        return "EvalsPassed", False, "EvaluationErrored", said
    if verdicts <= {MetricVerdict.PASS}:
        return "EvalsPassed", True, "EvaluationsPassed", said
    pending = MetricVerdict.COLLECTING in verdicts
    return "EvalsPassed", None, "EvaluationPending" if pending else "NotComparable", said


_TRUTH = {"True": True, "False": False, "Unknown": None}


def _telemetry(s: Situation, status: ReleaseStatus) -> tuple[str, bool | None, str, str]:
    if s.release.status.candidate is None or status.candidate is None:
        return "TelemetryAvailable", None, "NotAsked", "evidence is read while a candidate is on its way"
    return "TelemetryAvailable", not s.blind, "EvidenceMissing" if s.blind else "Reading", s.blind


def _evidence(s: Situation, status: ReleaseStatus) -> tuple[str, bool | None, str, str]:
    """Say whether the evidence goes back to where the rollout, or the watch, began; a loss stays told."""
    if status.candidate is None and status.watch is None:
        return "EvidenceKept", None, "NotAsked", "evidence is kept while a candidate is on its way"
    same = (s.release.status.candidate is None) == (status.candidate is None)
    if s.regained and same:
        reason, _, said = s.regained.partition(": ")
        return "EvidenceKept", reason == "Rebuilt", reason, said
    old = next((c for c in s.release.status.conditions if c.type == "EvidenceKept"), None)
    if old is not None and old.reason in ("BegunAnew", "Rebuilt") and same:
        return "EvidenceKept", old.reason == "Rebuilt", old.reason, old.message
    return "EvidenceKept", True, "Kept", ""


def _sync(s: Situation, status: ReleaseStatus) -> list[tuple[str, bool | None, str, str]]:
    candidate = status.candidate
    in_phase = candidate is not None and candidate.stage is Stage.RUNNING
    return [
        _lacking("TrafficInSync", s.live.traffic),
        _lacking("FlagsInSync", s.live.flags),
        _lacking("AutonomyInEffect", s.measured.disagreement if in_phase else ""),
    ]


def _lacking(kind: str, missing: str) -> tuple[str, bool | None, str, str]:
    return kind, not missing, "NotInSync" if missing else "InSync", missing


def _condition(
    kind: str, on: bool | None, reason: str, message: str, old: Condition | None, generation: int, now: float
) -> Condition:
    value = "Unknown" if on is None else "True" if on else "False"
    since = old.last_transition_time if old and old.status == value else stamp(now)
    return Condition(
        type=kind,
        status=value,
        reason=reason,
        message=message[:MAX_MESSAGE],
        observed_generation=generation,
        last_transition_time=since,
    )
