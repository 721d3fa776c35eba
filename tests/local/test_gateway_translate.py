"""Gateway API objects become the Envoy configuration and the statuses that the specification asks for."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrelease.local.gateway.dating import conditions_since, merged_parents
from agentrelease.local.gateway.isolation import Refusal
from agentrelease.local.gateway.rules import NOWHERE
from agentrelease.local.gateway.status import CONTROLLER
from agentrelease.local.gateway.translate import Snapshot, translate

CLASS = {"metadata": {"name": "ours"}, "spec": {"controllerName": CONTROLLER}}
GATEWAY = {
    "metadata": {"namespace": "shop", "name": "gate", "generation": 3},
    "spec": {"gatewayClassName": "ours", "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]},
}
PARENT = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gate"}


def service(name, *, namespace="shop", target=8080):
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": target}]}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


def pod(name, app, address, **fields):
    meta = {"namespace": "shop", "name": name, "labels": {"app": app, "other": "label"}}
    return {
        "metadata": meta | fields.get("meta", {}),
        "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 9090}]}]},
        "status": {
            "podIP": address,
            "conditions": [{"type": "Ready", "status": fields.get("ready", "True")}],
        },
    }


def backend(name, weight=None, **fields):
    return {"name": name, "port": 80} | ({} if weight is None else {"weight": weight}) | fields


def route(*rules, name="support", generation=1, created="2026-01-01T00:00:00Z", **fields):
    meta = {"namespace": "shop", "name": name, "generation": generation, "creationTimestamp": created}
    meta["annotations"] = fields.pop("annotations", {})
    return {"metadata": meta, "spec": {"parentRefs": [PARENT], "rules": list(rules)} | fields}


def translated(*routes, **more):
    more.setdefault("services", (service("blue"), service("green")))
    more.setdefault("gateways", (GATEWAY,))
    return translate(Snapshot(classes=(CLASS,), routes=routes, **more))


def envoy_routes(translation, host="*"):
    hosts = {vhost["name"]: vhost["routes"] for vhost in translation.routes["virtual_hosts"]}
    return hosts[host]


def split_of(envoy_route):
    """Share of each cluster, as Envoy computes it."""
    arms = envoy_route["route"]["weighted_clusters"]["clusters"]
    total = sum(arm["weight"] for arm in arms)
    return {arm["name"]: Fraction(arm["weight"], total) for arm in arms}


def conditions(translation, name="support"):
    [entry] = translation.route_parents["shop", name]
    return {c["type"]: (c["status"], c["reason"]) for c in entry["conditions"]}


# Weights


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ([95, 5], {"shop.blue.80": Fraction(95, 100), "shop.green.80": Fraction(5, 100)}),
        (
            [999_999, 1],
            {"shop.blue.80": Fraction(999_999, 1_000_000), "shop.green.80": Fraction(1, 1_000_000)},
        ),
        ([3, 0], {"shop.blue.80": Fraction(1)}),
        ([None, None], {"shop.blue.80": Fraction(1, 2), "shop.green.80": Fraction(1, 2)}),
        ([0, 7], {"shop.green.80": Fraction(1)}),
    ],
)
def test_weights_are_shares_of_their_sum(weights, shares):
    done = translated(route({"backendRefs": [backend("blue", weights[0]), backend("green", weights[1])]}))
    assert split_of(envoy_routes(done)[0]) == shares


@pytest.mark.parametrize("rule", [{}, {"backendRefs": []}, {"backendRefs": [backend("blue", 0)]}])
def test_a_rule_without_any_weight_answers_500(rule):
    [entry] = envoy_routes(translated(route(rule)))
    assert entry["direct_response"] == {"status": 500}


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (backend("gone", 1), "BackendNotFound"),
        ({"name": "green", "port": 81, "weight": 1}, "BackendNotFound"),
        (backend("green", 1, namespace="elsewhere"), "RefNotPermitted"),
        (backend("green", 1, kind="Bucket", group="storage.example"), "InvalidKind"),
    ],
)
def test_a_backend_that_leads_nowhere_keeps_its_share_and_is_reported(reference, reason):
    done = translated(route({"backendRefs": [backend("blue", 3), reference]}))
    [entry] = envoy_routes(done)
    assert split_of(entry)[NOWHERE] == Fraction(1, 4)
    assert entry["route"]["cluster_not_found_response_code"] == "INTERNAL_SERVER_ERROR"
    assert NOWHERE not in done.clusters
    assert conditions(done) == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("False", reason)}


def ends_of(weights):
    """Where each backend's stretch of the session circle ends, as a fraction of it."""
    arms = [backend(f"arm{n}", weight) for n, weight in enumerate(weights)]
    sticky = route({"backendRefs": arms}, annotations={"agentrelease.dev/session-header": "x-session"})
    services = tuple(service(f"arm{n}") for n in range(len(weights)))
    [entry] = envoy_routes(translated(sticky, services=services))
    weighted = entry["route"]["weighted_clusters"]
    assert weighted["use_hash_policy"] is True
    ends, total = {}, 0
    for arm in weighted["clusters"]:
        total += arm["weight"]
        ends[arm["name"].split(".")[1]] = total
    assert total == 1_000_000_000
    return ends


