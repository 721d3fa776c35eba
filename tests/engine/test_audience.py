"""A cohort's evidence is its own: required before anybody else meets the candidate, and never added up."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.stage import POLICY, SPEC, Behaviour, Stage

GOOD = Behaviour(completion=0.95, violations=0.005)


def phases(first: str = "internal", **cohort: Any) -> list[dict[str, Any]]:
    """The stage's phases from one on, with changes to the cohort."""
    names = [phase["name"] for phase in SPEC["phases"]]
    kept = SPEC["phases"][names.index(first) :]
    return [phase | ({"cohort": phase["cohort"] | cohort} if "cohort" in phase else {}) for phase in kept]


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    return stage


@pytest.mark.parametrize("evidence", ["required", "optional"])
async def test_a_cohort_that_sends_nothing_never_opens_the_way_to_others(stage: Stage, evidence: str) -> None:
    stage.cohort_visits = False
    v2 = await stage.apply("v2", GOOD, phases=phases(evidence=evidence))
    await stage.run(60, until="internal")
    release = await stage.run(90)
    assert (release.status.phase, release.status.verdict) == ("internal", "NotMeasured")
    assert release.status.reason == "no traffic has reached the candidate in this phase yet"
    assert stage.reach()[v2] == (0.0, 0.0)
    assert {weight for _, revision, weight in stage.exposed if revision == v2} == {0.0}
    stage.cohort_visits = True
    await stage.run(300, until="Promoted")


@pytest.mark.parametrize("evidence", ["required", "optional"])
async def test_tasks_that_no_agent_reports_as_internal_are_no_evidence_of_the_cohort(
    stage: Stage, evidence: str
) -> None:
    stage.cohort_told = False
    await stage.apply("v2", GOOD, phases=phases(evidence=evidence))
    await stage.run(60, until="internal")
    release = await stage.run(90)
    assert (release.status.phase, release.status.verdict) == ("internal", "NotMeasured")
    assert "none of them with audience=internal" in release.status.reason


async def test_what_the_cohort_lacks_for_a_proof_is_said(stage: Stage) -> None:
    await stage.apply("v2", GOOD, phases=phases())
    await stage.run(60, until="internal")
    release = await stage.run(3)
    assert release.status.verdict == "Collecting"
    assert "of the cohort's own tasks; no others count here" in release.status.reason


async def test_required_evidence_is_a_proof_and_optional_evidence_is_the_samples_asked_for(
    stage: Stage,
) -> None:
    asked = phases(evidence="optional")
    asked[0] |= {"minSamples": 25}
    await stage.write_policy(_unprovable())
    await stage.apply("v2", phases=asked)
    release = await stage.run(60, until="canary-10")
    internal = [t for t in release.status.history if t.phase == "canary-10"]
    assert "the phase asks for no proof" in internal[-1].reason
    await stage.apply("v1")
    await stage.run(30, until="Promoted")
    await stage.apply("v3", phases=phases())
    await stage.run(60, until="internal")
    release = await stage.run(60)
    assert release.status.phase == "internal"


async def test_a_breach_in_the_cohort_counts_whether_or_not_a_proof_is_asked_for(stage: Stage) -> None:
    v2 = await stage.apply("v2", Behaviour(violations=0.6), phases=phases(evidence="optional"))
    await stage.run(120, until="RolledBack")
    assert {weight for _, revision, weight in stage.exposed if revision == v2} <= {0.0, 0.1}


@pytest.mark.parametrize("phase", ["canary-10", "half", "all", "full"])
async def test_from_the_first_weight_on_the_cohorts_tasks_are_not_counted(stage: Stage, phase: str) -> None:
    v2 = await stage.apply("v2", GOOD, phases=[one | {"minDuration": "10s"} for one in phases()])
    await stage.run(300, until=phase)
    release = await stage.run(4)
    assert release.status.phase == phase
    seen = {m.name: m.candidate.n for m in release.status.metrics if m.candidate and not m.stratum}
    external = stage.tallies[v2, "external"].samples
    assert 0 < seen["task-completion"] <= external[-1][1] + external[-1][2]
    stage.tallies[v2, "internal"].bad += 100_000
    await stage.run(5)
    assert "GuardrailBreached" not in stage.told.causes


def _unprovable() -> dict[str, Any]:
    """Guardrails that no thousand tasks satisfy."""
    tight = {"tolerance": {"absolute": 0.02}, "maxHarm": {"absolute": 0.021}}
    metrics = [m | ({} if "event" in m else tight) for m in POLICY["metrics"]]
    return POLICY | {"metrics": metrics}
