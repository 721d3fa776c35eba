"""The release and the guardrails of the benchmark, as a user would write them, compiled by the operator.

Six metrics with the defaults of their classes, and three phases. Nothing here is set to please a scenario.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.release import AgentRelease
from agentrelease.core.bundle import digest_of, revision_name
from agentrelease.core.plan import compile_plan
from bench.decisions.world import BOUNDED, HIGH, METRICS, STRATA, WEIGHT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.guardrails import Plan

AGENT = "support"
SOAK = 30.0
"""Minutes that each phase lasts at least."""

SAMPLES = 100
_CLASSES = {"violations": "safety", "slow": "efficiency"}
_TASKS = {"metric": "agentrelease_tasks_total"}


def plan(grid: float = 60.0, actions: Mapping[str, str] | None = None) -> Plan:
    """Return the compiled guardrails for blocks of ``grid`` seconds; ``actions`` are not rollbacks."""
    label, _, value = STRATA[HIGH].partition("=")
    found = GuardrailPolicySpec.model_validate(
        {
            "strata": {"labels": [label], "required": [{label: value}]},
            "metrics": [_metric(name, (actions or {}).get(name, "rollback")) for name in METRICS],
        }
    )
    return compile_plan([found], grid)[1]


def release(
    *, soak: float = SOAK, later: float = SOAK, routed: bool = True, deadline: float = 0.0
) -> AgentRelease:
    """Return a release with a stable revision, its candidate in the first of three phases since time 0.

    ``soak`` is minutes of the first phase at least, and ``later`` of the others.
    """
    metadata = {"name": AGENT, "namespace": "bench", "uid": "0", "resourceVersion": "1", "generation": 1}
    spec = _spec((soak, later), deadline, routed=routed)
    digest = digest_of(AgentRelease.from_object({"metadata": metadata, "spec": spec}).spec.bundle)
    candidate = {
        "revision": revision_name(AGENT, digest), "digest": digest, "slot": "green", "stage": "Running",
        "phaseIndex": 0, "phaseName": "canary",
        "granted": {"weight": 100 * WEIGHT, "autonomy": "limited-action"},
    }  # fmt: skip
    stable = {"revision": f"{AGENT}-0", "digest": "sha256:0", "slot": "blue", "autonomy": "full-action"}
    return AgentRelease.from_object(
        {"metadata": metadata, "spec": spec, "status": {"candidate": candidate, "stable": stable}}
    )


def _spec(soaks: tuple[float, float], deadline: float, *, routed: bool) -> dict[str, Any]:
    common: dict[str, Any] = {"autonomy": "limited-action", "minSamples": SAMPLES}
    phases = [
        {"name": name, "weight": weight, "minDuration": f"{minutes:g}m"} | common
        for name, weight, minutes in (
            ("canary", 100 * WEIGHT, soaks[0]),
            ("half", 50, soaks[1]),
            ("all", 100, soaks[1]),
        )
    ]
    if deadline:
        phases[0] |= {"deadline": f"{deadline:g}m", "onDeadline": "rollback"}
    slots = {name: {"service": name, "deployment": name} for name in ("blue", "green")}
    route = {"route": {"httpRoute": AGENT}} if routed else {}
    return {
        "bundle": {
            "model": {"name": "provider/model", "version": "2"},
            "prompts": [{"name": "system", "version": "2", "digest": f"sha256:{'2' * 64}"}],
            **{layer: [] for layer in ("retrieval", "tools", "connectors", "policies")},
            **{layer: {"version": "2"} for layer in ("routing", "postProcessing", "memory", "workflow")},
        },
        "delivery": {"slots": slots, "flags": {"configMap": AGENT}} | route,
        "phases": phases,
        "guardrails": [{"policy": "defaults"}],
    }


def _metric(name: str, action: str) -> dict[str, Any]:
    metric: dict[str, Any] = {
        "name": name, "class": _CLASSES.get(name, "quality"), "onBreach": action
    }  # fmt: skip
    if name == "slow":
        return metric | {"latency": {"histogram": "agentrelease_task_duration_seconds", "slowerThan": "8s"}}
    counted = "good" if BOUNDED[METRICS.index(name)] else "bad"
    return metric | {
        "ratio": {counted: {"metric": f"agentrelease_{name.replace('-', '_')}_total"}, "of": _TASKS}
    }
