"""Who holds a revision, over whole rollouts: it says by whom, and goes as soon as nobody holds it."""

from __future__ import annotations

from typing import Any

from tests.api.manifests import incident
from tests.support.stage import AGENT, NAMESPACE, Behaviour, Stage

from agentrelease.api.vocabulary import HELD_ANNOTATION, HELD_FINALIZER, OVERRIDE_ANNOTATION
from agentrelease.edges import kinds
from agentrelease.engine.ports import Object, Ref, Unavailable

BETTER, WORSE = Behaviour(completion=0.94, violations=0.005), Behaviour(violations=0.3)
RELEASE = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)


async def serving(prompt: str = "v1") -> tuple[Stage, str]:
    stage = Stage()
    await stage.install()
    revision = await stage.apply(prompt)
    await stage.run(20, until="Promoted")
    await stage.step()
    return stage, revision


async def stored(stage: Stage, revision: str) -> Object | None:
    return await stage.cluster.get(Ref(kinds.AGENT_REVISION, NAMESPACE, revision))


async def held(stage: Stage, revision: str) -> str:
    """Return who holds a revision; the finalizer is there exactly when somebody does."""
    obj = await stored(stage, revision)
    assert obj is not None
    words: str = (obj["metadata"].get("annotations") or {}).get(HELD_ANNOTATION, "")
    assert (HELD_FINALIZER in obj["metadata"].get("finalizers", [])) is bool(words)
    return words


async def opened(stage: Stage, revision: str, **changes: Any) -> Ref:
    wanted = incident("ainc-1")
    wanted["metadata"]["namespace"] = NAMESPACE
    wanted["spec"] |= {"revision": revision, **changes}
    await stage.cluster.create(wanted)
    stage.keeper.changed(f"{NAMESPACE}/{AGENT}")  # as the feed would tell it
    return Ref(kinds.AGENT_INCIDENT, NAMESPACE, "ainc-1")


async def test_every_revision_that_a_rollback_would_need_says_for_what() -> None:
    stage, v1 = await serving()
    assert await held(stage, v1) == "stable of release support"
    v2 = await stage.apply("v2", BETTER)
    await stage.run(60, until="shadow")
    await stage.step()
    assert await held(stage, v2) == "candidate of release support"
    await stage.run(400, until="Promoted")
    await stage.step()
    assert await held(stage, v2) == "stable of release support"
    assert await held(stage, v1) == "previous of release support"


async def test_a_rolled_back_candidate_is_held_by_nobody_and_can_go() -> None:
    stage, v1 = await serving()
    bad = await stage.apply("v2", WORSE)
    await stage.run(200, until="RolledBack")
    await stage.step()
    assert await held(stage, bad) == ""
    await stage.cluster.delete(Ref(kinds.AGENT_REVISION, NAMESPACE, bad))
    assert await stored(stage, bad) is None
    assert await held(stage, v1) == "stable of release support"


async def test_an_order_holds_its_target_until_it_is_taken_back() -> None:
    stage, v1 = await serving()
    await stage.apply("v2", BETTER)
    await stage.run(400, until="Promoted")
    await stage.apply("v3", BETTER)
    await stage.run(5)
    await stage.run(400, until="Promoted")
    await stage.step()
    assert await held(stage, v1) == ""
    await stage.apply("v3", rollback={"to": v1, "of": "support-0000000000"})
    await stage.run(3)
    assert await held(stage, v1) == "rollback target of release support"
    await stage.apply("v3")
    await stage.run(3)
    assert await held(stage, v1) == ""


async def test_an_open_incident_holds_its_revision_and_a_closed_one_does_not() -> None:
    stage, v1 = await serving()
    bad = await stage.apply("v2", WORSE)
    await stage.run(200, until="RolledBack")
    ref = await opened(stage, bad)
    await stage.step()
    assert await held(stage, bad) == "open incident ainc-1"
    await opened_of_stable(stage, v1)
    await stage.step()
    assert await held(stage, v1) == "stable of release support; open incident ainc-2"
    await stage.cluster.merge(
        ref, {"spec": {"closed": True}, "metadata": {"resourceVersion": await version(stage, ref)}}
    )
    stage.keeper.changed(f"{NAMESPACE}/{AGENT}")
    await stage.step()
    assert await held(stage, bad) == ""


async def opened_of_stable(stage: Stage, revision: str) -> None:
    wanted = incident("ainc-2")
    wanted["metadata"]["namespace"] = NAMESPACE
    wanted["spec"] |= {"revision": revision}
    await stage.cluster.create(wanted)
    stage.keeper.changed("")


async def version(stage: Stage, ref: Ref) -> str:
    obj = await stage.cluster.get(ref)
    assert obj is not None
    return str(obj["metadata"]["resourceVersion"])


async def test_what_was_deleted_while_it_was_held_goes_when_nobody_holds_it_any_more() -> None:
    stage, v1 = await serving()
    await stage.cluster.delete(Ref(kinds.AGENT_REVISION, NAMESPACE, v1))  # as the garbage collector does
    await stage.step()
    assert await held(stage, v1) == "stable of release support"
    await stage.cluster.delete(RELEASE)
    for _ in range(5):
        await stage.step()
    assert await stage.cluster.get(RELEASE) is None
    assert await stored(stage, v1) is None


