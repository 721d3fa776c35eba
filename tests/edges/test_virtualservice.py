"""A user's Istio VirtualService as a lever: its rules by property, and the object on the real API server.

Istio's own CRD is served; no mesh runs, so what Envoy makes of it is not tested here.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes import client

from agentrelease.core.exposure import NOTHING, Cohort, Exposure
from agentrelease.edges.kinds import VIRTUAL_SERVICE
from agentrelease.edges.traffic.istio import Istio
from agentrelease.edges.traffic.rules import Rules
from agentrelease.edges.traffic.virtualservice import VirtualServiceTraffic
from agentrelease.engine.levers import Arm, Placement, Reading
from agentrelease.engine.ports import Ref, Refused
from agentrelease.local import builds

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.edges.cluster import ApiServer
    from agentrelease.engine.ports import Object

rules = Rules(Istio())
BLUE, GREEN = "support-blue", "support-green"
INTERNAL = Cohort("X-Audience", "internal")
EVERYTHING = Exposure(mirror=12.5, cohort=INTERNAL, weight=0.5)
Rule = dict[str, Any]


def placed(exposure: Exposure | None, namespace: str = "support", *, first: bool = False) -> Placement:
    return Placement(
        namespace=namespace,
        agent="support",
        route=None,
        config_map="flags",
        stable=None if first else Arm("support-3f9a0c11de", BLUE, NOTHING),
        candidate=None if exposure is None else Arm("support-77aa00bb12", GREEN, exposure),
        services=(BLUE, GREEN),
        objects={"virtualservice": "support"},
    )


def to(host: str, weight: int | None = None) -> Rule:
    destination = {"destination": {"host": host, "port": {"number": 80}}}
    return destination if weight is None else destination | {"weight": weight}


def both(**more: Any) -> Rule:
    return {"route": [to(BLUE, 100), to(GREEN, 0)], "timeout": "300s"} | more


def shares(rule: Rule) -> list[tuple[str, int]]:
    return [(item["destination"]["host"], item.get("weight", -1)) for item in rule["route"]]


hosts = st.sampled_from([BLUE, GREEN, f"{GREEN}.support.svc.cluster.local", f"{BLUE}.elsewhere", "legacy"])
user_rules = st.lists(
    st.builds(
        lambda refs, match, extra: {"route": refs} | ({"match": match} if match else {}) | extra,
        st.lists(st.builds(to, hosts, st.none() | st.integers(0, 1000)), min_size=1, max_size=4),
        st.lists(
            st.sampled_from(
                [
                    {"uri": {"prefix": "/chat"}},
                    {"headers": {"x-audience": {"exact": "partner"}}},
                    {"headers": {"x-region": {"regex": "eu.*"}}, "name": "eu"},
                ]
            ),
            max_size=2,
        ),
        st.sampled_from(
            [
                {},
                {"mirrors": [{"destination": {"host": "audit"}}]},
                {"mirror": {"host": "audit"}, "mirrorPercentage": {"value": 5}},
                {"mirror": {"host": GREEN}},
            ]
        ),
    ),
    max_size=4,
)
exposures = st.builds(
    Exposure,
    mirror=st.sampled_from([0.0, 33.3, 100.0]),
    cohort=st.none() | st.just(INTERNAL) | st.just(Cohort("beta.2", "a=(b)", cookie=True)),
    weight=st.sampled_from([0.0, 0.5, 5.0, 100.0]),
)
placements = st.builds(placed, st.none() | exposures, first=st.booleans())


@settings(deadline=None)
@given(user_rules, placements)
def test_rules_without_a_slot_stay_as_they_are_and_others_keep_their_matches(
    before: list[Rule], placement: Placement
) -> None:
    untouched = deepcopy(before)
    after = [
        rule
        for rule in rules.written(before, placement)
        if not str(rule.get("name", "")).startswith("agentrelease-cohort.")
    ]
    assert before == untouched
    assert [rule.get("match") for rule in after] == [rule.get("match") for rule in before]
    unmarked = [rule for rule in before if not rules.base([rule], placement)]
    assert [rule for rule in after if rule in unmarked] == unmarked


@settings(deadline=None)
@given(user_rules, placements, placements)
def test_what_is_read_back_is_never_more_than_was_asked_for(
    before: list[Rule], first: Placement, then: Placement
) -> None:
    once = rules.written(before, first)
    if rules.obstacle(once, then):
        return
    found, _ = rules.reading(rules.written(once, then), then)
    assert found is not None
    assert found.within(then.candidate.exposure if then.candidate else NOTHING)


@settings(deadline=None)
@given(user_rules, placements)
def test_lowering_to_nothing_leaves_nothing_for_the_candidate(
    before: list[Rule], placement: Placement
) -> None:
    lowered = rules.written(rules.written(before, placement), placed(NOTHING))
    found, _ = rules.reading(lowered, placed(NOTHING))
    assert found in (None, NOTHING)
    assert rules.written(lowered, placed(NOTHING)) == lowered


def test_weights_mirror_and_cohort_stand_where_istio_looks_for_them() -> None:
    cohort, rule = rules.written([both(match=[{"uri": {"prefix": "/chat"}}])], placed(EVERYTHING))
    assert shares(rule) == [(BLUE, 9_950), (GREEN, 50)]
    mirror = {"destination": {"host": GREEN, "port": {"number": 80}}, "percentage": {"value": 12.5}}
    assert rule["mirrors"] == [mirror]
    assert "mirrors" not in cohort
    assert shares(cohort) == [(BLUE, 0), (GREEN, 10_000)]
    assert cohort["match"] == [
        {
            "uri": {"prefix": "/chat"},
            "name": "X-Audience",
            "headers": {"x-audience": {"exact": "internal"}},
        }
    ]
    assert rules.reading([cohort, rule], placed(EVERYTHING)) == (EVERYTHING, "")


def test_a_lone_candidate_gets_stable_beside_it_because_zero_is_no_weight_to_istio() -> None:
    [rule] = rules.written([{"route": [to(GREEN)]}], placed(NOTHING))
    assert [weight for _, weight in shares(rule)] == [0, 10_000]
    assert rule["route"][1]["destination"] == {
        "host": f"{BLUE}.support.svc.cluster.local",
        "port": {"number": 80},
    }


def test_a_rule_is_never_left_without_any_weight() -> None:
    [rule] = rules.written([both()], placed(NOTHING, first=True))
    assert shares(rule) == [(BLUE, 10_000), (GREEN, 0)]


def test_somebodys_own_single_mirror_is_an_obstacle_to_ours_only() -> None:
    rule = both(mirror={"host": "audit"})
    assert "mirrors[]" in rules.obstacle([rule], placed(Exposure(mirror=1)))
    assert rules.obstacle([rule], placed(Exposure(weight=1))) == ""
    [written] = rules.written([rule], placed(Exposure(mirror=1)))
    assert written["mirror"] == {"host": "audit"}
    assert "mirrors" not in written


def test_a_mirror_to_a_slot_in_the_old_form_is_seen_and_taken_away() -> None:
    rule = both(mirror={"host": GREEN}, mirrorPercentage={"value": 20})
    assert rules.reading([rule], placed(NOTHING))[0] == Exposure(mirror=20.0)
    [lowered] = rules.written([rule], placed(NOTHING))
    assert not lowered.keys() & {"mirror", "mirrorPercentage", "mirrors"}


def test_a_cohort_rule_that_somebody_opened_to_all_counts_as_all() -> None:
    cohort, rule = rules.written([both()], placed(Exposure(cohort=INTERNAL)))
    del cohort["match"]
    found, problem = rules.reading([cohort, rule], placed(Exposure(cohort=INTERNAL)))
    assert found == Exposure(weight=100.0)
    assert problem


@pytest.fixture(scope="session")
def istio(admin: client.ApiClient) -> None:
    """Istio's own CRD for VirtualService, served."""
    [file] = builds.crds("istio").glob("*.yaml")
    wanted = "virtualservices.networking.istio.io"
    definition = next(
        found
        for found in yaml.safe_load_all(file.read_text())
        if found and found["metadata"]["name"] == wanted
    )
    serve(admin, definition)