@settings(deadline=None)
@given(
    before=st.lists(st.integers(0, 1_000_000), min_size=2, max_size=16).filter(any),
    after=st.lists(st.integers(0, 1_000_000), min_size=2, max_size=16).filter(any),
)
def test_a_growing_first_backend_keeps_every_session_it_has(before, after):
    share = [Fraction(weights[0], sum(weights)) for weights in (before, after)]
    ends = [ends_of(weights).get("arm0", 0) for weights in (before, after)]
    assert (ends[0] <= ends[1]) or share[0] >= share[1]
    for exact, end in zip(share, ends, strict=True):
        assert abs(exact - Fraction(end, 1_000_000_000)) <= Fraction(1, 1_000_000_000)


@settings(deadline=None)
@given(st.lists(st.integers(1, 1_000_000), min_size=1, max_size=16))
def test_no_weight_above_zero_is_rounded_away_by_stickiness(weights):
    assert len(set(ends_of(weights).values())) == len(weights)


def test_routes_salt_their_sessions_so_that_the_same_people_are_not_always_first():
    notes = {"agentrelease.dev/session-header": "x-session"}
    done = translated(
        route({"backendRefs": [backend("blue")]}, name="a", annotations=notes),
        route({"backendRefs": [backend("blue")]}, name="b", annotations=notes),
    )
    policies = [entry["route"]["hash_policy"] for entry in envoy_routes(done)]
    assert policies[0] != policies[1]


# Matches and their order


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({}, {"prefix": "/"}),
        ({"path": {"type": "PathPrefix", "value": "/"}}, {"prefix": "/"}),
        ({"path": {"type": "PathPrefix", "value": "/v1/"}}, {"path_separated_prefix": "/v1"}),
        ({"path": {"type": "Exact", "value": "/v1"}}, {"path": "/v1"}),
        ({"path": {"type": "RegularExpression", "value": "/v[12]"}}, {"safe_regex": {"regex": "/v[12]"}}),
        (
            {
                "headers": [
                    {"name": "X-Audience", "value": "internal"},
                    {"name": "x-audience", "value": "ignored"},
                ]
            },
            {"prefix": "/", "headers": [{"name": "X-Audience", "string_match": {"exact": "internal"}}]},
        ),
        (
            {"headers": [{"name": "cookie", "type": "RegularExpression", "value": ".*beta=1.*"}]},
            {
                "prefix": "/",
                "headers": [{"name": "cookie", "string_match": {"safe_regex": {"regex": ".*beta=1.*"}}}],
            },
        ),
        (
            {"method": "POST", "queryParams": [{"name": "v", "value": "2"}]},
            {
                "prefix": "/",
                "headers": [{"name": ":method", "string_match": {"exact": "POST"}}],
                "query_parameters": [{"name": "v", "string_match": {"exact": "2"}}],
            },
        ),
    ],
)
def test_matches_say_the_same_to_envoy(declared, expected):
    [entry] = envoy_routes(translated(route({"matches": [declared], "backendRefs": [backend("blue")]})))
    assert entry["match"] == expected


