"""A release without a gateway, in memory: one document moves who is reached and what they may do."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from tests.support.flag_stage import FLAGS, PHASES, FlagStage
from tests.support.stage import AGENT, NAMESPACE, Behaviour, bounded

from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

GOOD, BAD = Behaviour(completion=0.94, violations=0.005), Behaviour(completion=0.99, violations=0.15)
both = pytest.mark.parametrize("slots", [True, False], ids=["slots", "shared pods"])


async def serving(*, slots: bool) -> tuple[FlagStage, str]:
    stage = FlagStage(slots=slots)
    await stage.install()
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    return stage, v1


@both
async def test_a_first_release_is_promoted_and_serves_everybody(slots: bool) -> None:
    stage, v1 = await serving(slots=slots)
    assert stage.reach() == {v1: (1.0, 0.0)}
    assert stage.served("") == v1
    assert stage.level(v1) is Autonomy.FULL_ACTION


@both
async def test_a_good_release_goes_through_every_phase_and_no_session_goes_back_and_forth(
    slots: bool,
) -> None:
    stage, v1 = await serving(slots=slots)
    v2 = await stage.apply("v2", GOOD)
    seen: list[str] = []
    for _ in range(400):
        await stage.step()
        status = (await stage.release()).status
        if not seen or seen[-1] != status.phase:
            seen.append(status.phase)
        if status.phase == "Promoted":
            break
    assert seen == ["Loading", "internal", "canary-10", "half", "all", "full", "Promoted"]
    assert {name: share for name, (share, _) in stage.reach().items() if share} == {v2: 1.0}
    assert (stage.level(v1), stage.level(v2)) == (Autonomy.OBSERVE, Autonomy.FULL_ACTION)
    for before, after in pairwise(stage.arms):
        assert not [session for session, arm in before.items() if arm == v2 and after[session] != v2]


async def test_conversations_of_many_turns_are_no_sign_of_another_share() -> None:
    """Ten tasks of one session go one way together; as single tasks they would look like another split."""
    stage = FlagStage(slots=True, rate=200, turns=10)
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    await stage.apply("v2", GOOD, phases=[phase | {"minDuration": "40s"} for phase in PHASES])
    reasons = set()
    for _ in range(400):
        await stage.step()
        status = (await stage.release()).status
        reasons |= {status.reason} if status.verdict == "NotMeasured" else set()
        if status.phase == "Promoted":
            break
    assert status.phase == "Promoted"
    assert not [reason for reason in reasons if "measured share" in reason]


@both
async def test_a_bad_release_is_rolled_back_and_all_its_sessions_go_to_stable(slots: bool) -> None:
    stage, v1 = await serving(slots=slots)
    v3 = await stage.apply("v3", BAD)
    release = await stage.run(300, until="RolledBack")
    assert "policy-violations" in release.status.refused[0].reason
    assert stage.reach() == {v1: (1.0, 0.0), v3: (0.0, 0.0)}
    assert stage.cohort() == v1
    assert (stage.level(v1), stage.level(v3)) == (Autonomy.FULL_ACTION, Autonomy.OBSERVE)


@both
async def test_going_down_is_one_write(slots: bool) -> None:
    stage, v1 = await serving(slots=slots)
    await stage.apply("v2", GOOD)
    await stage.run(300, until="half")
    stage.cluster.writes.clear()
    await stage.apply("v1")
    await stage.operator.reconcile(f"{NAMESPACE}/{AGENT}")
    first = next(ref for verb, ref in stage.cluster.writes if ref.kind != kinds.AGENT_RELEASE)
    assert first == FLAGS
    assert stage.reach()[v1] == (1.0, 0.0)
    assert [ref for _, ref in stage.cluster.writes].count(FLAGS) == 1


async def test_without_the_operator_everybody_is_back_at_stable_when_the_lease_is_over() -> None:
    stage, v1 = await serving(slots=True)
    v2 = await stage.apply("v2", GOOD)
    await stage.run(300, until="half")
    assert 0 < stage.reach()[v2][0] < 1
    stage.now += 21
    assert stage.reach()[v1] == (1.0, 0.0)


async def test_a_share_that_somebody_raised_is_taken_back_and_told() -> None:
    stage, _ = await serving(slots=True)
    v2 = await stage.apply("v2", GOOD)
    await stage.run(300, until="canary-10")
    await _edit(stage, 9_000)
    await stage.step()
    assert stage.reach()[v2][0] < 0.2
    assert "DriftUndone" in stage.told.causes


async def test_a_share_that_somebody_lowered_is_left_and_not_raised_by_the_next_lease() -> None:
    stage, _ = await serving(slots=True)
    v2 = await stage.apply("v2", GOOD)
    await stage.run(300, until="half")
    await stage.step()
    await _edit(stage, 100)
    for _ in range(15):
        await stage.step()
        assert stage.reach()[v2][0] < 0.05
    assert (await stage.release()).status.verdict == "LoweredFromOutside"


async def test_a_return_to_the_revision_before_is_one_write_of_the_flags() -> None:
    stage, v1 = await serving(slots=False)
    v2 = await stage.apply("v2", GOOD)
    await stage.run(400, until="Promoted")
    assert stage.reach()[v2] == (1.0, 0.0)
    ref = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
    await stage.cluster.merge(ref, {"spec": {"rollback": {"to": v1, "of": v2}}})
    await stage.step()
    assert stage.reach()[v1] == (1.0, 0.0)


async def test_shared_bundles_are_stables_and_one_more() -> None:
    stage, v1 = await serving(slots=False)
    ref = Ref(kinds.CONFIG_MAP, NAMESPACE, f"{AGENT}-bundles")
    assert set(stage.cluster.objects[ref]["data"]) == {f"{v1}.json"}
    v2 = await stage.apply("v2", GOOD)
    await stage.run(400, until="Promoted")
    assert set(stage.cluster.objects[ref]["data"]) == {f"{v1}.json", f"{v2}.json"}
    v3 = await stage.apply("v3", GOOD)
    await stage.run(400, until="Promoted")
    assert set(stage.cluster.objects[ref]["data"]) == {f"{v2}.json", f"{v3}.json"}


async def test_shared_pods_that_do_not_report_the_bundle_are_waited_for() -> None:
    stage = FlagStage(slots=False)
    await stage.install()
    stage.missing.add("agentrelease_info")
    v1 = await stage.apply("v1")
    for _ in range(10):
        await stage.step()
    assert (await stage.release()).status.verdict == "TelemetryMissing"
    assert stage.served("a") == ""
    stage.missing.clear()
    await stage.run(10, until="Promoted")
    assert stage.served("a") == v1


async def _edit(stage: FlagStage, weight: int) -> None:
    """Patch the share by hand, as somebody with kubectl would."""
    obj = await stage.cluster.get(FLAGS)
    assert obj is not None
    document = json.loads(obj["data"][f"{AGENT}.flagd.json"])
    rule = document["flags"][f"{AGENT}.release"]["targeting"]["if"][1]
    while "fractional" not in rule:
        rule = rule["if"][2] if rule["if"][1] == "candidate" else rule["if"][1]
    rule["fractional"][1][1], rule["fractional"][2][1] = weight, 10_000 - weight
    await stage.cluster.replace(obj | {"data": {f"{AGENT}.flagd.json": json.dumps(document)}})


@both
async def test_a_first_release_by_phases_gives_each_phase_its_share_and_nobody_else_a_revision(
    slots: bool,
) -> None:
    stage = FlagStage(slots=slots)
    await stage.install(bounded())
    v1 = await stage.apply("v1", GOOD, firstRelease="phases")
    shares = {}
    for _ in range(600):
        await stage.step()
        status = (await stage.release()).status
        if status.candidate and status.candidate.confirmed_at:
            shares[status.phase] = stage.reach().get(v1, (0.0, 0.0))[0]
        if status.phase == "Promoted":
            break
    assert status.phase == "Promoted"
    wanted = {"internal": 0.0, "canary-10": 0.1, "half": 0.5, "all": 1.0, "full": 1.0}
    assert {name: share for name, share in shares.items() if name != "Promoted"} == pytest.approx(
        wanted, abs=0.05
    )
