"""The decision log over whole rollouts: entries replay bit for bit, and the chain outlives its writer."""

from __future__ import annotations

import json
import random

import pytest
from tests.support.stage import AGENT, NAMESPACE, Behaviour, Stage

from agentrelease.api.revision import MAX_DECISIONS, RevisionStatus
from agentrelease.core import copies
from agentrelease.core.chain import FaultKind, Link, check
from agentrelease.core.packing import packed
from agentrelease.core.record import replay
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref, Refused, Unavailable

BETTER = Behaviour(completion=0.94, violations=0.005)
WORSE = Behaviour(completion=0.99, violations=0.15)


async def serving(**spec) -> tuple[Stage, str]:
    stage = Stage()
    await stage.install()
    v1 = await stage.apply("v1", **spec)
    await stage.run(20, until="Promoted")
    return stage, v1


def revision(stage: Stage, name: str) -> RevisionStatus:
    obj = stage.cluster.objects[Ref(kinds.AGENT_REVISION, NAMESPACE, name)]
    return RevisionStatus.model_validate(obj.get("status") or {})


def links(stage: Stage) -> list[Link]:
    return [Link.of(json.loads(json.dumps(entry.content)), entry.hash) for entry in stage.entries]


async def faults(stage: Stage):
    return check(links(stage), (await stage.release()).status.decision)


async def reproduced(stage: Stage) -> int:
    """Replay every entry of the stream; how many there were."""
    for link in links(stage):
        assert link.entry is not None
        assert replay(link.entry["inputs"]) == link.entry["outcome"], link.entry["id"]
    assert await faults(stage) == ()
    return len(stage.entries)


async def test_a_promotion_and_a_rollback_replay_bit_for_bit_and_their_chain_holds() -> None:
    stage, _ = await serving()
    await stage.apply("v2", BETTER)
    await stage.run(400, until="Promoted")
    await stage.apply("v3", WORSE)
    await stage.run(200, until="RolledBack")
    assert await reproduced(stage) > 15
    moves = [link.entry["outcome"]["move"] for link in links(stage) if link.entry]
    assert {"Start", "Enter", "Promote", "Withdraw", "Finish"} <= set(moves)


async def test_a_blind_rollout_and_an_ordered_return_replay_bit_for_bit() -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2", BETTER)
    await stage.run(400, until="half")
    stage.prometheus_up = False
    await stage.run(60, until="Loading")
    stage.prometheus_up = True
    await stage.run(400, until="Promoted")
    await stage.apply("v2", rollback={"to": v1, "of": v2})
    await stage.run(5)
    assert (await stage.release()).status.stable.revision == v1
    assert await reproduced(stage) > 10
    assert "Drain" in [link.entry["outcome"]["move"] for link in links(stage) if link.entry]


async def test_waiting_for_an_approval_and_a_closed_window_replay_bit_for_bit() -> None:
    stage, _ = await serving()
    phases = [{"name": "shadow", "mirror": 100, "autonomy": "observe"}]
    phases += [{"name": "half", "weight": 50, "autonomy": "limited-action", "approval": "required"}]
    await stage.apply("v2", BETTER, phases=phases)
    await stage.run(60)
    assert (await stage.release()).status.verdict == "AwaitingApproval"
    frozen = [{"first": "2020-01-01", "last": "2099-12-31", "timeZone": "UTC"}]
    await stage.apply("v2", phases=phases, freezes=frozen)
    await stage.run(5)
    assert (await stage.release()).status.verdict == "WindowClosed"
    await reproduced(stage)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_every_decision_replays_and_the_chain_holds(seed: int) -> None:
    stage, _ = await serving()
    chance = random.Random(seed)
    behaviours = (BETTER, WORSE, Behaviour(rogue=1.0))
    await stage.apply("v2", BETTER)
    for _ in range(40):
        match chance.randrange(7):
            case 0:
                stage.prometheus_up = not stage.prometheus_up
            case 1:
                stage.accepts_routes = not stage.accepts_routes
            case 2:
                await stage.apply(f"v{chance.randrange(2, 5)}", chance.choice(behaviours))
            case 3:
                await stage.apply("v2", paused=bool(chance.randrange(2)))
            case 4:
                route = stage.cluster.objects[Ref(kinds.HTTP_ROUTE, NAMESPACE, AGENT)]
                for backend in route["spec"]["rules"][-1]["backendRefs"]:
                    backend["weight"] = 50
            case 5:
                stage.missing ^= {"agentrelease_policy_violations_total"}
            case 6:
                stage.operator = stage.new_operator()
        await stage.run(chance.randrange(1, 6))
    assert await reproduced(stage) > 20