async def test_a_release_that_is_deleted_in_mid_rollout_leaves_nothing_that_holds() -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2", BETTER)
    await stage.run(100, until="half")
    await stage.cluster.delete(RELEASE)
    for revision in (v1, v2):
        await stage.cluster.delete(Ref(kinds.AGENT_REVISION, NAMESPACE, revision))
    await stage.step(looks=1)
    assert await held(stage, v2) == "candidate of release support"
    for _ in range(20):
        await stage.step()
    assert [ref for ref in stage.cluster.objects if ref.kind == kinds.AGENT_REVISION] == []
    assert await stage.cluster.get(RELEASE) is None


async def test_an_operator_that_died_between_two_writes_is_made_good_for_by_the_next_one() -> None:
    stage, v1 = await serving()
    await stage.apply("v2", BETTER)
    await stage.run(400, until="Promoted")
    await stage.step()
    stage.keeper.look = nothing  # type: ignore[method-assign]  it dies before it lets v1 go
    await stage.apply("v3", BETTER)
    await stage.run(5)
    await stage.run(400, until="Promoted")
    assert await held(stage, v1) == "previous of release support"
    stage.operator = stage.new_operator()
    await stage.step()
    assert await held(stage, v1) == ""


async def nothing() -> bool:
    return True


async def test_a_release_that_was_deleted_while_no_operator_ran_is_found_by_its_revisions() -> None:
    stage, v1 = await serving()
    stage.cluster.objects.pop(RELEASE)
    await stage.cluster.delete(Ref(kinds.AGENT_REVISION, NAMESPACE, v1))
    stage.operator = stage.new_operator()
    await stage.keeper.look()
    assert await stored(stage, v1) is None


async def test_a_release_made_anew_takes_over_its_kept_revisions() -> None:
    stage, v1 = await serving()
    old = stage.cluster.objects.pop(RELEASE)
    again = {**old, "metadata": {"name": AGENT, "namespace": NAMESPACE}}
    again.pop("status")
    made = await stage.cluster.create(again)
    await stage.run(20, until="Promoted")
    obj = await stored(stage, v1)
    assert obj is not None
    assert [owner["uid"] for owner in obj["metadata"]["ownerReferences"]] == [made["metadata"]["uid"]]


async def test_a_rollout_waits_until_an_earlier_revision_of_its_name_is_gone() -> None:
    stage, _ = await serving()
    bad = await stage.apply("v2", WORSE)
    await stage.run(200, until="RolledBack")
    await opened(stage, bad)
    await stage.step()
    await stage.cluster.delete(Ref(kinds.AGENT_REVISION, NAMESPACE, bad))  # stays: the case is open
    digest = (await stage.release()).status.refused[-1].digest
    meta = stage.cluster.objects[RELEASE]["metadata"]
    meta["annotations"] = {OVERRIDE_ANNOTATION: digest}
    await stage.run(5)
    assert (await stage.release()).status.candidate is None
    assert any("is being deleted" in why for _, why in stage.told.failures)
    await stage.cluster.delete(Ref(kinds.AGENT_INCIDENT, NAMESPACE, "ainc-1"))
    stage.keeper.changed("")
    await stage.run(30, until="shadow")
    obj = await stored(stage, bad)
    assert obj is not None
    assert "deletionTimestamp" not in obj["metadata"]


async def test_holders_that_cannot_be_written_stop_nothing_and_are_written_later() -> None:
    stage = Stage()
    await stage.install()
    broken = True

    async def failing(verb: str, ref: Ref) -> None:
        if broken and verb == "merge" and ref.kind == kinds.AGENT_REVISION:
            raise Unavailable("503")

    stage.cluster.before = failing
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    assert ("revision holders", "503") in stage.told.failures
    assert await held(stage, v1) == ""
    broken = False
    await stage.step()
    assert await held(stage, v1) == "stable of release support"


async def test_what_nobody_changed_is_not_written_again() -> None:
    stage, v1 = await serving()
    before = len([ref for _, ref in stage.cluster.writes if ref.kind == kinds.AGENT_REVISION])
    stage.keeper.changed("")
    await stage.keeper.look()
    after = len([ref for _, ref in stage.cluster.writes if ref.kind == kinds.AGENT_REVISION])
    assert (await held(stage, v1), after) == ("stable of release support", before)


async def test_a_finalizer_of_somebody_else_stays() -> None:
    stage, v1 = await serving()
    ref = Ref(kinds.AGENT_REVISION, NAMESPACE, v1)
    stage.cluster.objects[ref]["metadata"]["finalizers"].append("example.com/backup")
    await stage.cluster.delete(RELEASE)
    for _ in range(5):
        await stage.step()
    assert stage.cluster.objects[ref]["metadata"]["finalizers"] == ["example.com/backup"]
