"""Decisions as CloudEvents 1.0, in structured JSON.

The ``id`` comes from the state that the decision left, not from the moment: a decision that is taken
twice, because its first write was lost, has one id, and a receiver can tell. What became of traffic
and permission is in ``data``; prompts, users and secrets never are.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cloudevents.core.bindings.http import to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from agentrelease.api.status import Outcome
from agentrelease.core.steps import Move

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease
    from agentrelease.core.decision import Decision

PREFIX = "dev.agentrelease."
_MOVES = {
    Move.START: "release.started",
    Move.ENTER: "phase.entered",
    Move.PROMOTE: "release.promoted",
    Move.STEP_BACK: "phase.steppedback",
    Move.CAP: "autonomy.lowered",
    Move.LOWER_STABLE: "autonomy.lowered",
    Move.CUT_TOOLS: "tools.reduced",
    Move.FALL_BACK: "model.fellback",
    Move.GIVE_BACK: "intervention.ended",
    Move.RAISE_STABLE: "intervention.ended",
    Move.DRAIN: "exposure.drained",
    Move.RETURN: "release.rolledback",
}
_HOLDS = {
    "AwaitingApproval": "approval.awaited",
    "RollbackIncomplete": "rollback.incomplete",
    "EvidenceMissing": "evidence.missing",
    "Refused": "release.refused",
}
BREACHES = frozenset(
    {
        "GuardrailBreached",
        "HeldByGuardrail",
        "ApprovalRequired",
        "AutonomyLowered",
        "ToolsReduced",
        "FallbackModel",
    }
)
_WORD = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True, slots=True)
class Announcement:
    """One event, ready to be sent."""

    id: str
    type: str
    body: bytes
    content_type: str


def announcements(
    release: AgentRelease, decision: Decision, epoch: int, *, origin: str, at: datetime
) -> list[Announcement]:
    """Return what a decision is worth telling: nothing for a look that only says the same again."""
    step = decision.step
    if step.move is Move.KEEP and not decision.announce:
        return []
    types = [_type(decision)]
    if step.cause in BREACHES and types != ["guardrail.breached"]:
        types.insert(0, "guardrail.breached")
    data = _data(release, decision, epoch)
    return [_event(kind, release, decision, data, origin, at) for kind in types]


def compensated(
    namespace: str, release: str, revision: str, counts: dict[str, int], *, origin: str, at: datetime
) -> Announcement:
    """Return the event for the end of a rollback's compensations."""
    kind = "compensation.failed" if counts.get("failed") or counts.get("lost") else "compensation.completed"
    parts = (namespace, release, revision, kind, repr(sorted(counts.items())))
    data = {"namespace": namespace, "release": release, "revision": revision, "effects": counts}
    return _made(kind, parts, data, f"{origin}/namespaces/{namespace}/agentreleases/{release}", revision, at)


def _type(decision: Decision) -> str:
    step = decision.step
    if step.move is Move.WITHDRAW:
        return "rollback.started" if step.outcome is Outcome.ROLLED_BACK else "release.withdrawing"
    if step.move is Move.FINISH:
        # told after its write, so the candidate is in neither status any more; the history has it
        out = decision.status.history[-1].phase == "RolledBack"
        return "release.rolledback" if out else "release.withdrawn"
    if step.move is Move.KEEP:
        return "guardrail.breached" if step.cause in BREACHES else _HOLDS.get(step.cause, "release.held")
    return _MOVES.get(step.move, f"release.{_WORD.sub('', step.move.value.lower())}")


def _data(release: AgentRelease, decision: Decision, epoch: int) -> dict[str, Any]:
    step, status = decision.step, decision.status
    about = status.candidate or release.status.candidate or status.stable
    revision = about.revision if about else ""
    if step.move is not Move.KEEP and status.history:
        revision = status.history[-1].revision
    return {
        "namespace": release.namespace,
        "release": release.name,
        "revision": revision,
        "stable": status.stable.revision if status.stable else "",
        "phase": status.phase,
        "move": step.move.value,
        "cause": step.cause,
        "reason": step.reason,
        "epoch": epoch,
        "generation": release.generation,
        "exposure": status.exposure.to_object(),
        "metrics": [metric.to_object() for metric in status.metrics],
    }


def _event(
    kind: str, release: AgentRelease, decision: Decision, data: dict[str, Any], origin: str, at: datetime
) -> Announcement:
    step, history = decision.step, release.status.history
    # moves are told before they are written and may come twice; anything else is told after its write
    before = history[-1].at if history else ""
    place = before if step.move is not Move.KEEP else release.resource_version
    parts = (release.uid, kind, place, step.move.value, step.cause, str(step.phase), data["revision"])
    source = f"{origin}/namespaces/{release.namespace}/agentreleases/{release.name}"
    return _made(kind, parts, data, source, data["revision"] or release.name, at)


def _made(
    kind: str, parts: tuple[str, ...], data: dict[str, Any], source: str, subject: str, at: datetime
) -> Announcement:
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    attributes = {
        "id": name,
        "type": PREFIX + kind,
        "source": source,
        "specversion": "1.0",
        "subject": subject,
        "time": at.astimezone(UTC),
        "datacontenttype": "application/json",
    }
    message = to_structured(CloudEvent(attributes, data), JSONFormat())
    assert isinstance(message.body, bytes)
    return Announcement(name, PREFIX + kind, message.body, message.headers["content-type"])
