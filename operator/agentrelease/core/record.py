"""What a decision rested on and came to, as JSON from which ``decide`` can be run again.

``inputs`` hold everything that ``decide`` looks at, ``outcome`` what it said. Running ``decide`` on the
inputs again must give the same outcome, bit for bit. Left out is what no decision reads: parameters of a
model, annotations of others, the transitions before (the log itself is the history) and the ledger before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import rfc8785
from pydantic import ValidationError

from agentrelease.api.release import AgentRelease
from agentrelease.api.status import LogHead, Outcome, Refused, ReleaseStatus, Serving
from agentrelease.api.vocabulary import GROUP, Action, Autonomy, MetricClass
from agentrelease.core import exposure, guardrails, offline
from agentrelease.core.assess import Assessment, Requirements, assess
from agentrelease.core.decision import Decision, decide
from agentrelease.core.forecast import Outlook
from agentrelease.core.ledger import Ledger
from agentrelease.core.notation import read, written
from agentrelease.core.recovery import Former
from agentrelease.core.situation import Desired, Live, Measured, Situation, SlotState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.status import Transition

NAMES: Mapping[str, Any] = {
    "Mapping": Mapping,
    "Action": Action,
    "Autonomy": Autonomy,
    "MetricClass": MetricClass,
    "Outcome": Outcome,
    "Cohort": exposure.Cohort,
    "Exposure": exposure.Exposure,
    "Guardrail": guardrails.Guardrail,
    "Kind": guardrails.Kind,
    "Margin": guardrails.Margin,
    "Desired": Desired,
    "Live": Live,
    "Measured": Measured,
    "SlotState": SlotState,
    "Outlook": Outlook,
    "Offline": guardrails.Offline,
    "Run": offline.Run,
    "Former": Former,
    "LogHead": LogHead,
    "Refused": Refused,
    "Serving": Serving,
}
"""Types that annotations of recorded values name."""

_SITUATION: Mapping[str, Any] = {
    "desired": Desired,
    "live": Live,
    "slot": SlotState | None,
    "measured": Measured,
    "outlook": tuple[Outlook, ...],
    "evaluations": tuple[offline.Run, ...],
    "former": Former | None,
}
"""Parts of a situation that are values of the core; release and assessment have forms of their own."""


class Unreadable(ValueError):
    """A record that this program can't run again; the text says what is wrong with it."""


def inputs_of(situation: Situation, now: float) -> dict[str, Any]:
    """Return what a decision at ``now`` (unix seconds) looked at."""
    parts = {field.name: getattr(situation, field.name) for field in fields(situation)}
    release, assessment = parts.pop("release"), parts.pop("assessment")
    return {
        "now": now,
        "release": _release(release),
        "assessment": None if assessment is None else _assessment(assessment),
        **{name: written(value) for name, value in parts.items()},
    }


def outcome_of(before: ReleaseStatus, decision: Decision, assessment: Assessment | None) -> dict[str, Any]:
    """Return what a decision came to, with the numbers of each metric and the digest of the status."""
    after = decision.status
    return {
        **written(decision.step),
        "direction": decision.direction.value,
        "intended": written(decision.intended),
        "drift": decision.drift,
        "verdict": assessment.verdict.value if assessment else "",
        "action": assessment.action.value if assessment and assessment.action else "",
        "metrics": [metric.to_object() for metric in after.metrics] if assessment else [],
        "status": digest(_essence(after, _new(before.history, after.history))),
    }


def situation_of(inputs: Mapping[str, Any]) -> tuple[Situation, float]:
    """Return the situation that was recorded, and its time; raises ``Unreadable``."""
    try:
        release = AgentRelease.from_object(inputs["release"])
        parts = {
            name: read(_SITUATION.get(name), value, NAMES) if name in _SITUATION else value
            for name, value in inputs.items()
            if name not in ("now", "release", "assessment")
        }
        assessment = None if inputs["assessment"] is None else _assessed(inputs["assessment"])
        return Situation(release=release, assessment=assessment, **parts), inputs["now"]
    except ValidationError as error:
        raise Unreadable(
            f"the recorded release is not of this version: {error.errors()[0]['msg']}"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"the recorded inputs are not of this version: {error}") from error


def replay(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Decide again on recorded inputs and return the outcome; raises ``Unreadable``."""
    situation, now = situation_of(inputs)
    return outcome_of(situation.release.status, decide(situation, now), situation.assessment)


def digest(value: Any) -> str:
    """Return ``sha256:<64 hex digits>`` of a value's canonical JSON (RFC 8785)."""
    return f"sha256:{hashlib.sha256(rfc8785.dumps(value)).hexdigest()}"


def _release(release: AgentRelease) -> dict[str, Any]:
    spec = release.spec.to_object()
    spec["bundle"]["model"] = {k: v for k, v in spec["bundle"]["model"].items() if k != "parameters"}
    metadata: dict[str, Any] = {
        "name": release.name,
        "namespace": release.namespace,
        "uid": release.uid,
        "generation": release.generation,
        "resourceVersion": release.resource_version,
        "annotations": {k: v for k, v in release.annotations.items() if k.startswith(f"{GROUP}/")},
        "finalizers": list(release.finalizers),
    }
    if release.deleting:
        metadata["deletionTimestamp"] = ""
    return {"metadata": metadata, "spec": spec, "status": _essence(release.status, ())}


def _essence(status: ReleaseStatus, history: Sequence[Transition]) -> dict[str, Any]:
    """Return a status without what only accumulates and what names the log itself."""
    left_out = {
        "evidence": "",
        "course": "",
        "history": list(history),
        "decision": None,
        "decision_entry": "",
    }
    return status.model_copy(update=left_out).to_object()


def _new(before: Sequence[Transition], after: Sequence[Transition]) -> list[Transition]:
    return [one for one in after if one not in before]


def _assessment(assessment: Assessment) -> dict[str, Any]:
    grounds = assessment.grounds
    return {
        "plan": written(grounds.plan),
        "ledger": grounds.ledger.to_json(),
        "at": grounds.now,
        "runs": written(grounds.runs),
        "requirements": written(assessment.requirements),
    }


def _assessed(recorded: Mapping[str, Any]) -> Assessment:
    plan = read(guardrails.Plan, recorded["plan"], NAMES)
    requirements = read(Requirements, recorded["requirements"], NAMES)
    runs = read(offline.Runs, recorded.get("runs", {}), NAMES)
    return assess(plan, Ledger.from_json(recorded["ledger"]), recorded["at"], requirements, runs)


__all__ = ["Unreadable", "digest", "inputs_of", "outcome_of", "replay", "situation_of"]