def serve(admin: client.ApiClient, definition: Object) -> None:
    """Create a CRD, if no other worker has, and return when its kind is served."""
    from tests.support.controlplane import wait_until

    extensions = client.ApiextensionsV1Api(admin)
    try:
        extensions.create_custom_resource_definition(definition)
    except client.ApiException as error:
        if error.status != 409:
            raise

    def served() -> bool:
        name = definition["metadata"]["name"]
        conditions = extensions.read_custom_resource_definition(name).status.conditions or ()
        return any(c.type == "Established" and c.status == "True" for c in conditions)

    wait_until(served, 30, f"{definition['metadata']['name']} is served")


@pytest.fixture
def lever(server: ApiServer, istio: None) -> VirtualServiceTraffic:
    return VirtualServiceTraffic(server)


def users_service(namespace: str) -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "support", "namespace": namespace},
        "spec": {
            "hosts": ["support.example.com"],
            "http": [{"name": "docs", "route": [to("docs")]}, both(name="chat", retries={"attempts": 2})],
        },
    }


async def test_the_object_goes_up_and_down_like_any_other_route(
    server: ApiServer, lever: VirtualServiceTraffic, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    placement = placed(EVERYTHING, ns)
    assert await lever.read(placement) == Reading()
    before = await server.create(users_service(ns))
    await lever.read(placement)
    await lever.raise_(placement, 3)
    everywhere = frozenset(placement.services)
    assert await lever.read(placement) == Reading(
        candidate=EVERYTHING, epoch=3, in_sync=True, served=everywhere
    )
    assert await lever.confirm(placement) is None
    await lever.lower(replace(placed(NOTHING, ns), note="support-77aa00bb12: over"))
    after = await server.get(Ref(VIRTUAL_SERVICE, ns, "support"))
    assert after is not None
    expected = deepcopy(before["spec"])
    expected["http"][1]["route"] = [to(BLUE, 10_000), to(GREEN, 0)]
    assert after["spec"] == expected
    assert (await lever.read(placement)).lowered == "support-77aa00bb12: over"


async def test_what_istio_refuses_is_not_in_effect(
    server: ApiServer, lever: VirtualServiceTraffic, namespace: Callable[[], str]
) -> None:
    ns = namespace()
    placement = placed(Exposure(weight=5), ns)
    await server.create(users_service(ns))
    await lever.read(placement)
    await lever.raise_(placement, 1)
    stored = await server.get(Ref(VIRTUAL_SERVICE, ns, "support"))
    assert stored is not None
    refusal = {"conditions": [{"type": "Reconciled", "status": "False", "message": "host not found"}]}
    await server.replace(stored | {"status": refusal}, subresource="status")
    assert "host not found" in str(await lever.confirm(placement))


async def test_a_release_that_names_no_virtualservice_can_not_use_it(lever: VirtualServiceTraffic) -> None:
    with pytest.raises(Refused, match="names no VirtualService"):
        await lever.read(replace(placed(NOTHING), objects={}))
