"""Valid manifests to start from, and a way to break them at one place."""

from __future__ import annotations

import copy
from typing import Any

from agentrelease.api.vocabulary import API_VERSION

SHA = "sha256:" + "ab" * 32
OTHER_SHA = "sha256:" + "cd" * 32
GONE = object()


def release(name: str = "support") -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentRelease",
        "metadata": {"name": name},
        "spec": {
            "bundle": bundle(),
            "delivery": {
                "slots": {
                    "blue": {"service": "support-blue", "deployment": "support-blue"},
                    "green": {"service": "support-green", "deployment": "support-green"},
                },
                "route": {"httpRoute": "support"},
                "flags": {"configMap": "support-flags", "leaseSeconds": 60},
            },
            "phases": [
                {"name": "shadow", "mirror": 100, "autonomy": "observe", "minSamples": 300},
                {
                    "name": "internal",
                    "cohort": {"header": {"name": "x-audience", "value": "internal"}},
                    "autonomy": "suggestion-only",
                    "minDuration": "1h",
                },
                {
                    "name": "canary",
                    "weight": 5,
                    "autonomy": "suggestion-only",
                    "minDuration": "2h",
                    "deadline": "24h",
                    "onDeadline": "rollback",
                },
                {"name": "half", "weight": 50, "autonomy": "limited-action"},
                {"name": "all", "weight": 100, "autonomy": "limited-action"},
            ],
            "guardrails": [{"policy": "agent-defaults"}],
            "firstRelease": "phases",
            "rollback": {"holdBudget": "15m"},
            "paused": False,
        },
    }


def split_by_flags(name: str = "support", *, slots: bool = True) -> dict[str, Any]:
    """The same agent without a gateway."""
    made = release(name)
    delivery, phases = made["spec"]["delivery"], made["spec"]["phases"]
    del delivery["route"]
    if not slots:
        del delivery["slots"]
    phases[0] = {"name": "shadow", "cohort": _attribute("testers"), "autonomy": "observe"}
    phases[1]["cohort"] = _attribute("internal")
    return made


def _attribute(value: str) -> dict[str, Any]:
    return {"attribute": {"name": "audience", "value": value}}


def bundle() -> dict[str, Any]:
    return {
        "model": {
            "name": "provider/model-x",
            "version": "2026-10-14",
            "parameters": {"temperature": 0.2, "seed": 7, "effort": "high", "stream": True},
            "fallback": {"name": "provider/model-w", "version": "2026-07-02"},
        },
        "prompts": [{"name": "system", "version": "v14", "digest": SHA}],
        "retrieval": [{"name": "handbook", "snapshot": "2026-11-01", "digest": SHA}],
        "tools": [
            {"name": "kb.search", "schema": SHA, "effect": "read"},
            {"name": "payments.refund", "schema": SHA, "connector": "billing", "effect": "irreversible"},
        ],
        "connectors": [{"name": "billing", "version": "3.2.1"}],
        "policies": [{"name": "refunds", "version": "v7", "digest": SHA}],
        "routing": {"version": "r3"},
        "postProcessing": {"version": "p2"},
        "memory": {"version": "m5"},
        "workflow": {"version": "w9"},
    }


