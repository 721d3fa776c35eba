"""The watchdog finds what the feed missed, purges ghosts, and ends a process whose feed is blind."""

import asyncio

import pytest
from tests.support.memory_cluster import MemoryCluster

from agentrelease.edges.kinds import AGENT_RELEASE, CONFIG_MAP, HTTP_ROUTE, VIRTUAL_SERVICE
from agentrelease.engine.ports import Missing, Ref, Unavailable
from agentrelease.engine.store import Store
from agentrelease.engine.watchdog import BlindFeed, Pace, Watchdog, Watched

pytestmark = pytest.mark.looptime

OURS = {"app.kubernetes.io/managed-by": "agentrelease-operator"}
REF = Ref(AGENT_RELEASE, "shop", "support")


def a_release(name="support", namespace="shop"):
    return {
        "apiVersion": AGENT_RELEASE.api_version,
        "kind": AGENT_RELEASE.name,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"weight": 1},
    }


class Watch:
    """A feed by hand over a cluster in memory, and what was woken."""

    def __init__(self, *watched, namespaces=()):
        loop = asyncio.get_running_loop()
        self.cluster = MemoryCluster()
        self.store = Store(clock=loop.time)
        self.woken = []
        self.dog = Watchdog(
            self.cluster,
            self.store,
            watched or (Watched(AGENT_RELEASE),),
            lambda kind, namespace, name, event, obj: self.woken.append((name, event)),
            namespaces=namespaces,
            clock=loop.time,
            pace=Pace(interval=300, grace=150, retry=5),
        )

    def feed(self, event, obj):
        metadata = obj["metadata"]
        self.dog.fed(AGENT_RELEASE, metadata["namespace"], metadata["name"], event, obj)

    async def until(self, seconds):
        async with asyncio.timeout(seconds):
            await self.dog.run()


@pytest.fixture
async def watch():
    return Watch()


async def test_an_event_wakes_once_however_often_it_comes(watch):
    made = await watch.cluster.create(a_release())
    for event in ("", "ADDED", "MODIFIED"):
        watch.feed(event, made)
    assert watch.woken == [("support", "")]


async def test_the_echo_of_a_status_write_wakes_nobody(watch):
    watch.feed("", await watch.cluster.create(a_release()))
    written = await watch.cluster.merge(REF, {"status": {"phase": "canary"}}, subresource="status")
    watch.feed("MODIFIED", written)
    assert len(watch.woken) == 1


async def test_a_change_of_status_wakes_where_the_status_matters():
    watch = Watch(Watched(AGENT_RELEASE, status_matters=True))
    watch.feed("", await watch.cluster.create(a_release()))
    written = await watch.cluster.merge(REF, {"status": {"phase": "canary"}}, subresource="status")
    watch.feed("MODIFIED", written)
    assert watch.woken == [("support", ""), ("support", "MODIFIED")]


async def test_a_list_wakes_what_the_feed_never_mentioned(watch):
    await watch.cluster.create(a_release())
    with pytest.raises(TimeoutError):
        await watch.until(1)
    assert watch.woken == [("support", "RELISTED")]
    assert watch.dog.listed.is_set()


async def test_a_ghost_is_purged_and_reported_as_deleted(watch):
    watch.feed("", await watch.cluster.create(a_release()))
    await watch.cluster.delete(REF)
    await asyncio.sleep(1)
    with pytest.raises(TimeoutError):
        await watch.until(1)
    assert watch.woken[-1] == ("support", "DELETED")
    assert watch.store.refs(AGENT_RELEASE) == []


async def test_a_feed_that_stays_silent_about_a_listed_change_is_blind_and_ends_the_process(watch, looptime):
    watch.feed("", await watch.cluster.create(a_release()))
    await asyncio.sleep(1)
    await watch.cluster.merge(REF, {"spec": {"weight": 2}})
    with pytest.raises(BlindFeed, match="AgentRelease shop/support"):
        await watch.dog.run()
    assert looptime <= 301


async def test_a_feed_that_catches_up_is_not_blind(watch):
    watch.feed("", await watch.cluster.create(a_release()))
    await watch.cluster.merge(REF, {"spec": {"weight": 2}})
    run = asyncio.create_task(watch.until(1000))
    await asyncio.sleep(100)
    watch.feed("MODIFIED", await watch.cluster.get(REF))
    with pytest.raises(TimeoutError):
        await run


async def test_a_feed_that_has_seen_a_later_version_has_caught_up_too(watch):
    watch.feed("", await watch.cluster.create(a_release()))
    await watch.cluster.merge(REF, {"spec": {"weight": 2}})
    run = asyncio.create_task(watch.until(1000))
    await asyncio.sleep(100)
    watch.feed("MODIFIED", await watch.cluster.merge(REF, {"spec": {"weight": 3}}))
    with pytest.raises(TimeoutError):
        await run


async def test_an_object_that_vanishes_before_the_feed_told_of_it_does_not_make_the_feed_blind(watch):
    await watch.cluster.create(a_release())
    run = asyncio.create_task(watch.until(1000))
    await asyncio.sleep(100)
    await watch.cluster.delete(REF)
    with pytest.raises(TimeoutError):
        await run


async def test_an_api_server_that_is_away_is_no_blindness_and_is_asked_again_within_seconds(watch, looptime):
    await watch.cluster.create(a_release())
    away = True

    async def fault(verb, ref):
        if away:
            raise Unavailable("no route to host")

    watch.cluster.before = fault
    run = asyncio.create_task(watch.until(1000))
    await asyncio.sleep(600)
    assert "no route to host" in watch.dog.problem
    assert not watch.dog.listed.is_set()
    away = False
    await watch.dog.listed.wait()
    assert looptime <= 605
    assert watch.dog.problem is None
    watch.feed("", await watch.cluster.get(REF))
    with pytest.raises(TimeoutError):
        await run


async def test_one_kind_that_fails_does_not_keep_the_others_from_being_listed():
    watch = Watch(Watched(HTTP_ROUTE), Watched(AGENT_RELEASE))

    async def fault(verb, ref):
        if ref.kind == HTTP_ROUTE:
            raise Unavailable("etcd is slow")

    watch.cluster.before = fault
    await watch.cluster.create(a_release())
    with pytest.raises(Unavailable):
        await watch.dog.relist()
    assert watch.woken == [("support", "RELISTED")]


async def test_an_absent_optional_kind_is_passed_over_and_a_required_one_is_not():
    async def fault(verb, ref):
        raise Missing(f"{ref.kind.name} isn't served")

    watch = Watch(Watched(VIRTUAL_SERVICE, optional=True))
    watch.cluster.before = fault
    await watch.dog.relist()
    watch = Watch(Watched(AGENT_RELEASE))
    watch.cluster.before = fault
    with pytest.raises(Missing):
        await watch.dog.relist()


async def test_only_the_chosen_namespaces_are_listed_and_ghosts_elsewhere_are_left_alone():
    watch = Watch(namespaces=["shop"])
    await watch.cluster.create(a_release())
    await watch.cluster.create(a_release(namespace="elsewhere"))
    await watch.dog.relist()
    assert watch.woken == [("support", "RELISTED")]


async def test_only_objects_with_our_label_are_listed_where_labels_are_asked_for():
    watch = Watch(Watched(CONFIG_MAP, labels=OURS))
    for name, labels in [("ours", OURS), ("theirs", {})]:
        metadata = {"name": name, "namespace": "shop", "labels": labels}
        await watch.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    await watch.dog.relist()
    assert watch.woken == [("ours", "RELISTED")]
