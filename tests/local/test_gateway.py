"""HTTPRoutes through the real API server and the real Envoy."""

from __future__ import annotations

import asyncio
import math
import os
import signal

import pytest
from tests.support.gateway import API, Shop, arm, eventually
from tests.support.proxy import Proxy

from agentrelease.core.exposure import Cohort
from agentrelease.edges.traffic.gateway_api import GatewayApi
from agentrelease.local.gateway.envoy import EnvoyFailed
from agentrelease.local.kubeapi import collection


@pytest.fixture
async def shop(control_plane, namespace):
    async with Shop(control_plane.kubeconfig, namespace()) as opened:
        yield opened


def within_three_deviations(hits, tries, share):
    """The interval of Gateway API's own conformance test for mirrors."""
    return abs(hits - tries * share) <= 3 * math.sqrt(tries * share * (1 - share))


async def sampled(measure, tries, share):
    """Double sampling: a right share leaves its interval once in 370 times, both times once in 137,000."""
    first = await measure(tries)
    return within_three_deviations(first, tries, share) or within_three_deviations(
        await measure(tries), tries, share
    )


# Weights


@pytest.mark.parametrize(("candidate", "tries"), [(1, 1000), (5, 1000), (50, 500)])
async def test_the_measured_share_is_the_weight_within_three_standard_deviations(shop, candidate, tries):
    await shop.serve({"backendRefs": [arm("green", candidate), arm("blue", 100 - candidate)]})

    async def measure(tries):
        return (await shop.count(tries))["green"]

    assert await sampled(measure, tries, candidate / 100)


async def test_a_deleted_backend_answers_500_for_its_share_only(shop):
    await shop.serve({"backendRefs": [arm("green", 1), arm("blue", 1)]})
    await shop.remove_service("green")

    async def unresolved():
        return (await shop.conditions())["ResolvedRefs"]["status"] == "False"

    await eventually(unresolved, "the status tells of the missing Service")
    assert (await shop.conditions())["ResolvedRefs"]["reason"] == "BackendNotFound"
    assert (await shop.conditions())["Accepted"]["status"] == "True"
    shop.green.asked.clear()

    async def measure(tries):
        counted = await shop.count(tries)
        assert counted.keys() <= {500, "blue"}
        return counted[500]

    assert await sampled(measure, 300, 0.5)
    assert shop.green.asked == []


async def test_weights_that_are_all_zero_answer_500(shop):
    await shop.serve({"backendRefs": [arm("green", 0), arm("blue", 0)]})
    assert await shop.count(10) == {500: 10}


async def test_no_request_fails_while_routes_change_under_it(shop):
    await shop.serve({"backendRefs": [arm("blue", 1)]})
    changing = asyncio.create_task(flip(shop, 15))
    answers = []
    while not changing.done() and len(answers) < 2_000:
        answers += await shop.ask(4)
    await changing
    assert {answer.status for answer in answers} == {200}
    assert {answer.arm for answer in answers} == {"blue", "green"}


async def flip(shop, times):
    for turn in range(times):
        await shop.serve({"backendRefs": [arm("green" if turn % 2 else "blue", 1)]})


# Sessions


async def arms_of(shop, sessions):
    answers = await asyncio.gather(*(shop.ask(x_session=session) for session in sessions))
    return {session: answer.arm for session, [answer] in zip(sessions, answers, strict=True)}


async def test_a_session_stays_on_its_arm_while_the_candidates_weight_grows(shop):
    sessions = [f"session-{n}" for n in range(150)]
    notes = {"agentrelease.dev/session-header": "x-session"}
    candidates = set()
    for green, blue in [(1, 99), (5, 95), (30, 70), (1, 1), (999, 1), (1, 0)]:
        await shop.serve({"backendRefs": [arm("green", green), arm("blue", blue)]}, notes=notes)
        first, again = await arms_of(shop, sessions), await arms_of(shop, sessions)
        assert first == again
        now = {session for session, chosen in first.items() if chosen == "green"}
        assert candidates <= now
        candidates = now
    assert candidates == set(sessions)


async def test_sessions_are_spread_by_weight_and_requests_without_one_at_random(shop):
    notes = {"agentrelease.dev/session-header": "x-session"}
    await shop.serve({"backendRefs": [arm("green", 30), arm("blue", 70)]}, notes=notes)
    names = iter(range(10**6))

    async def by_session(tries):
        chosen = await arms_of(shop, [f"{shop.namespace}-{next(names)}" for _ in range(tries)])
        return sum(1 for found in chosen.values() if found == "green")

    async def without(tries):
        return (await shop.count(tries))["green"]

    assert await sampled(by_session, 500, 0.3)
    assert await sampled(without, 300, 0.3)


