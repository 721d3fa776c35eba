"""Somebody wipes a release's status, or restores it from a backup that has none: nothing is promoted by that.

What serves goes on serving, what was on its way goes to zero, and the rollout begins anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.memory_cluster import no_fault
from tests.support.stage import AGENT, KEY, NAMESPACE, Behaviour, Stage, bounded

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.explanation import explain
from agentrelease.edges import kinds
from agentrelease.engine.ports import ClusterError, Ref, Unavailable

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease

RELEASE = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
FLAGS = Ref(kinds.CONFIG_MAP, NAMESPACE, "support-flags")
PHASES = ("shadow", "internal", "canary-10", "half", "all", "full")


async def wipe(stage: Stage, ref: Ref = RELEASE) -> None:
    """Do what ``kubectl replace --subresource=status`` does with an empty status."""
    stored = await stage.cluster.get(ref)
    assert stored is not None
    await stage.cluster.replace(stored | {"status": {}}, subresource="status")


async def wipe_revisions(stage: Stage) -> None:
    for ref in [ref for ref in stage.cluster.objects if ref.kind == kinds.AGENT_REVISION]:
        await wipe(stage, ref)


async def rolling(phase: str, seed: int = 7) -> tuple[Stage, str, str]:
    stage = Stage(seed=seed)
    await stage.install()
    v1 = await stage.apply("v1")
    await stage.run(40, until="Promoted")
    v2 = await stage.apply("v2", Behaviour(completion=0.94, violations=0.005))
    await stage.run(400, until=phase)
    return stage, v1, v2


async def look(stage: Stage) -> AgentRelease:
    await stage.operator.reconcile(KEY)
    return await stage.release()


def slot_of(stage: Stage, revision: str) -> str:
    found = [slot for slot in ("blue", "green") if stage._revision_of(f"{AGENT}-{slot}") == revision]
    assert len(found) == 1
    return found[0]


def only_serving(stage: Stage, stable: str, candidate: str) -> None:
    assert stage.reach()[candidate] == (0.0, 0.0)
    assert stage.reach()[stable][0] == 1.0
    assert stage.cohort() == ""
    assert stage.level(candidate) is Autonomy.OBSERVE


@pytest.mark.parametrize("phase", PHASES)
async def test_in_every_phase_stable_goes_on_and_the_candidate_begins_anew(phase: str) -> None:
    stage, v1, v2 = await rolling(phase)
    before, slot = await stage.release(), slot_of(stage, v1)
    await wipe(stage)
    release = await look(stage)
    assert release.status.verdict == "StatusLost"
    assert release.status.stable is not None
    assert before.status.stable is not None
    assert release.status.stable.model_dump(exclude={"since"}) == before.status.stable.model_dump(
        exclude={"since"}
    )
    only_serving(stage, v1, v2)
    assert stage.level(v1) is Autonomy.FULL_ACTION
    stage.told.causes.clear()
    seen = []
    for _ in range(500):
        await stage.step()
        assert slot_of(stage, v1) == slot, "what serves is not overwritten"
        now = (await stage.release()).status.phase
        if not seen or seen[-1] != now:
            seen.append(now)
        if now == "Promoted":
            break
    assert [phase for phase in seen if phase in PHASES] == list(PHASES)
    assert seen[-1] == "Promoted"
    assert "FirstRelease" not in stage.told.causes


@pytest.mark.parametrize("phase", ["half", "full"])
async def test_what_agents_do_before_they_take_up_the_loss_is_no_breach_of_the_new_beginning(
    phase: str,
) -> None:
    stage, _, v2 = await rolling(phase)
    for _ in range(3):
        await stage.step()
    stage.lag = 6
    await wipe(stage)
    await look(stage)
    release = await stage.run(600, until="Promoted")
    assert release.status.refused == []
    assert release.status.stable is not None
    assert release.status.stable.revision == v2


async def test_what_agents_do_after_they_reported_the_lower_level_is_one() -> None:
    stage, _, v2 = await rolling("half")
    await wipe(stage)
    await stage.run(60, until="shadow")
    for _ in range(4):
        await stage.step()
    stage.behaviours[v2] = Behaviour(completion=0.94, violations=0.005, rogue=1.0)
    release = await stage.run(5, until="RolledBack")
    assert "forbidden-action" in release.status.refused[-1].reason


async def test_the_log_goes_on_where_it_ended_and_the_recovery_can_be_explained() -> None:
    stage, _, _ = await rolling("canary-10")
    head = (await stage.release()).status.decision
    assert head is not None
    await wipe(stage)
    release = await look(stage)
    entry = stage.entries[-1].content
    assert entry["outcome"]["cause"] == "StatusLost"
    assert (entry["sequence"], entry["previous"]) == (head.sequence + 1, head.hash)
    assert release.status.decision is not None
    assert release.status.decision.sequence == head.sequence + 1
    assert explain(entry).reproduced


async def test_what_had_been_promoted_last_serves_on_without_a_rollout() -> None:
    stage, v1, v2 = await rolling("Promoted")
    await wipe(stage)
    release = await look(stage)
    assert release.status.stable is not None
    assert release.status.stable.revision == v2
    await stage.run(20)
    release = await stage.release()
    assert (release.status.phase, release.status.candidate) == ("Promoted", None)
    only_serving(stage, v2, v1)
    assert stage.level(v2) is Autonomy.FULL_ACTION


async def test_what_was_rolled_back_stays_refused() -> None:
    stage, v1, _ = await rolling("Promoted")
    v3 = await stage.apply("v3", Behaviour(completion=0.99, violations=0.15))
    await stage.run(200, until="RolledBack")
    await wipe(stage)
    await stage.run(20)
    release = await stage.release()
    assert [(one.revision, "policy-violations" in one.reason) for one in release.status.refused] == [
        (v3, True)
    ]
    assert (release.status.phase, release.status.candidate) == ("RolledBack", None)
    assert v1 != v3


async def test_restored_from_a_backup_without_any_status_the_flags_tell_who_serves() -> None:
    stage, v1, v2 = await rolling("all")
    await wipe_revisions(stage)
    await wipe(stage)
    release = await look(stage)
    assert release.status.stable is not None
    assert release.status.stable.revision == v1
    assert release.status.stable.autonomy is Autonomy.FULL_ACTION
    only_serving(stage, v1, v2)


async def test_without_flags_the_kept_revisions_tell_and_the_level_is_the_lowest() -> None:
    stage, v1, v2 = await rolling("all")
    await stage.cluster.delete(FLAGS)
    await wipe(stage)
    release = await look(stage)
    assert release.status.stable is not None
    assert (release.status.stable.revision, release.status.stable.autonomy) == (v1, Autonomy.OBSERVE)
    only_serving(stage, v1, v2)


async def test_a_candidate_at_all_traffic_is_not_taken_for_stable_and_a_person_may_say_who_is() -> None:
    stage, v1, v2 = await rolling("full")
    await stage.cluster.delete(FLAGS)
    await wipe_revisions(stage)
    await wipe(stage)
    reach = stage.reach()
    await stage.run(30)
    release = await stage.release()
    assert release.status.verdict == "StableUnknown"
    assert "spec.rollback.to" in release.status.reason
    assert (release.status.stable, release.status.candidate) == (None, None)
    assert stage.reach() == reach, "nobody knows where else to send them"
    assert stage.level(v1) is stage.level(v2) is Autonomy.OBSERVE
    await stage.cluster.merge(RELEASE, {"spec": {"rollback": {"to": v1, "of": v2}}})
    release = await look(stage)
    assert release.status.stable is not None
    assert release.status.stable.revision == v1
    only_serving(stage, v1, v2)


async def test_flags_of_nobody_known_are_taken_back_while_stable_is_unknown() -> None:
    stage, v1, v2 = await rolling("full")
    await wipe_revisions(stage)
    del stage.cluster.objects[Ref(kinds.AGENT_REVISION, NAMESPACE, v1)]
    await wipe(stage)
    release = await look(stage)
    assert release.status.verdict == "StableUnknown"
    assert stage.level(v1) is stage.level(v2) is Autonomy.OBSERVE


@pytest.mark.parametrize("kind", [kinds.AGENT_REVISION, kinds.DEPLOYMENT, kinds.CONFIG_MAP])
async def test_while_it_cannot_be_read_who_served_nothing_begins(kind: object) -> None:
    stage, v1, v2 = await rolling("canary-10")
    await wipe(stage)
    before = stage.reach()

    async def fail(verb: str, ref: Ref) -> None:
        if ref.kind == kind and verb in ("get", "list"):
            raise Unavailable(f"{verb} {ref}: injected")

    stage.cluster.before = fail
    for _ in range(5):
        try:
            await stage.operator.reconcile(KEY)
        except ClusterError:
            continue
    assert stage.reach() == before
    assert (await stage.release()).status.candidate is None
    stage.cluster.before = no_fault
    release = await look(stage)
    assert release.status.stable is not None
    assert release.status.stable.revision == v1
    only_serving(stage, v1, v2)


async def test_a_promotion_that_died_before_the_flags_is_not_taken_for_one() -> None:
    stage, v1, v2 = await rolling("full")

    async def killed(verb: str, ref: Ref) -> None:
        if ref.kind in (kinds.HTTP_ROUTE, kinds.CONFIG_MAP) and verb != "get" and promoted():
            raise Unavailable(f"{verb} {ref}: injected")

    def promoted() -> bool:
        return stage.cluster.objects[RELEASE]["status"].get("phase") == "Promoted"

    stage.cluster.before = killed
    await stage.run(200, until="Promoted")
    stage.cluster.before = no_fault
    await wipe(stage)
    release = await look(stage)
    assert release.status.stable is not None
    assert release.status.stable.revision == v1, "the flags never said otherwise"
    only_serving(stage, v1, v2)


async def test_a_first_release_in_its_phases_begins_anew_and_may_do_nothing_until_then() -> None:
    stage = Stage(seed=7)
    await stage.install(bounded())
    v1 = await stage.apply("v1", Behaviour(completion=0.95, violations=0.001), firstRelease="phases")
    await stage.run(600, until="half")
    await stage.step()
    assert stage.level(v1) is Autonomy.LIMITED_ACTION
    await wipe(stage)
    release = await look(stage)
    assert release.status.verdict == "StatusLost"
    assert stage.level(v1) is Autonomy.OBSERVE
    seen = []
    for _ in range(200):
        await stage.step()
        seen.append((await stage.release()).status.phase)
        if seen[-1] == "canary-10":
            break
    assert list(dict.fromkeys(seen)) == ["Loading", "internal", "canary-10"]


async def test_a_status_that_forgot_its_stable_revision_alone_raises_nothing() -> None:
    stage, v1, v2 = await rolling("canary-10")
    stored = await stage.cluster.get(RELEASE)
    assert stored is not None
    status = {name: value for name, value in stored["status"].items() if name != "stable"}
    await stage.cluster.replace(stored | {"status": status}, subresource="status")
    release = await look(stage)
    assert release.status.verdict == "StatusLost"
    assert release.status.stable is not None
    assert release.status.stable.revision == v1
    only_serving(stage, v1, v2)


async def test_an_agent_whose_first_bundle_was_rolled_back_may_have_another() -> None:
    stage = Stage(seed=7)
    await stage.install(bounded())
    await stage.apply("v1", Behaviour(rogue=1.0), firstRelease="phases")
    await stage.run(60, until="RolledBack")
    await stage.apply("v2", Behaviour(), firstRelease="promote")
    await stage.run(20, until="Promoted")
    await wipe(stage)
    release = await look(stage)
    assert release.status.stable is not None
    assert release.status.verdict == "StatusLost"


async def test_killed_at_any_write_of_the_recovery_the_next_process_ends_it() -> None:
    for place in range(4):
        stage, v1, v2 = await rolling("half")
        await wipe(stage)
        left = [place]

        async def dies(verb: str, ref: Ref, left: list[int] = left) -> None:
            if verb not in ("get", "list"):
                left[0] -= 1
                if left[0] < 0:
                    raise Unavailable(f"{verb} {ref}: killed")

        stage.cluster.before = dies
        try:
            await stage.operator.reconcile(KEY)
        except ClusterError as error:
            assert "killed" in str(error)  # noqa: PT017 - some places let the look end
        stage.cluster.before = no_fault
        stage.operator = stage.new_operator()
        release = await look(stage)
        assert release.status.stable is not None
        assert release.status.stable.revision == v1
        only_serving(stage, v1, v2)
