"""Phases and guardrails that somebody edits in mid-rollout: they count at once, and never raise anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.stage import POLICY, SPEC, Behaviour, Stage

from agentrelease.api.vocabulary import Autonomy

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease

GOOD = Behaviour(completion=0.95, violations=0.005)


def edited(**changes: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The stage's phases, each ten seconds long, with changes by name; ``None`` takes one out."""
    found = []
    for phase in SPEC["phases"]:
        change = changes.get(phase["name"].replace("-", "_"), {})
        if change is not None:
            found.append({"minDuration": "10s"} | phase | change)
    return found


async def at(phase: str) -> tuple[Stage, str]:
    """A candidate whose clock runs in a phase."""
    stage = Stage()
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2", GOOD, phases=edited())
    await stage.run(600, until=phase)
    await stage.run(3)
    release = await stage.release()
    assert release.status.phase == phase
    return stage, v2


def share(release: AgentRelease) -> float:
    return release.status.exposure.intended.weight


async def test_more_weight_in_the_same_phase_is_earned_like_a_phase_of_its_own() -> None:
    stage, v2 = await at("canary-10")
    await stage.apply("v2", phases=edited(canary_10={"weight": 40}))
    before = len((await stage.release()).status.history)
    for _ in range(40):
        await stage.step()
        release = await stage.release()
        if share(release) != 10:
            break
        assert stage.reach()[v2][0] == pytest.approx(0.1)
    assert (release.status.phase, share(release)) == ("canary-10", 40)
    moves = [(t.from_, t.to) for t in release.status.history[before:]]
    assert moves == [("canary-10", "Enter: PhaseEntered")]
    assert "entering canary-10" in release.status.history[-1].reason
    assert release.status.candidate.active_seconds == 0, "its clock begins anew"
    await stage.run(600, until="Promoted")


async def test_a_phase_that_was_intended_and_not_yet_written_is_not_written_higher_either() -> None:
    stage, v2 = await at("internal")
    stage.refuse_writes("HTTPRoute")
    await stage.run(60, until="canary-10")
    await stage.apply("v2", phases=edited(canary_10={"weight": 90}))
    stage.refuse_writes("")
    await stage.run(3)
    assert stage.reach()[v2][0] == pytest.approx(0.1)


async def test_less_weight_is_lowered_by_the_next_look_and_is_no_fight() -> None:
    stage, v2 = await at("half")
    await stage.apply("v2", phases=edited(half={"weight": 20}))
    await stage.operator.reconcile("shop/support")
    assert stage.reach()[v2][0] == pytest.approx(0.2)
    release = await stage.run(2)
    assert (release.status.phase, release.status.candidate.fights) == ("half", [])
    assert "PhasesEdited" in stage.told.causes
    assert "DriftUndone" not in stage.told.causes
    await stage.run(600, until="Promoted")


async def test_less_autonomy_and_a_new_stratum_are_lowered_by_the_next_look() -> None:
    stage, v2 = await at("half")
    held = [{"match": {"risk_tier": "high"}, "autonomy": "observe"}]
    await stage.apply("v2", phases=edited(half={"strata": held}))
    await stage.operator.reconcile("shop/support")
    assert (stage.level(v2), stage.level(v2, "high")) == (Autonomy.LIMITED_ACTION, Autonomy.OBSERVE)
    await stage.apply("v2", phases=edited(half={"autonomy": "suggestion-only"}))
    await stage.operator.reconcile("shop/support")
    assert stage.level(v2) is Autonomy.SUGGESTION_ONLY


@pytest.mark.parametrize("gone", ["shadow", "canary-10"])
async def test_a_phase_taken_out_before_the_candidates_own_moves_nothing(gone: str) -> None:
    stage, v2 = await at("half")
    entered = (await stage.release()).status.candidate.entered_at
    await stage.apply("v2", phases=edited(**{gone.replace("-", "_"): None}))
    release = await stage.run(2)
    assert (release.status.phase, stage.reach()[v2][0]) == ("half", 0.5)
    assert release.status.candidate.entered_at == entered
    await stage.run(600, until="Promoted")


