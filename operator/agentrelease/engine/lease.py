"""A Lease as a candidate writes and reads it: who holds it, since when, for the how-many-eth time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrelease.engine.ports import Object, Ref


@dataclass(frozen=True, slots=True)
class Candidacy:
    """Who stands for election, on which Lease, and at what pace; durations are seconds."""

    lease: Ref
    identity: str
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def record(self, stored: Object | None, *, epoch: int, at: datetime, acquired: str) -> Object:
        """Return the Lease as this candidate wants it, keeping what others wrote beside it."""
        kind = self.lease.kind
        spec: dict[str, Any] = dict(stored.get("spec") or {}) if stored else {}
        spec |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self.lease_duration),
            "leaseTransitions": epoch,
            "acquireTime": acquired,
            "renewTime": micro_time(at),
        }
        metadata = (
            stored["metadata"] if stored else {"namespace": self.lease.namespace, "name": self.lease.name}
        )
        return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}

    def released(self, held: Object, *, at: datetime) -> Object:
        """Return the Lease without a holder; its transitions stay, because epochs only grow."""
        spec = held["spec"] | {"leaseDurationSeconds": 1, "renewTime": micro_time(at)}
        spec.pop("holderIdentity", None)
        return held | {"spec": spec}


@dataclass(frozen=True, slots=True)
class Sight:
    """A Lease as it was first seen in this version, by the own monotonic clock."""

    version: str
    at: float


def claim(lease: Object) -> tuple[Any, Any]:
    """Return what makes a holding: who, and for the how-many-eth time."""
    spec = lease.get("spec") or {}
    return spec.get("holderIdentity"), spec.get("leaseTransitions")


def micro_time(at: datetime) -> str:
    """Return a time as the API's MicroTime."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