MOST_SPECIFIC_FIRST = [
    {"path": {"type": "Exact", "value": "/a"}},
    {"path": {"type": "PathPrefix", "value": "/a/b"}},
    {"path": {"type": "PathPrefix", "value": "/a"}, "method": "GET"},
    {"path": {"type": "PathPrefix", "value": "/a"}, "headers": [{"name": n, "value": "1"} for n in "xy"]},
    {"path": {"type": "PathPrefix", "value": "/a"}, "headers": [{"name": "x", "value": "1"}]},
    {"path": {"type": "PathPrefix", "value": "/a"}, "queryParams": [{"name": "q", "value": "1"}]},
    {"path": {"type": "PathPrefix", "value": "/a"}},
    {},
]


@settings(deadline=None)
@given(st.permutations(MOST_SPECIFIC_FIRST))
def test_the_more_specific_match_is_tried_first_in_whatever_order_it_is_written(order):
    rules = [{"matches": [declared], "backendRefs": [backend("blue")]} for declared in order]
    found = [entry["match"] for entry in envoy_routes(translated(route(*rules)))]
    alone = [
        envoy_routes(translated(route({"matches": [m], "backendRefs": [backend("blue")]})))[0]["match"]
        for m in MOST_SPECIFIC_FIRST
    ]
    assert found == alone


def test_among_equals_the_older_route_wins_then_its_name_then_the_earlier_rule():
    rule = {"backendRefs": [backend("blue")]}
    done = translated(
        route(rule, rule, name="b"),
        route(rule, name="a"),
        route(rule, name="z", created="2025-01-01T00:00:00Z"),
    )
    assert [entry["name"] for entry in envoy_routes(done)] == ["shop/z/0", "shop/a/0", "shop/b/0", "shop/b/1"]


# Filters


@pytest.mark.parametrize(
    ("amount", "numerator"),
    [
        ({}, 1_000_000),
        ({"percent": 30}, 300_000),
        ({"fraction": {"numerator": 1, "denominator": 1000}}, 1_000),
    ],
)
def test_a_mirror_copies_its_part_of_the_requests(amount, numerator):
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": backend("green")} | amount}
    done = translated(route({"filters": [mirror], "backendRefs": [backend("blue")]}))
    [policy] = envoy_routes(done)[0]["route"]["request_mirror_policies"]
    assert policy["cluster"] == "shop.green.80"
    assert policy["runtime_fraction"]["default_value"] == {"numerator": numerator, "denominator": "MILLION"}
    assert "shop.green.80" in done.clusters


def test_a_mirror_to_nowhere_is_reported_and_leaves_the_users_alone():
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": backend("gone")}}
    done = translated(route({"filters": [mirror], "backendRefs": [backend("blue")]}))
    assert split_of(envoy_routes(done)[0]) == {"shop.blue.80": 1}
    assert "request_mirror_policies" not in envoy_routes(done)[0]["route"]
    assert conditions(done)["ResolvedRefs"] == ("False", "BackendNotFound")