async def test_a_rolled_back_session_moves_to_stable_with_its_next_request(shop):
    sessions = [f"session-{n}" for n in range(60)]
    notes = {"agentrelease.dev/session-header": "x-session"}
    await shop.serve({"backendRefs": [arm("blue", 50), arm("green", 50)]}, notes=notes)
    before = await arms_of(shop, sessions)
    assert set(before.values()) == {"blue", "green"}
    await shop.serve({"backendRefs": [arm("blue", 100), arm("green", 0)]}, notes=notes)
    assert set((await arms_of(shop, sessions)).values()) == {"blue"}


async def test_a_session_can_be_a_cookie(shop):
    notes = {"agentrelease.dev/session-cookie": "sid"}
    await shop.serve({"backendRefs": [arm("green", 1), arm("blue", 1)]}, notes=notes)
    chosen = [await shop.count(6, cookie=f"sid={n}; other={n}") for n in range(20)]
    assert all(len(counted) == 1 for counted in chosen)
    assert {next(iter(counted)) for counted in chosen} == {"blue", "green"}


# Shadow and cohort


async def test_a_shadows_answer_never_reaches_a_user_and_its_share_is_the_percentage(shop):
    mirror = {
        "type": "RequestMirror",
        "requestMirror": {"backendRef": {"name": "green", "port": 80}, "percent": 30},
    }
    await shop.serve({"filters": [mirror], "backendRefs": [arm("blue")]})

    async def measure(tries):
        shop.green.asked.clear()
        before = await shadowed(shop)
        assert await shop.count(tries) == {"blue": tries}
        return await shadowed(shop) - before

    assert await sampled(measure, 500, 0.3)


async def shadowed(shop):
    """Mirrored requests that Envoy has sent to green so far, once all are answered."""
    prefix = f"cluster.{shop.namespace}/green/80.upstream_rq"

    async def idle():
        async with shop.http.get(
            f"{shop.gateway.admin_url}/stats", params={"filter": f"^{prefix}_"}
        ) as answer:
            stats = dict(line.split(": ", 1) for line in (await answer.text()).splitlines())
        done = stats[f"{prefix}_active"] == "0" and stats[f"{prefix}_pending_active"] == "0"
        return (int(stats[f"{prefix}_total"]),) if done else None

    [total] = await eventually(idle, "Envoy has delivered every copy")
    return total


async def test_without_a_percentage_everything_is_mirrored_as_the_user_sent_it(shop):
    mark = {
        "type": "RequestHeaderModifier",
        "requestHeaderModifier": {"set": [{"name": "x-agent", "value": "b"}]},
    }
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "green", "port": 80}}}
    await shop.serve({"filters": [mirror], "backendRefs": [arm("blue", filters=[mark])]})
    assert await shop.count(40, x_task="7") == {"blue": 40}

    async def all_copied():
        return len(shop.green.asked) == 40

    await eventually(all_copied, "every copy has arrived")
    assert {headers.get("x-agent") for headers in shop.blue.asked} == {"b"}
    assert {headers.get("x-agent") for headers in shop.green.asked} == {None}
    assert {headers["x-task"] for headers in shop.green.asked} == {"7"}
    [host] = {headers["host"] for headers in shop.blue.asked}
    name, _, port = host.partition(":")
    assert {headers["host"] for headers in shop.green.asked} == {
        ":".join(filter(None, (f"{name}-shadow", port)))
    }


async def test_a_header_cohort_reaches_the_candidate_and_nobody_else_does(shop):
    cohort = {"headers": [{"name": "x-audience", "value": "internal"}]}
    await shop.serve({"backendRefs": [arm("blue")]}, {"matches": [cohort], "backendRefs": [arm("green")]})
    assert await shop.count(100, x_audience="internal") == {"green": 100}
    assert await shop.count(100) == {"blue": 100}
    assert await shop.count(100, x_audience="internal2") == {"blue": 100}


async def test_a_cookie_cohort_is_a_regular_expression_on_the_whole_header(shop):
    cookie = {"type": "RegularExpression", "name": "cookie", "value": "(.*; *)?beta=1(;.*)?"}
    await shop.serve(
        {"backendRefs": [arm("blue")]}, {"matches": [{"headers": [cookie]}], "backendRefs": [arm("green")]}
    )
    assert await shop.count(10, cookie="a=b; beta=1; c=d") == {"green": 10}
    assert await shop.count(10, cookie="a=b; nobeta=1") == {"blue": 10}


