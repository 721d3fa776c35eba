"""Releases with hand-written statuses, as the operator writes them, for everything that shows one."""

from __future__ import annotations

from typing import Any

import pytest

from agentrelease.api.release import AgentRelease

NOW = 1_795_424_624.0  # 2026-11-23 09:03:44 UTC
DIGEST = "sha256:" + "1" * 64
STABLE = {"revision": "support-3f9a0c11de", "digest": DIGEST, "slot": "blue", "autonomy": "full-action"}
PREVIOUS = {"revision": "support-0a0a0a0a0a", "digest": DIGEST, "slot": "green", "autonomy": "full-action"}
CANDIDATE = {
    "revision": "support-77aa01b2c3",
    "digest": DIGEST,
    "slot": "green",
    "stage": "Running",
    "phaseIndex": 3,
    "phaseName": "canary-5",
    "enteredAt": NOW - 14,
    "confirmedAt": NOW - 12,
    "activeSeconds": 12.0,
    "tickedAt": NOW - 1,
}


def phase(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "minDuration": "20s", "autonomy": "observe", **fields}


def spec(**fields: Any) -> dict[str, Any]:
    cohort = {"header": {"name": "x-audience", "value": "internal"}}
    return {
        "bundle": {
            "model": {"name": "provider/model-x", "version": "2026-10-14"},
            "prompts": [{"name": "system", "version": "v14", "digest": DIGEST}],
            "retrieval": [],
            "tools": [],
            "connectors": [],
            "policies": [],
            "routing": {"version": "r3"},
            "postProcessing": {"version": "p2"},
            "memory": {"version": "m5"},
            "workflow": {"version": "w9"},
        },
        "delivery": {
            "slots": {
                "blue": {"service": "support-blue", "deployment": "support-blue"},
                "green": {"service": "support-green", "deployment": "support-green"},
            },
            "route": {"httpRoute": "support"},
            "flags": {"configMap": "support-flags"},
        },
        "phases": [
            phase("shadow", mirror=100),
            phase("internal", cohort=cohort, autonomy="suggestion-only"),
            phase("canary-1", weight=1, autonomy="suggestion-only"),
            phase("canary-5", weight=5, autonomy="suggestion-only", minSamples=300),
            phase("half", weight=50, autonomy="limited-action"),
            phase("all", weight=100, autonomy="limited-action"),
            phase("full", weight=100, autonomy="full-action"),
        ],
        "guardrails": [{"policy": "agent-defaults"}],
        **fields,
    }


def metric(name: str, kind: str, verdict: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "class": kind, "verdict": verdict, "harmBound": 1.3, "safeBound": 2.0, **fields}


METRICS = [
    metric("task-completion", "quality", "pass", candidate={"n": 212, "x": 11}, stable={"n": 3950, "x": 205},
           low=-0.021, high=0.024, harmEvidence=0.1, safeEvidence=2.2),
    metric("policy-violations", "safety", "suspect", candidate={"n": 212, "x": 3}, stable={"n": 3950, "x": 2},
           low=0.0004, high=0.031, harmEvidence=0.9, safeEvidence=0.0, needed=180),
    metric("policy-violations", "safety", "collecting", stratum="risk_tier=high", candidate={"n": 41, "x": 1},
           stable={"n": 800, "x": 1}, low=-0.01, high=0.062, harmEvidence=0.3, safeEvidence=0.4, needed=420),
    metric("forbidden-action", "safety", "pass", candidate={"n": 0, "x": 0}),
    metric("latency-p95", "efficiency", "collecting", candidate={"n": 212, "x": 9},
           stable={"n": 3950, "x": 160}, low=-0.02, high=0.022, safeEvidence=1.4, needed=60),
    metric("escalations", "quality", "blind", stable={"n": 3950, "x": 401}),
]  # fmt: skip


def moved(at: str, before: str, after: str, to: str, reason: str) -> dict[str, Any]:
    candidate = CANDIDATE["revision"]
    return {"at": at, "from": before, "phase": after, "revision": candidate, "to": to, "reason": reason}


ENTER = "Enter: PhaseEntered"
PASSED = "all 5 guardrails passed"
HISTORY = [
    moved(
        "2026-11-23T09:02:10.120Z",
        "Promoted",
        "Loading",
        "Start: RolloutStarted",
        "loading support-77aa01b2c3",
    ),
    moved("2026-11-23T09:02:15.004Z", "Loading", "shadow", ENTER, "entering shadow"),
    moved("2026-11-23T09:02:40.381Z", "shadow", "internal", ENTER, f"entering internal; {PASSED}"),
    moved("2026-11-23T09:03:05.870Z", "internal", "canary-1", ENTER, f"entering canary-1; {PASSED}"),
    moved(
        "2026-11-23T09:03:30.233Z",
        "canary-1",
        "canary-5",
        ENTER,
        f"entering canary-5; {PASSED} on 4162 tasks",
    ),
]

CANARY = {
    "phase": "canary-5",
    "verdict": "Collecting",
    "reason": "policy-violations: 3 of 212 tasks against 2 of 3950 at stable; harm is not yet proven, "
    "about 180 tasks needed",
    "stable": STABLE,
    "candidate": CANDIDATE,
    "exposure": {
        "intended": {"cohort": "x-audience=internal", "weight": 5, "autonomy": "suggestion-only"},
        "live": {"cohort": "x-audience=internal", "weight": 5, "autonomy": "suggestion-only"},
        "measured": {
            "weight": 4.83,
            "tasks": 212,
            "autonomy": "suggestion-only",
            "at": "2026-11-23T09:03:43Z",
            "seconds": 11.0,
        },
    },
    "metrics": METRICS,
    "history": HISTORY,
}


def stored(status: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the object as the API server would."""
    return {
        "apiVersion": "agentrelease.dev/v1alpha1",
        "kind": "AgentRelease",
        "metadata": {
            "name": "support",
            "namespace": "shop",
            "uid": "u",
            "generation": 2,
            "resourceVersion": "7",
            "creationTimestamp": "2026-11-23T08:01:00Z",
        },
        "spec": spec(**fields),
        "status": status,
    }


class Recorded:
    """Statuses by name, each as a release."""

    now = NOW
    canary = CANARY
    stable = STABLE
    previous = PREVIOUS

    @staticmethod
    def object(status: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return stored(status, **fields)

    @staticmethod
    def release(status: dict[str, Any], **fields: Any) -> AgentRelease:
        return AgentRelease.from_object(stored(status, **fields))


@pytest.fixture
def recorded() -> type[Recorded]:
    """Hand-written releases."""
    return Recorded