def test_headers_of_one_backend_are_its_own_and_not_its_mirrors():
    own = {
        "type": "RequestHeaderModifier",
        "requestHeaderModifier": {"set": [{"name": "X-Agent", "value": "100%"}]},
    }
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": backend("green")}}
    done = translated(route({"filters": [mirror], "backendRefs": [backend("blue", filters=[own])]}))
    action = envoy_routes(done)[0]["route"]
    [arm] = action["weighted_clusters"]["clusters"]
    [option] = arm["request_headers_to_add"]
    assert option["header"] == {"key": "X-Agent", "value": "100%%"}
    assert option["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"
    assert action["request_mirror_policies"][0]["request_headers_mutations"] == [{"remove": "x-agent"}]


def test_response_headers_can_be_set_added_and_removed():
    change = {"set": [{"name": "a", "value": "1"}], "add": [{"name": "b", "value": "2"}], "remove": ["c"]}
    rule = {"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": change}]}
    [entry] = envoy_routes(translated(route(rule | {"backendRefs": [backend("blue")]})))
    how = {option["header"]["key"]: option["append_action"] for option in entry["response_headers_to_add"]}
    assert how == {"a": "OVERWRITE_IF_EXISTS_OR_ADD", "b": "APPEND_IF_EXISTS_OR_ADD"}
    assert entry["response_headers_to_remove"] == ["c"]


@pytest.mark.parametrize(
    "filter_",
    [
        {"type": "URLRewrite", "urlRewrite": {"hostname": "elsewhere.example"}},
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["Host"]}},
    ],
)
def test_a_rule_that_cannot_be_served_is_dropped_and_the_status_says_which(filter_):
    bad = {"filters": [filter_], "backendRefs": [backend("blue")]}
    good = {"backendRefs": [backend("blue")]}
    partly = translated(route(good, bad))
    assert [entry["name"] for entry in envoy_routes(partly)] == ["shop/support/0"]
    assert conditions(partly)["Accepted"] == ("True", "Accepted")
    assert conditions(partly)["PartiallyInvalid"] == ("True", "UnsupportedValue")
    [entry] = partly.route_parents["shop", "support"]
    assert "Rule 1" in entry["conditions"][2]["message"]
    assert conditions(translated(route(bad)))["Accepted"] == ("False", "UnsupportedValue")


# Endpoints