async def test_a_new_process_continues_the_chain() -> None:
    stage, _ = await serving()
    await stage.apply("v2", BETTER)
    for _ in range(12):
        await stage.run(4)
        stage.operator = stage.new_operator()
    assert await reproduced(stage) > 5


async def test_an_entry_whose_write_was_not_answered_is_told_when_the_status_shows_it() -> None:
    stage, _ = await serving()
    ref = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
    lost = []

    async def unanswered(verb: str, about: Ref) -> None:
        release = await stage.release()
        if about == ref and not lost and release.status.phase == "shadow":
            lost.append(verb)
            raise Unavailable("the connection broke after the write")

    stage.cluster.after = unanswered
    await stage.apply("v2", BETTER)
    await stage.run(400, until="Promoted")
    assert lost
    await reproduced(stage)


@pytest.mark.parametrize("phase", ["Loading", "shadow", "half", "Promoted"])
async def test_an_entry_whose_writer_was_killed_before_it_told_is_told_by_the_next(phase: str) -> None:
    stage, _ = await serving()
    ref = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
    killed: list[str] = []

    async def kill(verb: str, about: Ref) -> None:
        status = stage.cluster.objects[ref]["status"]
        if about == ref and verb == "replace" and not killed and status["phase"] == phase:
            killed.append(status["decision"]["hash"])
            stage.operator = stage.new_operator()  # what the old process remembers is gone with it
            raise Unavailable("killed after the write")

    await stage.apply("v2", BETTER)
    stage.cluster.after = kill
    await stage.run(400, until="Loading")
    await stage.run(400, until="Promoted")
    await stage.run(2)
    assert killed[0] in [entry.hash for entry in stage.entries]
    await reproduced(stage)
    head = (await stage.release()).status.decision
    statuses = [
        revision(stage, obj.name) for obj in stage.cluster.objects if obj.kind == kinds.AGENT_REVISION
    ]
    kept = sorted((link for one in statuses for link in copies.links(one)), key=lambda link: link.sequence)
    assert check(kept, head, copies.dropped(statuses)) == ()


async def test_a_standby_tells_nothing_that_it_did_not_write() -> None:
    stage, _ = await serving()
    told = len(stage.entries)
    stage.operator, stage.epoch = stage.new_operator(), None
    await stage.run(3)
    assert len(stage.entries) == told
    stage.epoch = 2
    await stage.run(3)
    assert [entry.hash for entry in stage.entries[told:]] == [stage.entries[told - 1].hash]


@pytest.mark.parametrize("text", ["", "bm90IHpsaWI=", packed({"sequence": 7}, 10_000)])
async def test_a_stored_entry_that_is_not_the_one_its_hash_names_is_not_told(text: str) -> None:
    stage, _ = await serving()
    told = len(stage.entries)
    stage.cluster.objects[Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)]["status"]["decisionEntry"] = text
    stage.operator = stage.new_operator()
    await stage.run(3)
    assert len(stage.entries) == told
    assert stage.told.failures == []


async def test_an_entry_whose_status_was_never_written_is_never_told() -> None:
    stage, _ = await serving()
    told = len(stage.entries)

    async def refused(verb: str, about: Ref) -> None:
        if about.kind == kinds.AGENT_RELEASE and verb == "replace":
            raise Unavailable("503")

    await stage.apply("v2", BETTER)
    before, stage.cluster.before = stage.cluster.before, refused
    await stage.run(5)
    assert len(stage.entries) == told
    stage.cluster.before = before
    await stage.run(400, until="Promoted")
    await reproduced(stage)


async def test_the_revisions_keep_every_decision_and_how_they_ended() -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2", BETTER)
    await stage.run(400, until="Promoted")
    v3 = await stage.apply("v3", WORSE)
    await stage.run(200, until="RolledBack")
    await stage.step()
    statuses = [revision(stage, name) for name in (v1, v2, v3)]
    assert [status.outcome for status in statuses] == ["Promoted", "Promoted", "RolledBack"]
    assert "policy-violations" in statuses[2].reason
    assert all(status.started_at and status.ended_at > status.started_at for status in statuses)
    kept = [link for status in statuses for link in copies.links(status)]
    kept.sort(key=lambda link: link.sequence)
    head = (await stage.release()).status.decision
    assert check(kept, head, copies.dropped(statuses)) == ()
    assert [link.hash for link in kept] == [entry.hash for entry in stage.entries]
    assert all(link.entry for link in kept)


