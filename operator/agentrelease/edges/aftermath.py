"""Where it is told how compensations go: the log, Events, metrics, and sinks at the end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from agentrelease.edges.announcing import compensated
from agentrelease.edges.events import Severity, Told
from agentrelease.edges.kinds import AGENT_REVISION
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.api.revision import CompensationStatus
    from agentrelease.edges.events import EventWriter
    from agentrelease.edges.metrics import Metrics
    from agentrelease.edges.sinks import Sinks
    from agentrelease.engine.aftermath import RevisionKey

log = structlog.get_logger("agentrelease.compensation")


class CompensationRecorder:
    """Tells each result once in every place; queued or counted, nothing is awaited, nothing raises."""

    def __init__(
        self,
        events: EventWriter,
        metrics: Metrics,
        sinks: Sinks,
        *,
        origin: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._events, self._metrics, self._sinks = events, metrics, sinks
        self._origin, self._now = origin, now

    def undone(self, key: RevisionKey, hook: str, result: str) -> None:
        """Count one call of a hook."""
        self._metrics.compensations.labels(key.namespace, key.release, result).inc()
        log.info(
            "compensation",
            release=f"{key.namespace}/{key.release}",
            revision=key.revision,
            hook=hook,
            result=result,
        )

    def trouble(self, key: RevisionKey, cause: str, why: str) -> None:
        """Warn by an Event on the revision."""
        log.warning(
            "compensation",
            release=f"{key.namespace}/{key.release}",
            revision=key.revision,
            cause=cause,
            why=why,
        )
        about = Ref(AGENT_REVISION, key.namespace, key.revision)
        self._events.tell(Told(about, "", Severity.WARNING, cause, "Compensate", why))

    def account(self, key: RevisionKey, status: CompensationStatus) -> None:
        """Publish what is pending, failed and lost, and tell the sinks when it is over."""
        counts = {
            "pending": status.effects - status.undone - status.failed if status.state == "Undoing" else 0,
            "undone": status.undone,
            "failed": status.failed,
            "lost": status.lost,
        }
        for state in ("pending", "failed", "lost"):
            count = 0 if status.state == "NotNeeded" else counts[state]
            self._metrics.effects.labels(key.namespace, key.release, state).set(count)
        if status.state in ("Done", "Incomplete"):
            event = compensated(
                key.namespace, key.release, key.revision, counts, origin=self._origin, at=self._now()
            )
            self._sinks.offer(event)

    def failed(self, key: str, what: str, why: str) -> None:
        """Log what did not work and is tried again."""
        log.warning("failed", release=key, what=what, why=why)
        self._metrics.decisions_failed.labels(what).inc()
