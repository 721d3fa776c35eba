"""Where decisions are told: the decision log on stdout, Events, and the operator's own metrics.

Never on the safety path: everything here is queued or counted, nothing is awaited, nothing raises.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from agentrelease.core.decision import Direction
from agentrelease.core.instants import unix
from agentrelease.core.steps import STABLE_UNKNOWN, Move
from agentrelease.edges.events import Severity, Told
from agentrelease.edges.kinds import AGENT_RELEASE
from agentrelease.edges.logs import Sealed
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.api.release import AgentRelease
    from agentrelease.core.chain import Entry
    from agentrelease.core.decision import Decision
    from agentrelease.edges.events import EventWriter
    from agentrelease.edges.metrics import Metrics
    from agentrelease.edges.sinks import Sinks

log = structlog.get_logger("agentrelease.decision")

STREAM = "decision-log"
"""The event by which lines of the decision log are told from others."""

INCOMPLETE = "RollbackIncomplete"
"""The cause of a rollback that still lacks something, and the condition's name."""

WARNINGS = frozenset({Move.WITHDRAW, Move.STEP_BACK, Move.DRAIN, Move.CAP, Move.RETURN, Move.RECOVER})
WORRIES = frozenset(
    {
        INCOMPLETE,
        "EvidenceMissing",
        "HeldByGuardrail",
        "Refused",
        "DeadlinePassed",
        "Blocked",
        STABLE_UNKNOWN,
    }
)


def stream(entry: Entry) -> None:
    """Write an entry of the decision log as one line: what it is about, its hash, and the whole of it."""
    content = entry.content
    about = f"{content['namespace']}/{content['release']}"
    log.info(STREAM, release=about, id=content["id"], hash=entry.hash, entry=Sealed(content))


class DecisionRecorder:
    """Tells each decision once in every place."""

    def __init__(
        self,
        events: EventWriter,
        metrics: Metrics,
        sinks: Sinks | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._events = events
        self._sinks = sinks
        self._metrics = metrics

    def decided(self, release: AgentRelease, decision: Decision, epoch: int) -> None:
        """Log a decision, tell it as an Event, and count it if it moved exposure."""
        step, status = decision.step, decision.status
        moved = status.candidate or release.status.candidate or status.stable
        log.info(
            "decision",
            release=release.key,
            revision=moved.revision if moved else "",
            digest=moved.digest if moved else "",
            phase=status.phase,
            epoch=epoch,
            generation=release.generation,
            move=step.move.value,
            cause=step.cause,
            reason=step.reason,
            direction=decision.direction.value,
            intended=status.exposure.intended.to_object(),
            drift=decision.drift,
        )
        if decision.drift:
            self._tell(release, Severity.WARNING, "DriftUndone", "Restore", decision.drift)
        if decision.announce or step.move is not Move.KEEP:
            worry = step.move in WARNINGS or step.cause in WORRIES
            severity = Severity.WARNING if worry else Severity.NORMAL
            self._tell(release, severity, step.cause, step.move.value, step.reason)
        if step.move is Move.ENTER and step.phase == 0:
            for one in status.outlook:
                if one.warning:
                    self._tell(release, Severity.WARNING, "PlanTooSlow", "Forecast", one.warning)
        if decision.direction is not Direction.KEEP and step.move is not Move.KEEP:
            self._metrics.decisions.labels(release.namespace, release.name, step.move.value).inc()
        if self._sinks is not None:
            self._sinks.decided(release, decision, epoch)
        weight = status.exposure.intended.weight
        self._metrics.weight.labels(release.namespace, release.name, "intended").set(weight)

    def regained(self, release: AgentRelease, said: str) -> None:
        """Tell, as an Event, whether lost evidence was rebuilt or begins anew."""
        reason, _, note = said.partition(": ")
        severity = Severity.NORMAL if reason == "Rebuilt" else Severity.WARNING
        self._tell(release, severity, f"Evidence{reason}", "Rebuild", note)

    def stands(self, release: AgentRelease) -> None:
        """Measure how long a rollback has been incomplete; goes on rising when nobody looks any more."""
        waiting = (c for c in release.status.conditions if c.type == INCOMPLETE and c.status == "True")
        since = next((unix(c.last_transition_time) for c in waiting), None)
        gauge = self._metrics.incomplete.labels(release.namespace, release.name)
        gauge.set_function(lambda: 0.0 if since is None else max(0.0, self._clock() - since))

    def failed(self, key: str, what: str, why: str) -> None:
        """Log what did not work and is tried again."""
        log.warning("failed", release=key, what=what, why=why)
        self._metrics.decisions_failed.labels(what).inc()

    def looked(self, key: str, seconds: float, result: str) -> None:
        """Count one look."""
        namespace, _, name = key.partition("/")
        self._metrics.reconciles.labels(result).inc()
        self._metrics.reconcile_seconds.observe(seconds)
        self._metrics.evaluated.labels(namespace, name).set_to_current_time()

    def gone(self, key: str) -> None:
        """Drop the series of a release that is gone."""
        namespace, _, name = key.partition("/")
        self._metrics.forget(namespace, name)

    def _tell(self, release: AgentRelease, severity: Severity, reason: str, action: str, note: str) -> None:
        about = Ref(AGENT_RELEASE, release.namespace, release.name)
        self._events.tell(Told(about, release.uid, severity, reason, action, note))