def test_endpoints_are_the_ready_pods_of_the_service_and_no_others():
    pods = (
        pod("one", "blue", "127.9.0.2"),
        pod("two", "blue", "127.9.0.1"),
        pod("starting", "blue", "127.9.0.3", ready="False"),
        pod("leaving", "blue", "127.9.0.4", meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        pod("other", "green", "127.9.0.5"),
    )
    done = translated(route({"backendRefs": [backend("blue")]}), pods=pods)
    assert addresses(done, "shop.blue.80") == [("127.9.0.1", 8080), ("127.9.0.2", 8080)]


def test_a_named_target_port_is_looked_up_in_each_pod():
    done = translated(
        route({"backendRefs": [backend("blue")]}),
        services=(service("blue", target="web"),),
        pods=(pod("one", "blue", "127.9.0.1"),),
    )
    assert addresses(done, "shop.blue.80") == [("127.9.0.1", 9090)]


def addresses(translation, cluster):
    [locality] = translation.clusters[cluster]["load_assignment"]["endpoints"]
    sockets = [host["endpoint"]["address"]["socket_address"] for host in locality["lb_endpoints"]]
    return [(socket["address"], socket["port_value"]) for socket in sockets]


# Attachment and statuses


def gateway(*listeners):
    return GATEWAY | {"spec": {"gatewayClassName": "ours", "listeners": list(listeners)}}


HTTP = {"name": "http", "protocol": "HTTP", "port": 80}


@pytest.mark.parametrize(
    ("listener", "hostnames", "served"),
    [
        (None, [], ["*"]),
        (None, ["a.example"], ["a.example"]),
        ("a.example", [], ["a.example"]),
        ("*.example", ["a.example", "b.other"], ["a.example"]),
        ("*.example", ["a.b.example"], ["a.b.example"]),
        ("a.example", ["*.example"], ["a.example"]),
        ("*.example", ["*.b.example"], ["*.b.example"]),
        ("*.b.example", ["*.example"], ["*.b.example"]),
        ("a.example", ["b.example"], None),
        ("*.example", ["example"], None),
    ],
)
def test_a_route_is_served_under_the_hostnames_it_shares_with_the_listener(listener, hostnames, served):
    hosted = HTTP | ({"hostname": listener} if listener else {})
    done = translated(
        route({"backendRefs": [backend("blue")]}, hostnames=hostnames), gateways=(gateway(hosted),)
    )
    assert [vhost["name"] for vhost in done.routes["virtual_hosts"]] == (served or [])
    expected = ("True", "Accepted") if served else ("False", "NoMatchingListenerHostname")
    assert conditions(done)["Accepted"] == expected


@pytest.mark.parametrize(
    ("parent", "listener", "reason"),
    [
        ({"sectionName": "nope"}, HTTP, "NoMatchingParent"),
        ({"port": 81}, HTTP, "NoMatchingParent"),
        ({}, HTTP | {"protocol": "TLS"}, "NotAllowedByListeners"),
        ({}, HTTP | {"allowedRoutes": {"kinds": [{"kind": "GRPCRoute"}]}}, "NotAllowedByListeners"),
    ],
)
def test_a_route_that_no_listener_takes_is_not_accepted(parent, listener, reason):
    done = translated(
        route({"backendRefs": [backend("blue")]}, parentRefs=[PARENT | parent]), gateways=(gateway(listener),)
    )
    assert done.routes["virtual_hosts"] == []
    assert conditions(done)["Accepted"] == ("False", reason)
    [listener_status] = done.gateway_status["shop", "gate"]["listeners"]
    assert listener_status["attachedRoutes"] == 0


@pytest.mark.parametrize(
    ("allowed", "accepted"),
    [
        ({"from": "Same"}, False),
        ({"from": "All"}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "b"}}}, False),
    ],
)
def test_a_route_of_another_namespace_needs_the_listeners_consent(allowed, accepted):
    other = route({"backendRefs": []}, parentRefs=[PARENT | {"namespace": "shop"}])
    other["metadata"]["namespace"] = "lab"
    done = translated(
        other,
        gateways=(gateway(HTTP | {"allowedRoutes": {"namespaces": allowed}}),),
        namespaces=({"metadata": {"name": "lab", "labels": {"team": "a"}}},),
    )
    [entry] = done.route_parents["lab", "support"]
    assert (entry["conditions"][0]["status"] == "True") is accepted


def test_gateways_and_parents_of_other_controllers_are_left_alone():
    foreign = GATEWAY | {"spec": GATEWAY["spec"] | {"gatewayClassName": "theirs"}}
    done = translated(route({"backendRefs": [backend("blue")]}), gateways=(foreign,))
    assert done.gateway_status == {}
    assert done.route_parents == {("shop", "support"): []}
    assert done.clusters == {}


def test_a_listener_that_cannot_be_served_says_why_and_the_others_serve():
    done = translated(
        route({"backendRefs": [backend("blue")]}),
        gateways=(gateway(HTTP, {"name": "tls", "protocol": "HTTPS", "port": 443}),),
    )
    status = done.gateway_status["shop", "gate"]
    says = {listener["name"]: listener["conditions"][0] for listener in status["listeners"]}
    assert (says["http"]["status"], says["tls"]["status"]) == ("True", "False")
    assert says["tls"]["reason"] == "UnsupportedProtocol"
    assert {c["type"]: c["observedGeneration"] for c in status["conditions"]} == {
        "Accepted": 3,
        "Programmed": 3,
    }


def test_a_gateway_without_any_listener_that_can_be_served_is_not_accepted():
    done = translated(gateways=(gateway(HTTP | {"protocol": "TLS"}),))
    status = done.gateway_status["shop", "gate"]
    assert {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]} == {
        "Accepted": ("False", "ListenersNotValid"),
        "Programmed": ("False", "Invalid"),
    }


