"""The store tells news from echoes and finds ghosts; it never says what an object contains."""

import pytest

from agentrelease.api.vocabulary import EPOCH_ANNOTATION
from agentrelease.edges.kinds import AGENT_RELEASE, CONFIG_MAP, HTTP_ROUTE
from agentrelease.engine.ports import Ref
from agentrelease.engine.store import News, Store

REF = Ref(AGENT_RELEASE, "shop", "support")
SERVING = {"stable": {"revision": "support-0"}}
ROLLING = {"candidate": {"revision": "support-1"}}


def a_release(name="support", *, uid="u1", version="10", generation=1, namespace="shop", **parts):
    metadata = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version}
    metadata |= {"generation": generation, **parts.pop("metadata", {})}
    return {"metadata": metadata, "spec": {}, **parts}


@pytest.fixture
def time():
    return [100.0]


@pytest.fixture
def store(time):
    return Store(clock=lambda: time[0])


def test_the_first_sight_of_an_object_is_new(store):
    assert store.observe(REF, a_release()) is News.NEW


def test_the_same_version_twice_is_no_news(store):
    store.observe(REF, a_release())
    assert store.observe(REF, a_release()) is News.NONE


def test_the_echo_of_a_status_write_is_only_status(store):
    store.observe(REF, a_release(status=SERVING))
    assert store.observe(REF, a_release(version="11", status=SERVING | {"phase": "canary"})) is News.STATUS


def test_a_status_that_was_wiped_keeps_the_release_under_observation(store):
    for before in (SERVING, SERVING | ROLLING):
        store.observe(REF, a_release(version="11", status=before))
        store.observe(REF, a_release(version="12", status={}))
        assert store.get(REF).active


def test_a_candidate_that_somebody_took_out_of_the_status_is_a_change(store):
    store.observe(REF, a_release(status=SERVING | ROLLING))
    assert store.get(REF).active
    assert store.observe(REF, a_release(version="11", status=SERVING)) is News.CHANGED


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 2},
        {"metadata": {"labels": {"team": "a"}}},
        {"metadata": {"annotations": {"agentrelease.dev/allow-refused": "sha256:1"}}},
        {"metadata": {"finalizers": ["x"]}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ],
)
def test_what_people_can_ask_for_is_a_change(store, change):
    store.observe(REF, a_release())
    assert store.observe(REF, a_release(version="11", **change)) is News.CHANGED


def test_a_config_map_has_no_generation_so_its_data_are_its_intent(store):
    ref = Ref(CONFIG_MAP, "shop", "flags")
    metadata = {"name": "flags", "namespace": "shop", "uid": "u", "resourceVersion": "1"}
    store.observe(ref, {"metadata": metadata, "data": {"a": "1"}})
    changed = {"metadata": metadata | {"resourceVersion": "2"}, "data": {"a": "2"}}
    assert store.observe(ref, changed) is News.CHANGED


def test_a_namesake_with_another_uid_is_new_and_late_word_of_the_old_one_is_ignored(store):
    store.observe(REF, a_release(uid="old"))
    assert store.observe(REF, a_release(uid="new", version="20")) is News.NEW
    assert store.observe(REF, a_release(uid="old", version="15"), gone=True) is News.NONE
    assert store.get(REF).uid == "new"


def test_a_deletion_is_told_and_forgotten(store):
    store.observe(REF, a_release())
    assert store.observe(REF, a_release(version="11"), gone=True) is News.GONE
    assert store.get(REF) is None


def test_a_list_purges_ghosts_of_its_kind_and_namespace_only(store, time):
    for namespace, name in [("shop", "ghost"), ("shop", "support"), ("other", "far")]:
        store.observe(Ref(AGENT_RELEASE, namespace, name), a_release(name, namespace=namespace))
    store.observe(Ref(HTTP_ROUTE, "shop", "route"), a_release("route"))
    time[0] = 200
    relist = store.relisted(AGENT_RELEASE, "shop", [a_release()], asked=200)
    assert relist.ghosts == (Ref(AGENT_RELEASE, "shop", "ghost"),)
    assert relist.news == ()
    assert {ref.name for ref in store.refs(AGENT_RELEASE)} == {"support", "far"}
    assert [ref.name for ref in store.refs(AGENT_RELEASE, "other")] == ["far"]
    assert store.refs(HTTP_ROUTE)


def test_a_list_brings_news_that_the_feed_has_missed_active_releases_first(store):
    calm, rolling = a_release("calm", status=SERVING), a_release("rolling", status=SERVING | ROLLING)
    relist = store.relisted(AGENT_RELEASE, None, [calm, rolling], asked=100)
    assert [(ref.name, news) for ref, news in relist.news] == [("rolling", News.NEW), ("calm", News.NEW)]
    assert [ref.name for ref in store.refs(AGENT_RELEASE)] == ["rolling", "calm"]


def test_what_the_feed_said_after_a_list_was_asked_for_is_newer_than_the_list(store, time):
    store.observe(REF, a_release(version="10"))
    asked = time[0] = 200
    time[0] = 201
    store.observe(REF, a_release(version="12", generation=2))
    store.observe(Ref(AGENT_RELEASE, "shop", "just-made"), a_release("just-made"))
    store.observe(Ref(AGENT_RELEASE, "shop", "just-gone"), a_release("just-gone"), gone=True)
    late = [a_release(version="11"), a_release("just-gone")]
    relist = store.relisted(AGENT_RELEASE, None, late, asked=asked)
    assert (relist.news, relist.ghosts) == ((), ())
    assert store.get(REF).resource_version == "12"
    assert {ref.name for ref in store.refs(AGENT_RELEASE)} == {"support", "just-made"}


def test_the_highest_epoch_is_remembered_over_annotations_status_and_deletion(store):
    store.observe(REF, a_release(status={"epoch": 4}))
    route = a_release("route", metadata={"annotations": {EPOCH_ANNOTATION: "7"}})
    store.observe(Ref(HTTP_ROUTE, "shop", "route"), route)
    store.observe(Ref(HTTP_ROUTE, "shop", "route"), route, gone=True)
    assert store.highest_epoch == 7


def test_age_counts_from_the_last_word_of_a_kind(store, time):
    assert store.age(AGENT_RELEASE) is None
    store.observe(REF, a_release())
    time[0] = 130
    assert store.age(AGENT_RELEASE) == 30
    store.relisted(AGENT_RELEASE, None, [], asked=130)
    assert store.age(AGENT_RELEASE) == 0


@pytest.mark.parametrize(
    "odd",
    [
        {"status": "text"},
        {"status": {"epoch": "many", "candidate": None}},
        {"metadata": {"annotations": None, "generation": None}},
        {"metadata": {"annotations": {EPOCH_ANNOTATION: "not a number"}}},
    ],
)
def test_an_odd_object_is_taken_in_like_any_other(store, odd):
    assert store.observe(REF, a_release(**odd)) is News.NEW
