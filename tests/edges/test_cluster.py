"""The gateway keeps the contract of engine/ports.py on the real API server, also when requests go wrong.

The same table is held against MemoryCluster, which stands in for the API server in virtual time.
"""

import asyncio
import json
from pathlib import Path

import pytest
from tests.support.fault_rules import Rule, answer, everything, hold, lose_reply, on, reset, writes
from tests.support.memory_cluster import MemoryCluster

from agentrelease.edges.cluster import ApiServer, path_of
from agentrelease.edges.credentials import Credentials, CredentialsError
from agentrelease.edges.kinds import (
    AGENT_RELEASE,
    CONFIG_MAP,
    DEPLOYMENT,
    HTTP_ROUTE,
    OWN,
    VIRTUAL_SERVICE,
    kind_of,
)
from agentrelease.edges.transport import USER_AGENT, Answer, Limits, Request, failure
from agentrelease.engine.ports import Conflict, Kind, Missing, Ref, Refused, Unavailable

QUICK = Limits(attempt=1.0, connect=1.0, retries=2, longest_pause=1.0)


def a_map(namespace, name="flags", **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name, "labels": {"made-by": "test"}},
        "data": data,
    }


def a_deployment(namespace, **metadata):
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": "agent", **metadata},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


@pytest.fixture(params=["real", "memory"])
def cluster(request):
    """The real API server, and what stands in for it."""
    return request.getfixturevalue("server") if request.param == "real" else MemoryCluster()


@pytest.fixture
def ns(namespace):
    return namespace()


@pytest.fixture
def ref(ns):
    return Ref(CONFIG_MAP, ns, "flags")


# the contract, on both


async def test_what_was_created_is_read_back_as_it_was_returned(cluster, ns, ref):
    made = await cluster.create(a_map(ns, a="1"))
    assert made["data"] == {"a": "1"}
    assert await cluster.get(ref) == made


async def test_what_is_not_there_is_none(cluster, ref):
    assert await cluster.get(ref) is None


async def test_a_name_that_is_taken_is_a_conflict(cluster, ns):
    await cluster.create(a_map(ns))
    with pytest.raises(Conflict):
        await cluster.create(a_map(ns))