@pytest.mark.parametrize(("name", "value"), [("beta", "1"), ("b.t|a", "a=(b)+$"), ("__Host-x", "[^]{1}?*/")])
async def test_the_operators_cookie_cohort_reaches_the_candidate_and_near_misses_do_not(shop, name, value):
    rule = {"backendRefs": [arm("blue")]}
    copy = {"backendRefs": [arm("green")]}
    GatewayApi().narrow(copy, Cohort(name, value, cookie=True))
    await shop.serve(rule, copy)
    for cookie in (
        f"{name}={value}",
        f"a=b; {name}={value}",
        f"{name}={value};c=d",
        f"a=b; {name}={value}; c=d",
    ):
        assert await shop.count(5, cookie=cookie) == {"green": 5}, cookie
    misses = (
        f"{name}={value}1",
        f"x{name}={value}",
        f"a={name}={value}",
        f"{name.upper()}x={value}",
        f'{name}="{value}"',
        f"{name.replace('.', 'o')}={value[:-1]}",
    )
    for cookie in misses:
        assert await shop.count(5, cookie=cookie) == {"blue": 5}, cookie


# Headers and paths


async def test_headers_are_changed_on_the_way_in_and_out(shop):
    request = {
        "set": [{"name": "x-a", "value": "50%"}],
        "add": [{"name": "x-b", "value": "2"}],
        "remove": ["x-c"],
    }
    response = {"set": [{"name": "x-arm", "value": "hidden"}], "add": [{"name": "x-d", "value": "4"}]}
    filters = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": request},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": response},
    ]
    await shop.serve({"filters": filters, "backendRefs": [arm("blue")]})
    [answer] = await shop.ask(x_a="1", x_b="1", x_c="1")
    [seen] = shop.blue.asked
    assert (seen["x-a"], seen["x-b"], seen.get("x-c")) == ("50%", "1,2", None)
    assert (answer.headers["x-arm"], answer.headers["x-d"]) == ("hidden", "4")


async def test_each_arm_is_told_its_own_revision(shop):
    def told(revision):
        change = {"set": [{"name": "x-agent-release", "value": revision}]}
        return [{"type": "RequestHeaderModifier", "requestHeaderModifier": change}]

    refs = [arm("blue", filters=told("support-1")), arm("green", filters=told("support-2"))]
    await shop.serve({"backendRefs": refs})
    await shop.ask(60, x_agent_release="forged")
    assert {headers["x-agent-release"] for headers in shop.blue.asked} == {"support-1"}
    assert {headers["x-agent-release"] for headers in shop.green.asked} == {"support-2"}


async def test_a_path_prefix_matches_whole_segments(shop):
    prefix = {"matches": [{"path": {"type": "PathPrefix", "value": "/v2"}}], "backendRefs": [arm("green")]}
    await shop.serve(prefix)
    found = {path: (await shop.ask(path=path))[0].status for path in ("/v2", "/v2/x", "/v2x", "/")}
    assert found == {"/v2": 200, "/v2/x": 200, "/v2x": 404, "/": 404}


async def test_hostnames_choose_the_route(shop):
    await shop.serve({"backendRefs": [arm("blue")]}, name="one", hostnames=["one.example"])
    await shop.serve({"backendRefs": [arm("green")]}, name="two", hostnames=["*.two.example"])
    assert await shop.count(5, host="one.example") == {"blue": 5}
    assert await shop.count(5, host="a.two.example:8443") == {"green": 5}
    assert await shop.count(5, host="three.example") == {404: 5}


# Statuses


async def test_a_status_that_speaks_of_a_generation_means_that_envoy_has_it(shop):
    for turn in range(12):
        chosen = "green" if turn % 2 else "blue"
        conditions = await shop.serve({"backendRefs": [arm(chosen)]})
        assert conditions["Accepted"]["status"] == conditions["ResolvedRefs"]["status"] == "True"
        assert await shop.count(5) == {chosen: 5}


async def test_a_condition_that_stays_keeps_its_time_through_new_generations(shop):
    before = await shop.serve({"backendRefs": [arm("blue")]})
    missing = await shop.serve({"backendRefs": [arm("nobody")]})
    assert missing["ResolvedRefs"]["reason"] == "BackendNotFound"
    assert missing["Accepted"]["lastTransitionTime"] == before["Accepted"]["lastTransitionTime"]
    assert missing["Accepted"]["observedGeneration"] > before["Accepted"]["observedGeneration"]


