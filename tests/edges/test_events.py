"""Events reach people on the real API server, a storm becomes one of them, and nothing waits for them."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from tests.support.fault_rules import Rule, answer, hold, lose_reply, on
from tests.support.memory_cluster import MemoryCluster

from agentrelease.edges.cluster import ApiServer
from agentrelease.edges.credentials import Credentials
from agentrelease.edges.events import Budget, EventWriter, Severity, Told
from agentrelease.edges.kinds import AGENT_RELEASE, CLUSTER_GUARDRAIL_POLICY, EVENT
from agentrelease.engine.ports import Missing, Ref, Refused, Unavailable

PATIENCE = 30  # seconds; no good run comes near


def rolled_back(namespace, note="task-completion is worse", name="support", **changes):
    about = Ref(AGENT_RELEASE, namespace, name)
    fields = {"about": about, "uid": "u-1", "severity": Severity.WARNING, "reason": "RolledBack"}
    return Told(**{**fields, "action": "Rollback", "note": note, **changes})


@asynccontextmanager
async def writing(cluster, **budget):
    loop = asyncio.get_running_loop()
    writer = EventWriter(cluster, instance="test", clock=loop.time, budget=Budget(**budget))
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0)  # a task that is cancelled before its first step never runs
    try:
        yield writer
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
def ns(namespace):
    return namespace()


# on the real API server


async def test_an_event_names_its_object_and_says_what_happened(server, ns):
    async with writing(server) as writer:
        writer.tell(rolled_back(ns))
    (event,) = await server.list(EVENT, ns)
    assert event["regarding"] == {
        "apiVersion": "agentrelease.dev/v1alpha1",
        "kind": "AgentRelease",
        "namespace": ns,
        "name": "support",
        "uid": "u-1",
    }
    said = {name: event[name] for name in ("type", "reason", "action", "note", "reportingController")}
    assert said == {
        "type": "Warning",
        "reason": "RolledBack",
        "action": "Rollback",
        "note": "task-completion is worse",
        "reportingController": "agentrelease.dev/operator",
    }


async def test_the_same_words_again_are_counted_in_the_same_event(server, ns):
    async with writing(server, quiet=0.1) as writer:
        for _ in range(7):
            writer.tell(rolled_back(ns))
            await asyncio.sleep(0.1)
    (event,) = await server.list(EVENT, ns)
    assert event["series"]["count"] == 7


async def test_a_note_longer_than_the_api_allows_is_cut_and_not_refused(server, ns):
    async with writing(server) as writer:
        writer.tell(rolled_back(ns, note="ü" * 4000))
    (event,) = await server.list(EVENT, ns)
    assert event["note"] == "ü" * 500


async def test_an_event_about_a_cluster_wide_object_is_in_the_default_namespace(server):
    policy = Ref(CLUSTER_GUARDRAIL_POLICY, "", "agent-defaults")
    async with writing(server) as writer:
        writer.tell(rolled_back("", about=policy, uid="u-cluster", note="is not understood"))
    found = [event for event in await server.list(EVENT, "default") if event["note"] == "is not understood"]
    assert [event["regarding"]["name"] for event in found] == ["agent-defaults"]


async def test_a_namespace_that_is_gone_costs_one_dropped_event(server):
    async with writing(server) as writer:
        writer.tell(rolled_back("no-such-namespace"))
    assert writer.dropped == 1


async def test_telling_never_waits_for_the_api_server(proxy, ns):
    never = asyncio.Event()
    proxy.add(Rule(on("POST", "/events"), hold(never), times=None))
    async with (
        await ApiServer.connect(Credentials(proxy.kubeconfig)) as stuck,
        writing(stuck, queue=5, burst=100, farewell=0.1) as writer,
    ):
        for number in range(50):
            writer.tell(rolled_back(ns, note=f"note {number}"))
        assert writer.dropped == 45


async def test_an_event_that_was_stored_and_whose_reply_was_lost_is_not_written_twice(proxy, server, ns):
    proxy.add(Rule(on("POST", "/events"), lose_reply))
    async with await ApiServer.connect(Credentials(proxy.kubeconfig)) as lossy, writing(lossy) as writer:
        writer.tell(rolled_back(ns))
    assert writer.dropped == 0
    assert len(await server.list(EVENT, ns)) == 1


async def test_an_event_is_tried_twice_and_then_dropped(proxy, ns):
    proxy.add(Rule(on("POST", "/events"), answer(503), times=None))
    async with await ApiServer.connect(Credentials(proxy.kubeconfig)) as away, writing(away) as writer:
        writer.tell(rolled_back(ns))
    assert (writer.dropped, len(proxy.seen)) == (1, 2)


# in virtual time


@pytest.mark.looptime
async def test_a_storm_of_one_message_is_written_at_most_once_per_quiet_time():
    cluster = MemoryCluster()
    async with writing(cluster, quiet=10) as writer:
        for _ in range(600):
            writer.tell(rolled_back("shop"))
            await asyncio.sleep(0.1)
    assert 6 <= len(cluster.writes) <= 8
    (event,) = await cluster.list(EVENT, "shop")
    assert event["series"]["count"] == 600


@pytest.mark.looptime
async def test_the_last_count_of_a_storm_is_written_without_another_message():
    cluster = MemoryCluster()
    async with writing(cluster, quiet=10) as writer:
        for _ in range(3):
            writer.tell(rolled_back("shop"))
            await asyncio.sleep(1)
        await asyncio.sleep(11)
        (event,) = await cluster.list(EVENT, "shop")
        assert event["series"]["count"] == 3


@pytest.mark.looptime
async def test_a_release_that_says_something_new_all_the_time_has_a_budget_and_the_others_have_theirs():
    cluster = MemoryCluster()
    async with writing(cluster, burst=5, refill=30) as writer:
        for number in range(300):
            writer.tell(rolled_back("shop", note=f"look {number}", name="noisy"))
            await asyncio.sleep(1)
        writer.tell(rolled_back("shop", name="quiet"))
    names = [ref.name.partition(".")[0] for ref in cluster.objects]
    assert names.count("quiet") == 1
    assert 14 <= names.count("noisy") <= 16
    assert writer.dropped == 300 - names.count("noisy")


@pytest.mark.looptime
async def test_words_that_come_back_after_a_long_time_are_a_new_event():
    cluster = MemoryCluster()
    async with writing(cluster, fresh=360) as writer:
        writer.tell(rolled_back("shop"))
        await asyncio.sleep(400)
        writer.tell(rolled_back("shop"))
    assert len(cluster.objects) == 2


@pytest.mark.looptime
async def test_an_event_that_has_expired_on_the_server_is_written_anew_with_its_count():
    cluster = MemoryCluster()
    async with writing(cluster, quiet=10) as writer:
        writer.tell(rolled_back("shop"))
        await asyncio.sleep(11)
        cluster.objects.clear()
        writer.tell(rolled_back("shop"))
        await asyncio.sleep(1)
    (event,) = await cluster.list(EVENT, "shop")
    assert event["series"]["count"] == 2


@pytest.mark.looptime
@pytest.mark.parametrize("error", [Unavailable("away"), Refused("403"), Missing("gone")])
async def test_whatever_goes_wrong_the_next_event_is_written(error):
    cluster = MemoryCluster()

    async def fault(verb, ref):
        raise error

    async with writing(cluster) as writer:
        cluster.before = fault
        writer.tell(rolled_back("shop", note="lost"))
        await asyncio.sleep(1)
        del cluster.before
        cluster.before = MemoryCluster().before
        writer.tell(rolled_back("shop", note="kept"))
        await asyncio.sleep(1)
    assert [event["note"] for event in await cluster.list(EVENT, "shop")] == ["kept"]
    assert writer.dropped == 1


@pytest.mark.looptime
async def test_what_was_told_just_before_the_end_is_still_written():
    cluster = MemoryCluster()
    async with writing(cluster) as writer:
        await asyncio.sleep(1)
        writer.tell(rolled_back("shop"))
    assert len(cluster.objects) == 1