async def test_a_cohort_taken_out_before_the_candidates_own_phase_goes_back_to_stable() -> None:
    stage, v2 = await at("half")
    assert stage.cohort() == v2
    await stage.apply("v2", phases=edited(internal=None))
    await stage.operator.reconcile("shop/support")
    release = await stage.release()
    assert (release.status.phase, stage.cohort(), stage.reach()[v2][0]) == ("half", "", 0.5)
    await stage.run(600, until="Promoted")


async def test_a_phase_put_in_before_the_candidates_own_moves_nothing() -> None:
    stage, v2 = await at("half")
    phases = edited()
    phases.insert(3, {"name": "quarter", "weight": 25, "autonomy": "suggestion-only"})
    await stage.apply("v2", phases=phases)
    release = await stage.run(2)
    assert (release.status.phase, stage.reach()[v2][0]) == ("half", 0.5)


@pytest.mark.parametrize(
    ("phase", "back"),
    [("shadow", "Loading"), ("internal", "shadow"), ("canary-10", "internal"), ("half", "canary-10")],
)
async def test_a_candidate_whose_phase_is_taken_out_goes_to_one_that_exposes_no_more(
    phase: str, back: str
) -> None:
    stage, v2 = await at(phase)
    before = stage.reach()[v2]
    await stage.apply("v2", phases=edited(**{phase.replace("-", "_"): None}))
    await stage.operator.reconcile("shop/support")
    release = await stage.release()
    assert release.status.phase == back
    assert stage.reach()[v2][0] <= before[0]
    await stage.run(900, until="Promoted")


async def test_a_list_cut_short_at_the_end_is_no_promotion() -> None:
    stage, v2 = await at("full")
    await stage.apply(
        "v2", phases=[*edited(full=None, all=None), {"name": "end", "weight": 100, "autonomy": "observe"}]
    )
    await stage.operator.reconcile("shop/support")
    release = await stage.release()
    assert (release.status.phase, stage.level(v2)) == ("end", Autonomy.OBSERVE)


async def test_another_cohort_is_other_people_and_met_from_the_phase_before_on() -> None:
    stage, v2 = await at("internal")
    beta = {"header": {"name": "x-beta", "value": "yes"}}
    await stage.apply("v2", phases=edited(internal={"cohort": beta}))
    await stage.operator.reconcile("shop/support")
    release = await stage.release()
    assert (release.status.phase, stage.cohort()) == ("shadow", "")
    assert v2 == release.status.candidate.revision


async def test_a_higher_last_phase_is_entered_before_it_is_promoted() -> None:
    stage, v2 = await at("all")
    phases = edited(full=None, all={"autonomy": "full-action"})
    await stage.apply("v2", phases=phases)
    await stage.run(3)
    assert stage.level(v2) is Autonomy.LIMITED_ACTION
    release = await stage.run(600, until="Promoted")
    assert [t.phase for t in release.status.history][-2:] == ["all", "Promoted"]
    assert release.status.stable.autonomy is Autonomy.FULL_ACTION


async def test_what_a_phase_asks_for_is_read_anew_at_every_look() -> None:
    stage, _ = await at("canary-10")
    await stage.apply("v2", phases=edited(canary_10={"minSamples": 1_000_000}))
    release = await stage.run(40)
    assert release.status.phase == "canary-10"
    assert "more samples are required" in release.status.reason
    await stage.apply("v2", phases=edited())
    await stage.run(60, until="half")


async def test_a_guardrail_made_stricter_is_not_passed_on_the_proof_of_the_laxer_one() -> None:
    stage, _ = await at("canary-10")
    await stage.apply("v2", phases=edited(canary_10={"minDuration": "40s"}))
    release = await stage.run(20)
    assert release.status.verdict == "Soaking", "the laxer guardrails are satisfied"
    strict = [
        m | {"maxHarm": {"absolute": 0.0301}} if m["name"] == "task-completion" else m
        for m in POLICY["metrics"]
    ]
    await stage.write_policy(POLICY | {"metrics": strict})
    release = await stage.run(2)
    assert release.status.verdict == "Collecting"
    assert "task-completion" in release.status.reason
    counts = {m.name: m.candidate.n for m in release.status.metrics if m.candidate and not m.stratum}
    assert counts["task-completion"] < counts["policy-violations"] / 2, "only its own evidence begins anew"