async def test_a_route_that_envoy_refuses_keeps_its_last_good_version_and_holds_up_nobody(shop):
    await shop.serve({"backendRefs": [arm("blue")]}, name="route", hostnames=["one.example"])
    bad = {"headers": [{"type": "RegularExpression", "name": "x", "value": "(?=never)"}]}
    path = f"{collection(API, 'httproutes', shop.namespace)}/route"
    await shop.api.patch(path, {"spec": {"rules": [{"matches": [bad], "backendRefs": [arm("green")]}]}})

    async def told():
        return (await shop.conditions()).get("PartiallyInvalid")

    partly = await eventually(told, "the status tells that the route fell back")
    assert (partly["status"], partly["observedGeneration"]) == ("True", 2)
    assert "(?=" in partly["message"]
    assert (await shop.conditions())["Accepted"]["observedGeneration"] == 1
    assert await shop.count(5, host="one.example") == {"blue": 5}
    await shop.serve({"backendRefs": [arm("green")]}, name="other", hostnames=["two.example"])
    assert await shop.count(5, host="two.example") == {"green": 5}
    mended = await shop.serve({"backendRefs": [arm("green")]}, hostnames=["one.example"])
    assert "PartiallyInvalid" not in mended
    assert await shop.count(5, host="one.example") == {"green": 5}


async def test_a_new_route_that_envoy_refuses_is_not_accepted(shop):
    bad = {"path": {"type": "RegularExpression", "value": "/(?P<"}}
    conditions = await shop.serve({"matches": [bad], "backendRefs": [arm("green")]})
    assert (conditions["Accepted"]["status"], conditions["Accepted"]["reason"]) == (
        "False",
        "UnsupportedValue",
    )
    assert "(?P" in conditions["Accepted"]["message"]


async def test_a_filter_that_is_not_implemented_is_named_in_the_status(shop):
    rewrite = {"type": "URLRewrite", "urlRewrite": {"hostname": "elsewhere.example"}}
    conditions = await shop.serve({"filters": [rewrite], "backendRefs": [arm("blue")]})
    assert (conditions["Accepted"]["status"], conditions["Accepted"]["reason"]) == (
        "False",
        "UnsupportedValue",
    )
    assert "URLRewrite" in conditions["Accepted"]["message"]


async def test_the_gateway_and_its_class_say_that_they_are_served(shop):
    await shop.serve({"backendRefs": [arm("blue")]})
    gateways = collection(API, "gateways", shop.namespace)

    async def counted():
        gate = await shop.api.get(f"{gateways}/gate")
        status = gate["status"]
        return status if status.get("listeners", [{}])[0].get("attachedRoutes") == 1 else None

    status = await eventually(counted, "the listener counts its route")
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Accepted": "True",
        "Programmed": "True",
    }
    assert status["addresses"] == [{"type": "IPAddress", "value": "127.0.0.1"}]

    async def class_accepted():
        found = await shop.api.get(f"{collection(API, 'gatewayclasses')}/agentrelease-local")
        return [c["type"] for c in found["status"]["conditions"] if c["status"] == "True"] == ["Accepted"]

    await eventually(class_accepted, "the class is accepted")


# The API server's absence, Pods, and the end


async def test_an_absent_api_server_costs_no_user_a_request_and_what_changed_comes_through_afterwards(
    control_plane, namespace, tmp_path
):
    async with Proxy(control_plane) as proxy:
        way = proxy.kubeconfig(tmp_path)
        async with Shop(control_plane.kubeconfig, namespace(), way) as shop:
            await shop.serve({"backendRefs": [arm("blue")]})
            proxy.cut()
            refs = {"spec": {"rules": [{"backendRefs": [arm("green")]}]}}
            path = f"{collection(API, 'httproutes', shop.namespace)}/route"
            changed = await shop.api.patch(path, refs)
            assert await shop.count(50) == {"blue": 50}
            assert (await shop.conditions())["Accepted"]["observedGeneration"] == 1
            proxy.mend()
            await shop.reported(changed["metadata"]["generation"])
            assert await shop.count(50) == {"green": 50}


async def test_a_pod_that_is_no_longer_ready_gets_no_more_requests(shop):
    await shop.serve({"backendRefs": [arm("blue"), arm("green")]})
    path = f"{collection('v1', 'pods', shop.namespace)}/green/status"
    unready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    await shop.api.patch(path, unready, strategy="strategic-merge")

    async def empty():
        return 503 in await shop.count(10)

    await eventually(empty, "Envoy knows that green has no ready Pod")
    shop.green.asked.clear()
    assert (await shop.count(100)).keys() <= {"blue", 503}
    assert shop.green.asked == []


async def test_an_envoy_that_dies_is_noticed(shop):
    watching = asyncio.create_task(shop.gateway.failed())
    os.kill(shop.gateway._envoy._process.pid, signal.SIGKILL)
    with pytest.raises(EnvoyFailed, match="-9"):
        await watching
