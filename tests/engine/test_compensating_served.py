"""Undoing what a revision did after its promotion, when it is taken back from serving."""

from copy import deepcopy
from datetime import UTC, datetime

import pytest
from tests.support.effects import ROLLBACK, Ledger, on_stage, undone_though_killed
from tests.support.stage import AGENT, NAMESPACE, Behaviour

from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref
from agentrelease.sdk import ActionLog

WINDOW = {"compensationWindow": "60s"}
HARMFUL = Behaviour(violations=0.3)


@pytest.fixture
async def scene(tmp_path):
    async with on_stage(tmp_path) as made:
        yield made


async def promoted(scene, **watch):
    revision = await scene.candidate(watch=watch)
    await scene.run(400, until="Promoted")
    await scene.compensator.look()
    return revision


async def serve(scene, seconds):
    for second in range(seconds):
        await scene.step(looks=1)
        if second % 5 == 0:
            await scene.compensator.look()


async def test_what_it_did_in_the_window_before_the_watch_returned_from_it_is_undone(scene):
    revision = await scene.candidate(watch=WINDOW)
    scene.act("ticket.comment", "write")  # while it rolled out
    await scene.run(400, until="Promoted")
    scene.act("ticket.comment", "write")
    await scene.compensator.look()
    # another process takes its Pod's place, and what the first one did last is soon too old to matter
    scene.log = ActionLog(revision, now=lambda: datetime.fromtimestamp(scene.now, UTC))
    scene.act("ticket.comment", "write")
    await serve(scene, 90)
    first = scene.act("ticket.comment", "write")
    await scene.compensator.look()
    assert (await scene.account(revision))["state"] == "Collecting"
    await scene.process()
    scene.behaviours[revision] = HARMFUL
    await scene.run(60, until="RolledBack")
    late = scene.act("payments.refund", "irreversible")  # by an agent that has not taken up its flags yet
    await scene.compensator.look()
    later = scene.act("ticket.comment", "write")
    account = await scene.settle(revision)
    assert scene.ledger.calls == [later, late, first]
    assert (account["state"], account["undone"], account["effects"]) == ("Done", 3, 3)


async def test_a_process_killed_at_any_write_undoes_each_effect_under_one_key(scene):
    revision = await promoted(scene, **WINDOW)
    effects = [scene.act("ticket.comment", "write", f"s{number}") for number in range(3)]
    order = {**ROLLBACK, "to": (await scene.release()).status.previous.revision, "of": revision}
    release = await scene.cluster.get(Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT))
    await scene.cluster.replace(release | {"spec": {**release["spec"], "rollback": order}})
    await scene.run(5, until="RolledBack")
    stored, then = deepcopy(scene.cluster.objects), scene.now
    for number in range(1, 40):
        scene.cluster.objects, scene.now, scene.ledger = deepcopy(stored), then, Ledger()
        await scene.process()
        if not await undone_though_killed(scene, number, revision, effects):
            assert number > 4
            return
    raise AssertionError("it never came to its end")


async def test_a_watch_that_ends_leaves_everything_as_it_is(scene):
    revision = await promoted(scene, duration="30s")
    scene.act("ticket.comment", "write")
    await serve(scene, 40)
    assert (await scene.account(revision))["state"] == "NotNeeded"
    scene.behaviours[revision] = HARMFUL
    await serve(scene, 60)
    assert scene.ledger.calls == []


async def test_a_release_may_want_nothing_undone_of_what_served(scene):
    revision = await promoted(scene, compensationWindow="0s")
    scene.act("ticket.comment", "write")
    scene.behaviours[revision] = HARMFUL
    await scene.run(60, until="RolledBack")
    assert (await scene.settle(revision))["state"] == "NotNeeded"
    assert scene.ledger.calls == []