def policy(kind: str = "GuardrailPolicy", name: str = "agent-defaults") -> dict[str, Any]:
    tasks = {"metric": "agentrelease_tasks_total"}
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "strata": {"labels": ["workflow_class", "risk_tier"], "required": [{"risk_tier": "high"}]},
            "falseRollback": 0.05,
            "unit": "task",
            "staleAfter": "60s",
            "blindAfter": "5m",
            "metrics": [
                {
                    "name": "task-completion",
                    "class": "quality",
                    "ratio": {"good": {**tasks, "match": {"outcome": "completed"}}, "of": tasks},
                    "worseWhen": "lower",
                    "tolerance": {"absolute": 0.01},
                    "maxHarm": {"absolute": 0.03},
                    "weight": 0.3,
                    "onBreach": "rollback",
                },
                {
                    "name": "policy-violations",
                    "class": "safety",
                    "ratio": {"bad": {"metric": "agentrelease_policy_violations_total"}, "of": tasks},
                    "worseWhen": "higher",
                    "tolerance": {"relative": 1.1, "absolute": 0.0002},
                    "maxHarm": {"relative": 1.5, "absolute": 0.002},
                    "maxHarmStratum": {"relative": 2, "absolute": 0.01},
                    "ceiling": 0.005,
                    "alpha": 0.01,
                    "onBreach": "rollback",
                },
                {
                    "name": "forbidden-action",
                    "class": "safety",
                    "event": {"metric": "agentrelease_actions_total", "match": {"disposition": "executed"}},
                    "whenAutonomy": ["observe", "suggestion-only"],
                    "onBreach": "rollback",
                },
                {
                    "name": "slow-tasks",
                    "class": "efficiency",
                    "latency": {"histogram": "agentrelease_task_duration_seconds", "slowerThan": "8s"},
                    "tolerance": {"absolute": 0.01},
                    "maxHarm": {"absolute": 0.03},
                    "onBreach": "pause",
                },
                {
                    "name": "cost",
                    "class": "efficiency",
                    "cost": {"metric": "agentrelease_task_cost_total", "of": tasks, "cap": 2.5},
                    "tolerance": {"relative": 1.1},
                    "maxHarm": {"relative": 1.3},
                    "onBreach": "notify",
                },
            ],
        },
    }


def approval(name: str = "yes", approver: str = "bob") -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentApproval",
        "metadata": {"name": name},
        "spec": {
            "release": "support",
            "digest": SHA,
            "from": "canary",
            "to": "half",
            "approver": approver,
            "expires": "2036-11-30T12:00:00Z",
            "reason": "reviewed 40 shadow answers",
        },
    }


def revision(name: str = "support-abababab12") -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentRevision",
        "metadata": {"name": name},
        "spec": {
            "release": "support",
            "bundle": bundle(),
            "digest": SHA,
            "layers": {"model": SHA, "memory": OTHER_SHA},
            "parent": "support-0123456789",
            "changes": [
                {
                    "layer": "prompts",
                    "name": "system",
                    "field": "version",
                    "change": "changed",
                    "from": "v13",
                    "to": "v14",
                },
            ],
        },
    }


def incident(name: str = "support-1") -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentIncident",
        "metadata": {"name": name},
        "spec": {
            "release": "support",
            "revision": "support-abababab12",
            "digest": SHA,
            "parent": "support-0123456789",
            "phase": "canary",
            "autonomy": "suggestion-only",
            "openedAt": "2026-11-30T12:00:00Z",
            "severity": "high",
            "symptom": "policy-violation",
            "evidence": [
                {
                    "metric": "policy-violations",
                    "stratum": "risk_tier=high",
                    "value": 0.012,
                    "bound": 0.005,
                    "samples": 812,
                    "window": "2026-11-30T12:00:00Z/PT5M",
                    "message": "1.2 % of tasks broke a policy, at most 0.5 % may",
                }
            ],
            "label": {
                "layer": "policies",
                "asi": "ASI02",
                "expected": "ask for approval",
                "mustNot": ["tool:payments.refund"],
                "cases": ["s3://cases/inc-142.jsonl"],
            },
            "closed": False,
        },
    }


def changed(manifest: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with values set (or, by ``GONE``, removed) at paths like ``spec/phases/0/weight``."""
    made = copy.deepcopy(manifest)
    for path, value in changes.items():
        *parents, last = path.split("/")
        place: Any = made
        for step in parents:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if isinstance(place, list):
            place[int(last) : int(last) + 1] = [] if value is GONE else [value]
        elif value is GONE:
            del place[last]
        else:
            place[last] = value
    return made
