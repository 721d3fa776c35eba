"""Undoing what a rolled-back candidate did: a cluster in memory, real HTTP for logs and hooks."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from tests.support.effects import ROLLBACK, on_stage, pod, undone_though_killed
from tests.support.stage import AGENT, NAMESPACE, Behaviour

from agentrelease.core.compensation import PART
from agentrelease.edges import kinds
from agentrelease.edges.endpoints import HttpHook, JobHook
from agentrelease.edges.hooks import EndpointHooks
from agentrelease.engine.ports import Conflict, Ref, Unavailable
from agentrelease.sdk import ActionLog


@pytest.fixture
async def scene(tmp_path):
    async with on_stage(tmp_path) as made:
        yield made


async def test_every_effect_of_a_rolled_back_candidate_is_undone_newest_first(scene):
    revision = await scene.candidate()
    scene.act("kb.search", "read")
    first = scene.act("ticket.comment", "write")
    scene.act("ticket.comment", "write", disposition="suggested")
    second = scene.act("payments.refund", "irreversible", disposition="approved")
    third = scene.act("ticket.comment", "write")
    await scene.compensator.look()
    assert scene.ledger.calls == []
    await scene.roll_back(revision)
    account = await scene.settle(revision)
    assert scene.ledger.calls == [third, second, first]
    assert (account["state"], account["undone"], account["failed"], account["lost"]) == ("Done", 3, 0, 0)


async def test_nothing_is_undone_before_the_rollback_is_over(scene):
    revision = await scene.candidate()
    scene.act("ticket.comment", "write")
    await scene.run(60, until="canary-10")
    await scene.run(3)
    release = await scene.cluster.get(Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT))
    scene.prometheus_up = False  # so that the end of its traffic can't be shown
    order = {**ROLLBACK, "to": "elsewhere", "of": revision}
    await scene.cluster.replace(release | {"spec": {**release["spec"], "rollback": order}})
    await scene.run(20)
    for _ in range(5):
        await scene.compensator.look()
    assert (await scene.release()).status.phase == "RollingBack"
    assert scene.ledger.calls == []


async def test_a_compensation_that_fails_twice_and_then_succeeds_ran_its_effect_once(scene):
    revision = await scene.candidate()
    effect = scene.act("ticket.comment", "write")
    scene.ledger.failures = 2
    scene.ledger.reply_lost = 1
    await scene.roll_back(revision)
    account = await scene.settle(revision)
    assert scene.ledger.calls == [effect] * 4
    assert [one["id"] for one in scene.ledger.undone.values()] == [effect]
    assert (account["state"], account["undone"]) == ("Done", 1)
    assert [cause for cause, _ in scene.notes.troubles] == ["CompensationFailing"]


async def test_a_process_killed_at_any_write_goes_on_with_the_same_keys(tmp_path):
    """Every write of the compensator is once the last one that its process makes."""
    for number in range(1, 40):
        async with on_stage(tmp_path) as scene:
            revision = await scene.candidate()
            effects = [scene.act("ticket.comment", "write", f"s{n}") for n in range(3)]
            await scene.roll_back(revision)
            if not await undone_though_killed(scene, number, revision, effects):
                assert number > 4
                return
    raise AssertionError("it never came to its end")


async def test_effects_seen_before_their_pod_went_are_undone_and_the_unread_end_is_told(scene):
    revision = await scene.candidate()
    effect = scene.act("ticket.comment", "write")
    await scene.compensator.look()
    await scene.cluster.delete(Ref(kinds.POD, NAMESPACE, "green-1"))
    await scene.roll_back(revision)
    account = await scene.settle(revision)
    assert scene.ledger.calls == [effect]
    assert account["state"] == "Incomplete"
    assert "what green-1 did after record 1 is unknown" in account["message"]
    assert ("CompensationIncomplete", account["message"]) in scene.notes.troubles


async def test_a_restarted_process_has_a_new_log_and_the_old_one_ended_unread(scene):
    revision = await scene.candidate()
    old = scene.act("ticket.comment", "write")
    await scene.compensator.look()
    scene.log = ActionLog(revision, now=lambda: datetime.fromtimestamp(scene.now, UTC))
    new = scene.act("ticket.comment", "write", "s2")
    await scene.roll_back(revision)
    account = await scene.settle(revision)
    assert set(scene.ledger.calls) == {old, new}
    assert account["state"] == "Incomplete"
    assert [log["gone"] for log in account["logs"]] == [True, False]


async def test_records_that_a_log_has_dropped_are_counted_as_lost(scene):
    revision = await scene.candidate()
    scene.log = ActionLog(revision, capacity=2, now=lambda: datetime.fromtimestamp(scene.now, UTC))
    for _ in range(5):
        scene.act("ticket.comment", "write")
    await scene.roll_back(revision)
    account = await scene.settle(revision)
    assert account["lost"] == 3
    assert account["state"] == "Incomplete"


async def test_a_refusal_is_final_recorded_and_told_and_holds_nobody_up(scene):
    revision = await scene.candidate()
    old = scene.act("ticket.comment", "write")
    new = scene.act("ticket.comment", "write")
    scene.ledger.failures, scene.ledger.status = 1, 422
    await scene.roll_back(revision)
    account = await scene.settle(revision)
    assert scene.ledger.calls == [new, old]
    assert account["state"] == "Incomplete"
    assert [failure["effect"] for failure in account["failures"]] == [new]
    assert "CompensationFailed" in [cause for cause, _ in scene.notes.troubles]
    revised = await scene.cluster.get(Ref(kinds.AGENT_REVISION, NAMESPACE, revision))
    (condition,) = revised["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Compensated", "False")


async def test_a_superseded_candidates_effects_stay(scene):
    revision = await scene.candidate()
    scene.act("ticket.comment", "write")
    await scene.compensator.look()
    await scene.apply("v3", rollback=ROLLBACK)
    await scene.run(30)
    account = await scene.settle(revision)
    assert account["state"] == "NotNeeded"
    assert scene.ledger.calls == []


async def test_a_superseded_candidates_effects_stay_although_its_successor_is_rolled_back(scene):
    revision = await scene.candidate()
    scene.act("ticket.comment", "write")
    await scene.compensator.look()
    await scene.apply("v3", Behaviour(completion=0.2), rollback=ROLLBACK)
    await scene.run(200, until="RolledBack")
    assert (await scene.settle(revision))["state"] == "NotNeeded"
    assert scene.ledger.calls == []


async def test_effects_of_another_revision_and_of_an_earlier_rollout_stay(scene):
    revision = await scene.candidate()
    began = scene.now
    scene.now -= 3600
    scene.act("ticket.comment", "write")
    scene.now = began
    scene.log._release = "support-0000000000"
    scene.act("ticket.comment", "write")
    scene.log._release = revision
    mine = scene.act("ticket.comment", "write")
    await scene.roll_back(revision)
    account = await scene.settle(revision)
    assert scene.ledger.calls == [mine]
    assert account["effects"] == 1


async def test_the_bundle_says_how_grave_a_tool_is_not_the_log(scene):
    revision = await scene.candidate()
    scene.act("payments.refund", "read")
    unknown = scene.act("mail.send", "write")
    await scene.roll_back(revision)
    await scene.settle(revision)
    assert len(scene.ledger.calls) == 2
    assert {one["class"] for one in scene.ledger.undone.values()} == {"irreversible"}
    assert unknown in scene.ledger.calls


async def test_without_compensations_nobody_reads_a_log(scene):
    revision = await scene.apply("v4")
    await scene.run(5)
    scene.log = None  # a reader would break on it
    await scene.cluster.create(pod("green-1", "green", revision))
    await scene.compensator.look()
    obj = await scene.cluster.get(Ref(kinds.AGENT_REVISION, NAMESPACE, revision))
    assert "compensation" not in (obj.get("status") or {})


async def test_a_pod_on_its_nodes_network_is_not_called(scene):
    revision = await scene.candidate()
    await scene.cluster.create(pod("green-2", "green", revision, hostNetwork=True))
    slots = (await scene.release()).spec.delivery.slots
    assert [one.name for one in await scene.logs.pods(NAMESPACE, slots["green"], revision)] == ["green-1"]


async def test_a_book_of_many_parts_is_undone_whole(scene):
    revision = await scene.candidate()
    for number in range(PART * 2 + 7):
        scene.act("ticket.comment", "write", f"s{number}")
        if number % 200 == 0:
            await scene.compensator.look()
    await scene.roll_back(revision)
    await scene.process()
    account = await scene.settle(revision)
    assert (account["state"], account["undone"]) == ("Done", PART * 2 + 7)
    assert len(scene.ledger.calls) == len(set(scene.ledger.calls)) == PART * 2 + 7


async def test_a_hook_that_the_administrator_does_not_know_is_told_at_once(scene):
    scene.hooks.clear()
    await scene.process()
    await scene.candidate()
    assert (
        "CompensationImpossible",
        "the operator's settings know no hook undo-writes",
    ) in scene.notes.troubles


async def test_a_hook_is_only_for_the_namespaces_it_names(scene):
    hook = HttpHook(name="undo", url=scene.url, hmac_secret_file=scene.secret, namespaces=("bank",))
    hooks = EndpointHooks([hook], scene.cluster)
    assert hooks.problem("undo", NAMESPACE) == f"hook undo is not for releases in {NAMESPACE}"
    assert hooks.problem("undo", "bank") == ""
    await hooks.close()


async def test_an_unreachable_api_server_and_a_lost_race_are_tried_again(scene):
    revision = await scene.candidate()
    scene.act("ticket.comment", "write")
    await scene.roll_back(revision)
    troubles = [Unavailable("no"), Conflict("no"), Unavailable("no")]

    async def fail(verb, ref):
        if troubles and verb in ("merge", "replace", "create"):
            raise troubles.pop()

    scene.cluster.before = fail
    account = await scene.settle(revision)
    assert not troubles
    assert account["state"] == "Done"
    assert len(scene.ledger.undone) == 1


async def test_a_job_undoes_an_effect_and_is_made_once(scene):
    template = {"template": {"spec": {"containers": [{"name": "undo", "image": "undo@sha256:0"}]}}}
    scene.hooks[:] = [JobHook(name=n, job=template) for n in ("undo-writes", "refund-back")]
    await scene.process()
    revision = await scene.candidate()
    effect = scene.act("ticket.comment", "write", "$(SECRET)")
    await scene.roll_back(revision)
    for _ in range(3):
        await scene.compensator.look()
        scene.now += 10
    (job,) = [obj for ref, obj in scene.cluster.objects.items() if ref.kind == kinds.JOB]
    env = {one["name"]: one["value"] for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    given = json.loads(env["COMPENSATION"].replace("$$(", "$("))
    assert (given["effect"]["id"], given["effect"]["session"]) == (effect, "$(SECRET)")
    assert given["key"] == env["COMPENSATION_KEY"]
    assert job["metadata"]["namespace"] == NAMESPACE
    assert (await scene.account(revision))["state"] == "Undoing"
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    account = await scene.settle(revision)
    assert (account["state"], account["undone"]) == ("Done", 1)
    assert scene.notes.troubles == []


async def test_a_failed_job_is_followed_by_another_and_in_the_end_given_up(scene):
    template = {"template": {"spec": {"containers": [{"name": "undo", "image": "undo@sha256:0"}]}}}
    scene.hooks[:] = [JobHook(name=n, job=template) for n in ("undo-writes", "refund-back")]
    await scene.process()
    revision = await scene.candidate()
    scene.act("ticket.comment", "write")
    await scene.roll_back(revision)
    for _ in range(10):
        await scene.compensator.look()
        scene.now += 10
        for ref, obj in scene.cluster.objects.items():
            if ref.kind == kinds.JOB:
                obj["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    account = await scene.settle(revision)
    jobs = [ref.name for ref in scene.cluster.objects if ref.kind == kinds.JOB]
    assert len(jobs) == 5
    assert (account["state"], account["failed"]) == ("Incomplete", 1)


async def test_a_slow_hook_holds_up_no_look_of_the_operator(scene):
    revision = await scene.candidate()
    scene.act("ticket.comment", "write")
    await scene.roll_back(revision)
    called, answered = asyncio.Event(), asyncio.Event()
    answer = scene.ledger.answer

    async def slow(request):
        called.set()
        await answered.wait()
        return await answer(request)

    scene.ledger.answer = slow
    undoing = asyncio.create_task(scene.compensator.look())
    async with asyncio.timeout(20):
        await called.wait()
    bad = await scene.apply("v3", Behaviour(completion=0.3), rollback=ROLLBACK)
    for _ in range(60):
        await scene.step()
        if (await scene.release()).status.phase == "RolledBack" and scene.told.causes[-1] == "Refused":
            break
    assert not undoing.done()
    assert any(one.revision == bad for one in (await scene.release()).status.refused)
    answered.set()
    await undoing