def test_a_refused_route_serves_its_last_good_version_and_says_so():
    good = route({"backendRefs": [backend("blue")]}, generation=4)
    bad = route({"backendRefs": [backend("green")]}, generation=5)
    done = translated(bad, refused={("shop", "support"): Refusal(5, "bad regex", good)})
    assert split_of(envoy_routes(done)[0]) == {"shop.blue.80": 1}
    [entry] = done.route_parents["shop", "support"]
    seen = {c["type"]: (c["status"], c["observedGeneration"]) for c in entry["conditions"]}
    assert seen == {"Accepted": ("True", 4), "ResolvedRefs": ("True", 4), "PartiallyInvalid": ("True", 5)}
    never_good = translated(bad, refused={("shop", "support"): Refusal(5, "bad regex", None)})
    assert conditions(never_good)["Accepted"] == ("False", "UnsupportedValue")
    assert never_good.clusters == {}


def test_a_condition_keeps_its_time_while_its_status_stays():
    old = [{"type": "Accepted", "status": "True", "lastTransitionTime": "then"}]
    new = [
        {"type": "Accepted", "status": "True", "reason": "New"},
        {"type": "ResolvedRefs", "status": "False"},
    ]
    assert [c["lastTransitionTime"] for c in conditions_since(new, old, "now")] == ["then", "now"]
    flipped = [{"type": "Accepted", "status": "False"}]
    assert conditions_since(flipped, old, "now")[0]["lastTransitionTime"] == "now"


def test_a_report_replaces_ours_and_keeps_what_other_controllers_say():
    theirs = {"controllerName": "other.example/gateway", "parentRef": PARENT, "conditions": []}
    stale = {"controllerName": CONTROLLER, "parentRef": {"name": "gone"}, "conditions": []}
    fresh = {"controllerName": CONTROLLER, "parentRef": PARENT, "conditions": []}
    assert merged_parents([fresh], [theirs, stale], "now") == [theirs, fresh]


# For all routes


NAMES = st.sampled_from(["blue", "green", "gone"])
WEIGHTS = st.one_of(st.none(), st.integers(0, 1_000_000))
FILTERS = st.lists(
    st.sampled_from(
        [
            {"type": "RequestMirror", "requestMirror": {"backendRef": backend("green"), "percent": 10}},
            {"type": "RequestMirror", "requestMirror": {"backendRef": backend("gone")}},
            {
                "type": "RequestHeaderModifier",
                "requestHeaderModifier": {"set": [{"name": "a", "value": "%"}]},
            },
            {"type": "ExtensionRef"},
        ]
    ),
    max_size=2,
)
RULES = st.builds(
    lambda matches, filters, refs: {"matches": matches, "filters": filters, "backendRefs": refs},
    st.lists(st.sampled_from(MOST_SPECIFIC_FIRST), max_size=3),
    FILTERS,
    st.lists(st.builds(backend, NAMES, WEIGHTS), max_size=4),
)
ROUTES = st.builds(
    lambda rules, name, generation: route(*rules, name=name, generation=generation),
    st.lists(RULES, max_size=4),
    st.sampled_from(["a", "b", "c"]),
    st.integers(1, 9),
)


@settings(deadline=None)
@given(st.lists(ROUTES, max_size=3, unique_by=lambda r: r["metadata"]["name"]), st.randoms())
def test_the_order_of_objects_does_not_matter_and_nothing_refers_to_a_missing_cluster(routes, random):
    done = translated(*routes)
    shuffled = routes.copy()
    random.shuffle(shuffled)
    assert translated(*shuffled) == done
    for vhost in done.routes["virtual_hosts"]:
        for entry in vhost["routes"]:
            action = entry.get("route", {})
            used = {arm["name"] for arm in action.get("weighted_clusters", {}).get("clusters", [])}
            used |= {policy["cluster"] for policy in action.get("request_mirror_policies", [])}
            assert used <= done.clusters.keys() | {NOWHERE}
    for declared in routes:
        for entry in done.route_parents["shop", declared["metadata"]["name"]]:
            generations = {c["observedGeneration"] for c in entry["conditions"]}
            assert generations == {declared["metadata"]["generation"]}