async def test_a_promoted_revision_that_is_returned_from_is_said_to_be_rolled_back() -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2", BETTER)
    await stage.run(400, until="Promoted")
    await stage.step()
    assert revision(stage, v2).outcome == "Promoted"
    await stage.apply("v2", rollback={"to": v1, "of": v2})
    await stage.run(5)
    assert revision(stage, v2).outcome == "RolledBack"
    assert "spec.rollback" in revision(stage, v2).reason
    assert revision(stage, v1).outcome == "Promoted"


async def test_a_superseded_candidate_is_said_to_be_superseded() -> None:
    stage, _ = await serving()
    v2 = await stage.apply("v2", BETTER)
    await stage.run(60, until="internal")
    await stage.apply("v3", BETTER)
    await stage.run(400, until="Promoted")
    await stage.step()
    assert revision(stage, v2).outcome == "Superseded"


async def test_copies_that_fail_stop_nothing_and_are_made_later() -> None:
    stage, _ = await serving()
    broken = True

    async def failing(verb: str, about: Ref) -> None:
        if broken and about.kind == kinds.AGENT_REVISION and verb == "replace":
            raise Refused("403: may not write a revision's status")

    stage.cluster.before = failing
    v2 = await stage.apply("v2", BETTER)
    await stage.run(400, until="Promoted")
    assert ("decision copy", "403: may not write a revision's status") in stage.told.failures
    assert revision(stage, v2).decisions == []
    broken = False
    await stage.step()
    assert revision(stage, v2).outcome == "Promoted"


async def test_a_decision_from_before_the_first_revision_is_kept_with_the_first_one() -> None:
    stage = Stage()
    await stage.install()
    v1 = await stage.apply("v1", paused=True)
    await stage.run(3)
    assert (await stage.release()).status.verdict == "Paused"
    await stage.apply("v1", paused=False)
    await stage.run(20, until="Promoted")
    await stage.step()
    assert revision(stage, v1).decisions[0].sequence == 1


async def test_neither_parameters_nor_foreign_annotations_get_into_the_log() -> None:
    stage = Stage()
    await stage.install()
    await stage.apply("v1")
    ref = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
    stored = stage.cluster.objects[ref]
    stored["metadata"]["annotations"] = {"example.com/note": "hunter2", "agentrelease.dev/author": "ann"}
    stored["spec"]["bundle"]["model"]["parameters"] = {"system": "you are a helpful hunter2"}
    await stage.run(20, until="Promoted")
    text = json.dumps([entry.content for entry in stage.entries])
    assert "hunter2" not in text
    assert "agentrelease.dev/author" in text


@pytest.mark.parametrize("kind", list(FaultKind))
async def test_tampering_with_the_stream_is_found_and_said_where(kind: FaultKind) -> None:
    stage, _ = await serving()
    await stage.apply("v2", BETTER)
    await stage.run(400, until="Promoted")
    found, head = links(stage), (await stage.release()).status.decision
    match kind:
        case FaultKind.CHANGED:
            found[4].entry["outcome"]["reason"] = "all was well"  # type: ignore[index]
        case FaultKind.MISSING:
            del found[4]
        case FaultKind.REORDERED:
            found[4], found[5] = found[5], found[4]
    first = check(found, head)[0]
    assert (first.kind, first.id) == (kind, "d-000005")


async def test_a_lost_end_of_the_stream_is_found_by_what_the_status_names() -> None:
    stage, _ = await serving()
    head = (await stage.release()).status.decision
    assert head is not None
    assert [fault.id for fault in check(links(stage)[:-1], head)] == [head.id]


async def test_a_decision_that_cannot_be_recorded_is_told_and_still_carried_out() -> None:
    stage, v1 = await serving()
    await stage.apply("v2", BETTER)
    await stage.run(60, until="half")
    ref = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
    stage.cluster.objects[ref]["metadata"]["generation"] = 2**60  # canonical JSON has no such number
    told = len(stage.entries)
    await stage.apply("v2", rollback={"to": v1})
    await stage.run(20, until="RolledBack")
    assert stage.reach()[v1][0] == 1.0
    assert len(stage.entries) == told
    assert "decision log" in {what for what, _ in stage.told.failures}


def test_bounds_of_the_copy_are_those_of_the_schema() -> None:
    assert MAX_DECISIONS * 2000 < copies.ROOM  # short forms alone always fit
