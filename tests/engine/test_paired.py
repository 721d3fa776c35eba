"""Shadow with a joiner: answers to the same request decide, sooner, and what is missing never passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.support.stage import POLICY, SPEC, Behaviour, Stage

from agentrelease.core import pairs

PATIENT = copy.deepcopy(SPEC["phases"])
PATIENT[0] |= {"minSamples": 1_000_000}  # only harm ends this shadow


def policy(judged: str = "completion") -> dict[str, Any]:
    made = copy.deepcopy(POLICY)
    made["metrics"][0] |= {"pairs": judged, "tolerance": {"absolute": 0.02}}
    return made


async def shadowed(
    candidate: Behaviour, *, joins: bool, phases: Any = SPEC["phases"], seed: int = 7
) -> tuple[Stage, str]:
    """A candidate in shadow beside a stable that completes 80 % of the same requests."""
    stage = Stage(seed=seed)
    stage.joins = joins
    await stage.install(policy())
    await stage.apply("v1", Behaviour(completion=0.80))
    await stage.run(20, until="Promoted")
    revision = await stage.apply("v2", candidate, phases=phases)
    await stage.run(30, until="shadow")
    return stage, revision


def tasks(stage: Stage, revision: str) -> int:
    tally = stage.tallies[revision, "external"]
    return tally.good + tally.bad


async def test_harm_among_hard_requests_is_rolled_back_from_shadow_after_far_fewer_tasks() -> None:
    """The candidate fails what stable fails, and six in a hundred more. Arm by arm that takes much longer."""
    worse, took = Behaviour(completion=0.74), {}
    for joins in (True, False):
        stage, revision = await shadowed(worse, joins=joins, phases=PATIENT)
        release = await stage.run(120, until="RolledBack")
        assert "task-completion" in release.status.refused[0].reason
        assert ("pairs of answers to the same request" in release.status.refused[0].reason) is joins
        assert stage.reach()[revision] == (0.0, 0.0)
        took[joins] = tasks(stage, revision)
    assert took[True] * 2.5 <= took[False]


async def test_the_next_shadow_is_forecast_by_pairs_once_somebody_has_counted_any() -> None:
    patient = [one | {"minSamples": 1} for one in SPEC["phases"]]
    said = {}
    for joins in (True, False):
        stage = Stage(seed=7)
        stage.joins = joins
        await stage.install(policy() | {"metrics": policy()["metrics"][:1]})
        await stage.apply("v1", Behaviour(completion=0.80))
        await stage.run(20, until="Promoted")
        for version in ("v2", "v3"):
            await stage.apply(version, Behaviour(completion=0.80), phases=patient)
            release = await stage.run(60, until="shadow")
            said[joins, version] = release.status.outlook[0].tasks or 0
    first = said[True, "v2"]
    assert 0 < said[True, "v3"] < 0.8 * first, "before, nobody may ever have counted any"
    assert said[False, "v3"] > 0.8 * first


async def test_a_good_candidate_leaves_a_paired_shadow_and_is_promoted() -> None:
    stage, revision = await shadowed(Behaviour(completion=0.82), joins=True)
    said = (await stage.release()).status.metrics
    release = await stage.run(400, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == revision
    assert "arm by arm" not in "".join(metric.why for metric in said)


async def test_status_says_pairs_while_they_are_counted_and_that_there_are_none_otherwise() -> None:
    for joins, words in ((True, "pairs of answers to the same request"), (False, "no pairs of completion")):
        stage, _ = await shadowed(Behaviour(completion=0.80), joins=joins, phases=PATIENT)
        release = await stage.run(8)
        assert release.status.phase == "shadow"
        (metric,) = [m for m in release.status.metrics if m.name == "task-completion"]
        assert words in metric.why


async def test_pairs_that_end_are_missing_evidence_although_both_arms_still_report() -> None:
    stage, revision = await shadowed(Behaviour(completion=0.85), joins=True, phases=PATIENT)
    await stage.run(5)
    stage.missing.add(pairs.PAIRS)
    for _ in range(40):
        await stage.step()
        assert stage.reach()[revision][0] == 0.0
        assert stage.cohort() == ""
    release = await stage.release()
    assert stage.told.causes.count("EvidenceMissing") >= 2
    assert any("no usable evidence of task-completion" in one.reason for one in release.status.history)
    assert release.status.refused == []  # a joiner's outage is no verdict on the bundle


async def test_copies_that_the_candidate_never_judged_keep_it_in_shadow() -> None:
    stage, revision = await shadowed(Behaviour(completion=0.95), joins=True)
    stage.unheard = 0.2
    release = await stage.run(40)
    assert release.status.phase == "shadow"
    assert "judged on one side only" in release.status.reason
    assert stage.reach()[revision] == (0.0, 1.0)


@pytest.mark.parametrize("joins", [True, False])
async def test_every_decision_on_pairs_replays_to_the_same_bits(joins: bool) -> None:
    from agentrelease.core.record import replay

    stage, _ = await shadowed(Behaviour(completion=0.74), joins=joins, phases=PATIENT)
    await stage.run(120, until="RolledBack")
    entries = [entry.content for entry in stage.entries]
    assert any("GuardrailBreached" in str(entry["outcome"]) for entry in entries)
    for entry in entries:
        assert replay(entry["inputs"]) == entry["outcome"]
