"""kopf feeds us from the real API server, writes nothing, and outlives what goes wrong there."""

import asyncio
import gc
import warnings
from contextlib import asynccontextmanager

import pytest
from tests.support.fault_rules import Rule, answer, everything, say, watches

from agentrelease.edges.credentials import Credentials
from agentrelease.edges.kinds import CONFIG_MAP, SERVICE
from agentrelease.edges.kopf_app import FeedError, KopfFeed, Patience
from agentrelease.engine.ports import Kind, Ref
from agentrelease.engine.store import Store
from agentrelease.engine.watchdog import BlindFeed, Pace, Watchdog, Watched

OURS = {"app.kubernetes.io/managed-by": "agentrelease-operator"}
FLAGS = Watched(CONFIG_MAP, labels=OURS)
PATIENCE = 30  # seconds; no good run comes near


def a_map(namespace, name="flags", labels=OURS, **data):
    metadata = {"namespace": namespace, "name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


class Heard:
    """What the feed has said, to be awaited."""

    def __init__(self):
        self.events = []
        self._news = asyncio.Event()

    def __call__(self, kind, namespace, name, event, obj):
        self.events.append((kind.name, namespace, name, event, obj))
        self._news.set()

    async def until(self, *expected):
        """Wait for (name, type) or (name, type, data) to come."""
        async with asyncio.timeout(PATIENCE):
            while not any(self._matches(expected, event) for event in self.events):
                self._news.clear()
                await self._news.wait()

    @staticmethod
    def _matches(expected, event):
        _, _, name, kind, obj = event
        return expected == (name, kind, obj.get("data"))[: len(expected)]

    def names(self):
        return {name for _, _, name, _, _ in self.events}


@asynccontextmanager
async def feeding(credentials, *watched, namespaces=(), to=None):
    heard = to or Heard()
    feed = KopfFeed(credentials, watched or (FLAGS,), heard, namespaces=namespaces)
    task = asyncio.create_task(feed.run())
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait({task, asyncio.ensure_future(feed.ready.wait())}, return_when="FIRST_COMPLETED")
    try:
        yield heard
    finally:
        feed.stop.set()
        async with asyncio.timeout(PATIENCE):
            await task


@pytest.fixture(autouse=True)
def _leaves_no_session_of_kopf_to_later_tests():
    """kopf may still be connecting when it is stopped, and leaves that session to the end of its process."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def ns(namespace):
    return namespace()


@pytest.fixture
def through(proxy):
    return Credentials(proxy.kubeconfig)


async def test_existing_objects_come_first_and_then_every_change(credentials, server, ns):
    ref = Ref(CONFIG_MAP, ns, "flags")
    await server.create(a_map(ns, a="1"))
    async with feeding(credentials, namespaces=[ns]) as heard:
        await heard.until("flags", "", {"a": "1"})
        await server.merge(ref, {"data": {"a": "2"}})
        await heard.until("flags", "MODIFIED", {"a": "2"})
        await server.create(a_map(ns, name="second"))
        await heard.until("second", "ADDED")
        await server.delete(ref)
        await heard.until("flags", "DELETED")
    assert {(kind, namespace) for kind, namespace, *_ in heard.events} == {("ConfigMap", ns)}


async def test_every_object_knows_its_type_even_when_it_came_in_a_list(credentials, server, ns):
    await server.create(a_map(ns))
    async with feeding(credentials, namespaces=[ns]) as heard:
        await heard.until("flags", "")
        obj = heard.events[0][-1]
    assert (obj["apiVersion"], obj["kind"]) == ("v1", "ConfigMap")


async def test_objects_without_our_label_are_not_even_asked_for(through, proxy, server, ns):
    await server.create(a_map(ns, name="theirs", labels={}))
    async with feeding(through, namespaces=[ns]) as heard:
        await server.create(a_map(ns, name="ours"))
        await heard.until("ours")
    assert heard.names() == {"ours"}
    asked = [seen.path for seen in proxy.seen if "/configmaps" in seen.path]
    assert asked
    assert all("labelSelector=app.kubernetes.io" in path for path in asked)


async def test_only_the_chosen_namespaces_are_watched(credentials, server, ns, namespace):
    await server.create(a_map(namespace(), name="elsewhere"))
    async with feeding(credentials, namespaces=[ns]) as heard:
        await server.create(a_map(ns, name="here"))
        await heard.until("here")
    assert heard.names() == {"here"}


async def test_without_namespaces_the_whole_cluster_is_watched(credentials, server, ns, namespace):
    other = namespace()
    async with feeding(credentials) as heard:
        for place in (ns, other):
            await server.create(a_map(place, name=f"in-{place}"))
        for place in (ns, other):
            await heard.until(f"in-{place}")


async def test_two_kinds_are_fed_side_by_side(credentials, server, ns):
    async with feeding(credentials, FLAGS, Watched(SERVICE), namespaces=[ns]) as heard:
        spec = {"ports": [{"port": 80}]}
        metadata = {"namespace": ns, "name": "blue"}
        await server.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        await server.create(a_map(ns))
        await heard.until("blue")
        await heard.until("flags")


async def test_a_kind_that_is_not_installed_does_not_keep_the_others_from_being_fed(credentials, server, ns):
    unknown = Watched(Kind("nobody.example.com", "v1", "nothings", "Nothing"), optional=True)
    async with feeding(credentials, unknown, FLAGS, namespaces=[ns]) as heard:
        await server.create(a_map(ns))
        await heard.until("flags")


async def test_the_feed_only_ever_reads(through, proxy, server, ns):
    async with feeding(through, namespaces=[ns]) as heard:
        for number in range(5):
            await server.create(a_map(ns, name=f"m{number}"))
        await heard.until("m4")
        await server.delete(Ref(CONFIG_MAP, ns, "m4"))
        await heard.until("m4", "DELETED")
    assert {seen.method for seen in proxy.seen} == {"GET"}
    assert (await server.get(Ref(CONFIG_MAP, ns, "m0")))["metadata"].get("annotations") is None


async def test_what_changed_during_an_outage_is_told_after_it(through, proxy, server, ns):
    await server.create(a_map(ns, a="1"))
    async with feeding(through, namespaces=[ns]) as heard:
        await heard.until("flags", "")
        proxy.cut()
        await server.merge(Ref(CONFIG_MAP, ns, "flags"), {"data": {"a": "2"}})
        await server.create(a_map(ns, name="second"))
        await proxy.asked(3)
        proxy.mend()
        await heard.until("flags", "MODIFIED", {"a": "2"})
        await heard.until("second")


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_burst_of_errors_does_not_end_the_feed(through, proxy, server, ns, status):
    proxy.add(Rule(everything, answer(status), times=4))
    proxy.add(Rule(watches(), answer(status), times=4))
    async with feeding(through, namespaces=[ns]) as heard:
        await server.create(a_map(ns))
        await heard.until("flags")


def test_patience_never_ends_and_no_pause_is_longer_than_three_seconds():
    pauses = [pause for pause, _ in zip(Patience(), range(10_000), strict=False)]
    assert len(pauses) == 10_000
    assert max(pauses) == 3
    assert next(iter(Patience())) == pauses[0]


async def test_a_refused_login_is_repeated_with_fresh_credentials(through, proxy, server, ns):
    proxy.add(Rule(everything, answer(401), times=2))
    async with feeding(through, namespaces=[ns]) as heard:
        await server.create(a_map(ns))
        await heard.until("flags")


async def test_an_expired_version_makes_the_feed_list_anew(through, proxy, server, ns):
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
    proxy.add(Rule(watches("/configmaps"), say(gone)))
    async with feeding(through, namespaces=[ns]) as heard:
        await server.create(a_map(ns))
        await heard.until("flags")


async def test_an_error_that_kopf_cannot_get_over_ends_the_feed_with_one_line(through, proxy, ns):
    bad = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd is broken"}}
    proxy.add(Rule(watches("/configmaps"), say(bad)))
    feed = KopfFeed(through, (FLAGS,), Heard(), namespaces=[ns])
    with pytest.raises(FeedError, match="The watch has ended: WatchingError") as caught:
        async with asyncio.timeout(PATIENCE):
            await feed.run()
    assert "\n" not in str(caught.value)


async def test_a_watch_that_stays_open_and_silent_is_noticed_and_its_change_still_wakes(
    through, proxy, server, ns
):
    loop = asyncio.get_running_loop()
    heard = Heard()
    store = Store(clock=loop.time)
    pace = Pace(interval=0.2, grace=1.5, retry=0.2)
    dog = Watchdog(server, store, (FLAGS,), heard, namespaces=[ns], clock=loop.time, pace=pace)
    await server.create(a_map(ns, a="1"))
    guard = asyncio.create_task(dog.run())
    async with feeding(through, namespaces=[ns], to=dog.fed):
        await server.create(a_map(ns, name="second"))
        await heard.until("second")
        proxy.freeze()
        await server.merge(Ref(CONFIG_MAP, ns, "flags"), {"data": {"a": "2"}})
        await heard.until("flags", "RELISTED", {"a": "2"})
        with pytest.raises(BlindFeed, match=f"ConfigMap {ns}/flags"):
            async with asyncio.timeout(PATIENCE):
                await guard


async def test_tasks_that_were_there_before_the_feed_outlive_it(credentials, ns):
    forever = asyncio.create_task(asyncio.Event().wait())
    async with feeding(credentials, namespaces=[ns]):
        pass
    assert not forever.done()
    forever.cancel()