async def test_replacing_moves_the_version_and_a_replace_of_the_old_version_is_a_conflict(cluster, ns):
    made = await cluster.create(a_map(ns, a="1"))
    replaced = await cluster.replace({**made, "data": {"b": "2"}})
    assert replaced["data"] == {"b": "2"}
    assert int(replaced["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    with pytest.raises(Conflict):
        await cluster.replace({**made, "data": {"c": "3"}})


async def test_a_replace_without_a_version_is_refused_even_where_the_api_server_would_take_it(cluster, ns):
    await cluster.create(a_map(ns))
    with pytest.raises(Refused, match="resourceVersion"):
        await cluster.replace(a_map(ns, a="lost update"))


async def test_a_replace_that_changes_nothing_keeps_the_version(cluster, ns):
    made = await cluster.create(a_map(ns, a="1"))
    assert (await cluster.replace(made))["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_merge_changes_what_it_names_and_null_removes(cluster, ns, ref):
    await cluster.create(a_map(ns, a="1", b="2"))
    assert (await cluster.merge(ref, {"data": {"a": None, "c": "3"}}))["data"] == {"b": "2", "c": "3"}


async def test_a_merge_with_an_old_version_is_a_conflict_and_without_one_is_not(cluster, ns, ref):
    made = await cluster.create(a_map(ns, a="1"))
    await cluster.merge(ref, {"data": {"a": "2"}})
    version = made["metadata"]["resourceVersion"]
    with pytest.raises(Conflict):
        await cluster.merge(ref, {"metadata": {"resourceVersion": version}, "data": {"a": "3"}})
    assert (await cluster.get(ref))["data"] == {"a": "2"}


async def test_heads_are_metadata_and_nothing_else_by_label_and_namespace(cluster, ns):
    made = await cluster.create(a_map(ns, a="1"))
    await cluster.create(a_map(ns, "other") | {"metadata": {"namespace": ns, "name": "other"}})
    (head,) = await cluster.heads(CONFIG_MAP, ns, {"made-by": "test"})
    assert list(head) == ["metadata"]
    assert head["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert head["metadata"]["labels"] == {"made-by": "test"}
    assert len(await cluster.heads(CONFIG_MAP, ns)) >= 2


async def test_a_write_to_what_is_gone_is_missing(cluster, ns, ref):
    made = await cluster.create(a_map(ns))
    await cluster.delete(ref)
    with pytest.raises(Missing):
        await cluster.merge(ref, {"data": {"a": "1"}})
    with pytest.raises(Missing):
        await cluster.replace(made)


async def test_deleting_twice_is_no_error(cluster, ns, ref):
    await cluster.create(a_map(ns))
    await cluster.delete(ref)
    await cluster.delete(ref)
    assert await cluster.get(ref) is None


async def test_an_object_with_a_finalizer_stays_until_the_finalizer_goes(cluster, ns, ref):
    held = a_map(ns)
    held["metadata"]["finalizers"] = ["agentrelease.dev/safe-exposure"]
    await cluster.create(held)
    await cluster.delete(ref)
    assert "deletionTimestamp" in (await cluster.get(ref))["metadata"]
    await cluster.merge(ref, {"metadata": {"finalizers": None}})
    assert await cluster.get(ref) is None


async def test_status_and_spec_are_written_separately_and_only_the_spec_moves_the_generation(cluster, ns):
    ref = Ref(DEPLOYMENT, ns, "agent")
    made = await cluster.create(a_deployment(ns))
    assert made["metadata"]["generation"] == 1
    status = await cluster.merge(
        ref, {"status": {"readyReplicas": 0, "collisionCount": 7}}, subresource="status"
    )
    assert status["metadata"]["generation"] == 1
    changed = await cluster.merge(ref, {"spec": {"paused": True}, "status": {"collisionCount": 9}})
    assert changed["metadata"]["generation"] == 2
    assert changed["status"]["collisionCount"] == 7


async def test_a_list_is_of_one_namespace_and_one_label_and_its_objects_know_their_type(
    cluster, ns, namespace
):
    elsewhere = namespace()
    made = await cluster.create(a_map(ns))
    other = a_map(ns, name="other")
    other["metadata"]["labels"] = {}
    await cluster.create(other)
    await cluster.create(a_map(elsewhere))
    assert await cluster.list(CONFIG_MAP, ns, {"made-by": "test"}) == [made]
    everywhere = await cluster.list(CONFIG_MAP, labels={"made-by": "test"})
    assert {ns, elsewhere} <= {obj["metadata"]["namespace"] for obj in everywhere}


# the real API server alone


async def test_a_list_longer_than_a_page_is_complete(credentials, ns):
    async with await ApiServer.connect(credentials, limits=Limits(page=3)) as server:
        await asyncio.gather(*(server.create(a_map(ns, name=f"m{number}")) for number in range(10)))
        found = await server.list(CONFIG_MAP, ns, {"made-by": "test"})
    assert sorted(obj["metadata"]["name"] for obj in found) == [f"m{number}" for number in range(10)]


async def test_all_our_kinds_are_served_under_the_names_in_the_table(server):
    assert [kind.name for kind in (*OWN, HTTP_ROUTE) if not await server.serves(kind)] == []


async def test_a_kind_that_is_not_installed_is_not_served_and_listing_it_is_missing(server, ns):
    unknown = Kind("nobody.example.com", "v1", "nothings", "Nothing")
    assert not await server.serves(unknown)
    with pytest.raises(Missing):
        await server.list(unknown, ns)
    assert await server.get(Ref(unknown, ns, "n")) is None


@pytest.mark.parametrize("change", [{"name": "Not_A_Name"}, {"labels": {"a": "with spaces"}}])
async def test_what_the_api_server_finds_invalid_is_refused_with_its_words(server, ns, change):
    bad = a_map(ns)
    bad["metadata"] |= change
    with pytest.raises(Refused, match="Invalid value"):
        await server.create(bad)


async def test_a_person_without_permission_is_refused_by_name(control_plane, ns):
    nobody = Credentials(control_plane.user("nobody"))
    async with await ApiServer.connect(nobody) as server:
        with pytest.raises(Refused, match='User "nobody" cannot list'):
            await server.list(CONFIG_MAP, ns)


# requests that go wrong


@pytest.fixture
async def faulty(proxy):
    """The gateway through the proxy, with short time-outs."""
    async with await ApiServer.connect(Credentials(proxy.kubeconfig), limits=QUICK) as connected:
        yield connected


@pytest.mark.parametrize("act", [reset, answer(500), answer(503), answer(429, retry_after=1), lose_reply])
async def test_a_read_survives_two_failures(proxy, faulty, ns, act):
    made = await faulty.create(a_map(ns))
    proxy.add(Rule(everything, act, times=2))
    assert await faulty.get(Ref(CONFIG_MAP, ns, "flags")) == made


async def test_a_read_gives_up_after_its_retries(proxy, faulty, ref):
    proxy.add(Rule(everything, answer(503), times=None))
    with pytest.raises(Unavailable, match="503"):
        await faulty.get(ref)
    assert len(proxy.seen) == 3


async def test_a_read_that_is_asked_to_wait_longer_than_it_may_gives_up_at_once(proxy, faulty, ref):
    proxy.add(Rule(everything, answer(429, retry_after=60), times=None))
    with pytest.raises(Unavailable) as caught:
        await faulty.get(ref)
    assert (len(proxy.seen), caught.value.retry_after) == (1, 60)


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (answer(409), Conflict),
        (answer(422), Refused),
        (answer(403), Refused),
        (answer(404), Missing),
        (answer(429), Unavailable),
        (answer(500), Unavailable),
        (answer(504), Unavailable),
        (reset, Unavailable),
    ],
)
async def test_a_write_is_tried_once_and_its_failure_is_classified(proxy, faulty, ref, act, error):
    proxy.add(Rule(writes(), act, times=None))
    with pytest.raises(error, match="flags"):
        await faulty.merge(ref, {"data": {"a": "1"}})
    assert len(proxy.seen) == 1


async def test_the_pause_that_the_server_asks_for_is_handed_on(proxy, faulty, ref):
    proxy.add(Rule(writes(), answer(429, retry_after=7)))
    with pytest.raises(Unavailable) as caught:
        await faulty.merge(ref, {"data": {"a": "1"}})
    assert caught.value.retry_after == 7


async def test_a_create_that_commits_and_loses_its_reply_is_unavailable_once_and_a_conflict_then(
    proxy, faulty, ns, ref
):
    proxy.add(Rule(on("POST", "configmaps"), lose_reply))
    with pytest.raises(Unavailable):
        await faulty.create(a_map(ns, a="1"))
    assert (await faulty.get(ref))["data"] == {"a": "1"}
    with pytest.raises(Conflict):
        await faulty.create(a_map(ns, a="1"))


async def test_a_replace_that_commits_and_loses_its_reply_never_takes_effect_twice(proxy, faulty, ns, ref):
    made = await faulty.create(a_map(ns, a="1"))
    proxy.add(Rule(on("PUT", "configmaps"), lose_reply))
    with pytest.raises((Unavailable, Conflict)):
        await faulty.replace({**made, "data": {"a": "2"}})
    assert (await faulty.get(ref))["data"] == {"a": "2"}
    assert len(proxy.written(USER_AGENT)) == 2


async def test_a_request_without_an_answer_ends_at_its_deadline(proxy, faulty, ref):
    never = asyncio.Event()
    proxy.add(Rule(writes(), hold(never)))
    with pytest.raises(Unavailable, match="no answer within 1 s"):
        await faulty.merge(ref, {"data": {"a": "1"}})


async def test_an_outage_is_unavailable_and_its_end_needs_no_new_client(proxy, faulty, server, ns, ref):
    made = await server.create(a_map(ns))
    proxy.cut()
    with pytest.raises(Unavailable):
        await faulty.get(ref)
    proxy.mend()
    assert await faulty.get(ref) == made


async def test_every_request_names_the_operator_and_its_version(proxy, faulty, ref):
    await faulty.get(ref)
    assert proxy.seen[0].agent == USER_AGENT
    assert USER_AGENT.startswith("agentrelease-operator/")


async def test_a_refused_token_is_read_anew_and_the_request_sent_again(proxy, tmp_path, server, ns, ref):
    made = await server.create(a_map(ns))
    kubeconfig = json.loads(proxy.kubeconfig.read_text())
    path = tmp_path / "rotating.kubeconfig"

    def give(token):
        kubeconfig["users"][0]["user"] = {"token": token}
        path.write_text(json.dumps(kubeconfig))

    give("old")
    given = []

    async def ask_for_the_new_one(exchange):
        given.append(exchange.request.headers["Authorization"])
        await (exchange.reply() if given[-1] == "Bearer new" else exchange.answer(401, {}, {}))

    proxy.add(Rule(everything, ask_for_the_new_one, times=None))
    async with await ApiServer.connect(Credentials(path), limits=QUICK) as client:
        give("new")
        assert await client.get(ref) == made
    assert given == ["Bearer old", "Bearer new"]


async def test_a_token_that_stays_refused_is_an_outage_and_no_hot_loop(proxy, faulty, ref):
    proxy.add(Rule(everything, answer(401), times=None))
    with pytest.raises(Unavailable, match="401"):
        await faulty.merge(ref, {"data": {"a": "1"}})
    assert len(proxy.seen) == 2


# pure


def test_an_error_about_a_secret_never_quotes_the_server():
    request = Request("PUT", "/x", "Secret shop/s", secret=True)
    message = {"reason": "Invalid", "message": 'Invalid value: "hunter2"'}
    assert "hunter2" not in str(failure(request, Answer(422, message, None)))


def test_every_status_code_has_a_meaning_and_is_named():
    for status in range(300, 600):
        assert str(status) in str(failure(Request("GET", "/x", "x"), Answer(status, {}, None)))


def test_a_path_quotes_every_segment():
    assert path_of(Ref(CONFIG_MAP, "a/../b", "x?y#z")) == "/api/v1/namespaces/a%2F..%2Fb/configmaps/x%3Fy%23z"


def test_a_path_names_the_subresource():
    path = path_of(Ref(AGENT_RELEASE, "shop", "support"), "status")
    assert path == "/apis/agentrelease.dev/v1alpha1/namespaces/shop/agentreleases/support/status"


def test_a_type_that_we_never_touch_is_named_in_the_error():
    with pytest.raises(KeyError, match="Secret v1"):
        kind_of({"apiVersion": "v1", "kind": "Secret"})


def test_istio_is_in_the_table():
    assert kind_of({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"}) is VIRTUAL_SERVICE


async def test_a_missing_kubeconfig_is_said_in_one_sentence():
    with pytest.raises(CredentialsError, match="No kubeconfig at /nowhere/config"):
        await Credentials(Path("/nowhere/config")).load()


@pytest.mark.parametrize("content", ["", "{", "a: [", "clusters: []", "just text"])
async def test_a_broken_kubeconfig_is_said_in_one_sentence(tmp_path, content):
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(CredentialsError, match="Can't use kubeconfig"):
        await Credentials(path).load()
