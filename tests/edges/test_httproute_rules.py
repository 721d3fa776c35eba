"""What is written into a user's HTTPRoute, and what is left alone. Pure; the server's part is elsewhere."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrelease.api.phase import Phase
from agentrelease.core.exposure import NOTHING, Cohort, Exposure, of_phase
from agentrelease.edges.traffic import cookies, parents
from agentrelease.edges.traffic.gateway_api import GatewayApi
from agentrelease.edges.traffic.rules import Rules
from agentrelease.edges.traffic.split import exposed, units, weights
from agentrelease.engine.levers import Arm, Placement

rules = Rules(GatewayApi())
BLUE, GREEN = "support-blue", "support-green"
INTERNAL = Cohort("x-audience", "internal")
Rule = dict[str, Any]


def placed(exposure: Exposure | None, *, first: bool = False) -> Placement:
    """Stable in blue (unless this is the first release), a candidate in green."""
    return Placement(
        namespace="support",
        agent="support",
        route="support",
        config_map="flags",
        stable=None if first else Arm("support-3f9a0c11de", BLUE, NOTHING),
        candidate=None if exposure is None else Arm("support-77aa00bb12", GREEN, exposure),
        services=(BLUE, GREEN),
    )


def backend(name: str, weight: int | None = None, **more: Any) -> Rule:
    return {"name": name, "port": 80} | ({} if weight is None else {"weight": weight}) | more


def base(**more: Any) -> Rule:
    return {"backendRefs": [backend(BLUE, 1), backend(GREEN, 0)]} | more


def weights_of(rule: Rule) -> list[int]:
    return [ref["weight"] for ref in rule["backendRefs"]]


header_filter = {
    "type": "RequestHeaderModifier",
    "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]},
}
foreign_mirror = {
    "type": "RequestMirror",
    "requestMirror": {"backendRef": {"name": "audit", "port": 80}, "percent": 5},
}

exposures = st.builds(
    Exposure,
    mirror=st.sampled_from([0.0, 1.0, 12.5, 33.33, 100.0]),
    cohort=st.none()
    | st.just(INTERNAL)
    | st.just(Cohort("X-Tier", "beta"))
    | st.just(Cohort("beta.2", "a=(b)", cookie=True)),
    weight=st.sampled_from([0.0, 0.01, 0.5, 1.0, 5.0, 12.3456, 50.0, 99.99, 100.0]) | st.floats(0, 100),
)
user_matches = st.lists(
    st.sampled_from(
        [
            {"path": {"type": "PathPrefix", "value": "/"}},
            {"path": {"type": "Exact", "value": "/chat"}, "method": "POST"},
            {"headers": [{"type": "Exact", "name": "x-region", "value": "eu"}]},
        ]
    ),
    max_size=2,
)
user_refs = st.lists(
    st.builds(
        backend,
        st.sampled_from([BLUE, GREEN, "legacy", "other"]),
        st.none() | st.integers(0, 1000),
        port=st.sampled_from([80, 8080]),
    ),
    max_size=4,
)
user_filters = st.lists(st.sampled_from([header_filter, foreign_mirror]), max_size=2, unique_by=str)
user_rules = st.lists(
    st.builds(
        lambda matches, refs, filters, timeouts: (
            {"backendRefs": refs, "timeouts": timeouts}
            | ({"matches": matches} if matches else {})
            | ({"filters": filters} if filters else {})
        ),
        user_matches,
        user_refs,
        user_filters,
        st.sampled_from([{}, {"request": "30s"}]),
    ),
    max_size=5,
)
placements = st.builds(placed, st.none() | exposures, first=st.booleans())
settled = st.builds(placed, st.none() | exposures)


def without_ours(found: list[Rule], placement: Placement) -> list[Rule]:
    """Take away everything that is ours to write."""
    result = []
    for rule in deepcopy(found):
        if str(rule.get("name", "")).startswith("agentrelease-cohort."):
            continue
        marked = False
        for ref in rule["backendRefs"]:
            if ref["name"] in placement.services:
                marked = True
                ref.pop("weight", None)
        if marked:
            kept = [
                item
                for item in rule.get("filters", ())
                if item["type"] != "RequestMirror"
                or item["requestMirror"]["backendRef"]["name"] not in placement.services
            ]
            rule.pop("filters", None)
            if kept:
                rule["filters"] = kept
        result.append(rule)
    return result


@settings(deadline=None)
@given(user_rules, placements, placements)
def test_everything_that_is_not_ours_stays_as_it_is(
    before: list[Rule], first: Placement, then: Placement
) -> None:
    untouched = deepcopy(before)
    once = rules.written(before, first)
    twice = rules.written(once, then)
    assert before == untouched
    assert without_ours(once, first) == without_ours(before, first)
    assert without_ours(twice, then) == without_ours(before, then)


@settings(deadline=None)
@given(user_rules, placements, settled)
def test_writing_forgets_what_was_written_before(
    before: list[Rule], first: Placement, then: Placement
) -> None:
    plain = [rule | {"backendRefs": [r for r in rule["backendRefs"] if _slot(r)]} for rule in before]
    assert rules.written(rules.written(plain, first), then) == rules.written(plain, then)
    assert rules.written(rules.written(plain, then), then) == rules.written(plain, then)


@settings(deadline=None)
@given(user_rules, placements)
def test_what_is_read_back_is_never_more_than_was_asked_for(before: list[Rule], placement: Placement) -> None:
    written = rules.written(before, placement)
    if rules.obstacle(before, placement):
        return
    found, _ = rules.reading(written, placement)
    assert found is not None
    asked = placement.candidate.exposure if placement.candidate else NOTHING
    assert found.within(replace(asked, mirror=max(asked.mirror, found.mirror - 1e-9)))
    assert found.weight == pytest.approx(asked.weight, abs=1e-4)


@settings(deadline=None)
@given(user_rules, placements)
def test_lowering_to_nothing_leaves_nothing_for_the_candidate(
    before: list[Rule], placement: Placement
) -> None:
    lowered = rules.written(rules.written(before, placement), placed(NOTHING))
    found, problem = rules.reading(lowered, placed(NOTHING))
    assert found in (None, NOTHING)
    assert not problem


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0, [10_000, 0]),
        (0.5, [9_950, 50]),
        (0.29, [9_971, 29]),
        (1, [9_900, 100]),
        (100, [0, 10_000]),
        (0.0125, [999_875, 125]),
        (1e-7, [1_000_000, 0]),
    ],
)
def test_weights_are_as_fine_as_the_share_needs_and_never_rounded_up(
    share: float, expected: list[int]
) -> None:
    [rule] = rules.written([base()], placed(Exposure(weight=share)))
    assert weights_of(rule) == expected


@settings(deadline=None)
@given(st.floats(0, 100))
def test_a_share_in_units_is_never_more_than_the_share(share: float) -> None:
    assert units(share, 10_000) <= share * 100 + 1e-6


def test_a_cohort_has_a_rule_of_its_own_in_front_of_its_base() -> None:
    other = {"name": "other", "backendRefs": [backend("legacy", 1)]}
    rule = base(matches=[{"path": {"type": "PathPrefix", "value": "/v1"}}], timeouts={"request": "5m"})
    first, cohort, last = rules.written([other, rule], placed(Exposure(cohort=INTERNAL, weight=1)))
    assert first == other
    assert cohort["name"] == "agentrelease-cohort.support.0"
    assert cohort["matches"] == [
        {
            "path": {"type": "PathPrefix", "value": "/v1"},
            "headers": [{"type": "Exact", "name": "x-audience", "value": "internal"}],
        }
    ]
    assert weights_of(cohort) == [0, 10_000]
    assert cohort["timeouts"] == {"request": "5m"}
    assert weights_of(last) == [9_900, 100]


def test_a_rule_for_other_header_values_gets_no_cohort() -> None:
    rule = base(matches=[{"headers": [{"name": "X-Audience", "value": "partner"}]}])
    written = rules.written([rule], placed(Exposure(cohort=INTERNAL)))
    assert [r.get("name") for r in written] == [None]


def test_the_cohort_rule_goes_with_the_cohort() -> None:
    written = rules.written([base()], placed(Exposure(cohort=INTERNAL)))
    assert len(written) == 2
    assert rules.written(written, placed(Exposure(weight=1))) == rules.written(
        [base()], placed(Exposure(weight=1))
    )


def test_a_mirror_is_one_filter_among_the_users() -> None:
    rule = base(filters=[foreign_mirror, header_filter])
    [shadow] = rules.written([rule], placed(Exposure(mirror=100)))
    target = {"group": "", "kind": "Service", "name": GREEN, "port": 80}
    ours = {"type": "RequestMirror", "requestMirror": {"backendRef": target, "percent": 100}}
    assert shadow["filters"] == [foreign_mirror, header_filter, ours]
    [again] = rules.written([shadow], placed(Exposure(mirror=12.5)))
    assert again["filters"][2]["requestMirror"]["fraction"] == {"numerator": 1250, "denominator": 10_000}
    [over] = rules.written([again], placed(NOTHING))
    assert over["filters"] == [foreign_mirror, header_filter]


def test_a_rule_without_filters_has_none_afterwards() -> None:
    [shadow] = rules.written([base()], placed(Exposure(mirror=100)))
    [over] = rules.written([shadow], placed(NOTHING))
    assert "filters" not in over


def test_roles_swap_by_weights_alone() -> None:
    swapped = replace(placed(None), stable=Arm("support-77aa00bb12", GREEN, NOTHING))
    assert weights_of(rules.written([base()], swapped)[0]) == [0, 10_000]


def test_a_first_release_gets_its_share_and_not_everything() -> None:
    idle = {"backendRefs": [backend(BLUE, 0), backend(GREEN, 0)]}
    [rule] = rules.written([idle], placed(Exposure(weight=1), first=True))
    assert weights_of(rule) == [9_900, 100]
    [nothing] = rules.written([idle], placed(NOTHING, first=True))
    assert weights_of(nothing) == [0, 0]


def test_what_served_before_the_first_release_keeps_serving_beside_it() -> None:
    [loading] = rules.written([base()], placed(NOTHING, first=True))
    assert weights_of(loading) == [10_000, 0]
    [raised] = rules.written([loading], placed(Exposure(weight=1), first=True))
    assert weights_of(raised) == [9_900, 100]
    [lowered] = rules.written([raised], placed(NOTHING, first=True))
    assert weights_of(lowered) == [10_000, 0]


def test_a_release_without_any_revision_leaves_the_weights_as_they_are() -> None:
    rule = {"backendRefs": [backend(BLUE, 7), backend(GREEN, 3)]}
    assert rules.written([rule], placed(None, first=True)) == [rule]


def test_somebody_elses_backend_keeps_its_part() -> None:
    rule = {"backendRefs": [backend(BLUE, 90), backend(GREEN, 0), backend("legacy", 10)]}
    assert "no slot" in rules.obstacle([rule], placed(Exposure(weight=1)))
    raised = {"backendRefs": [backend(BLUE, 40), backend(GREEN, 50), backend("legacy", 10)]}
    [lowered] = rules.written([raised], placed(NOTHING))
    assert weights_of(lowered) == [90, 0, 10]


def test_a_slot_that_the_rule_does_not_list_is_an_obstacle_only_when_it_is_to_answer() -> None:
    rule = {"backendRefs": [backend(BLUE, 1)]}
    assert GREEN in rules.obstacle([rule], placed(Exposure(weight=1)))
    assert GREEN in rules.obstacle([rule], placed(Exposure(cohort=INTERNAL)))
    assert rules.obstacle([rule], placed(Exposure(mirror=100))) == ""
    assert rules.obstacle([rule], placed(NOTHING)) == ""
    assert "no rule" in rules.obstacle([{"backendRefs": [backend("legacy")]}], placed(NOTHING))


def test_the_same_name_in_another_namespace_or_of_another_kind_is_not_ours() -> None:
    foreign = [
        backend(GREEN, 5, namespace="elsewhere"),
        backend(GREEN, 5, kind="InferencePool", group="inference.networking.k8s.io"),
    ]
    rule = {"backendRefs": foreign}
    assert rules.written([rule], placed(Exposure(weight=50))) == [rule]


def test_rules_that_disagree_count_as_the_highest_of_them() -> None:
    one, other = base(), {"backendRefs": [backend(BLUE, 1), backend(GREEN, 3)]}
    found, problem = rules.reading([one, other], placed(NOTHING))
    assert found == Exposure(weight=75.0)
    assert "disagree" in problem


def test_weight_on_the_idle_slot_is_seen_when_there_is_no_candidate() -> None:
    found, _ = rules.reading([{"backendRefs": [backend(BLUE), backend(GREEN)]}], placed(None))
    assert found == Exposure(weight=50.0)
    assert exposed(placed(None)) == {GREEN}


def test_a_mirror_without_a_percentage_is_all_of_it() -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": GREEN, "port": 80}}}
    found, _ = rules.reading([base(filters=[mirror])], placed(NOTHING))
    assert found == Exposure(mirror=100.0)


@given(st.floats(0, 100), st.integers(1, 1_000_000))
def test_the_services_share_the_whole_total(share: float, total: int) -> None:
    assert sum(weights(placed(Exposure(weight=share)), total).values()) == total


def route(*entries: Rule, generation: int = 4, refs: list[Rule] | None = None) -> Rule:
    return {
        "metadata": {"namespace": "support", "name": "support", "generation": generation},
        "spec": {"parentRefs": [{"name": "gw"}] if refs is None else refs},
        "status": {"parents": list(entries)},
    }


def entry(ref: Rule, *, generation: int = 4, **statuses: str) -> Rule:
    said = {"Accepted": "True", "ResolvedRefs": "True"} | statuses
    return {
        "parentRef": ref,
        "controllerName": "example.com/gateway",
        "conditions": [
            {"type": kind, "status": status, "reason": "R", "message": "m", "observedGeneration": generation}
            for kind, status in said.items()
            if status
        ],
    }


FULL = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "support", "name": "gw"}


@pytest.mark.parametrize("ref", [{"name": "gw"}, FULL])
def test_a_parent_that_accepts_everything_at_this_generation_confirms(ref: Rule) -> None:
    assert parents.missing(route(entry(ref))) is None


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (route(), "says nothing"),
        (route() | {"status": {}}, "says nothing"),
        (route(refs=[]), "names no parent"),
        (route(entry({"name": "another"})), "says nothing"),
        (route(entry(FULL | {"sectionName": "http"})), "says nothing"),
        (route(entry(FULL, generation=3)), "older generation"),
        (route(entry(FULL, Accepted="False")), "Accepted is False"),
        (route(entry(FULL, Accepted="Unknown")), "Accepted is Unknown"),
        (route(entry(FULL, ResolvedRefs="False")), "ResolvedRefs is False"),
        (route(entry(FULL, ResolvedRefs="")), "has not set ResolvedRefs"),
        (route(entry(FULL, PartiallyInvalid="True")), "PartiallyInvalid"),
        (route(entry(FULL), entry(FULL, Accepted="False")), "Accepted is False"),
        (route(entry(FULL), refs=[{"name": "gw"}, {"name": "second"}]), "second says nothing"),
        (
            route(
                entry(FULL),
                entry({"name": "second"}, generation=3),
                refs=[{"name": "gw"}, {"name": "second"}],
            ),
            "Gateway second: Accepted is about an older generation",
        ),
        # two controllers answer for one parent, and one of them lags, or serves a part only
        (route(entry(FULL), entry(FULL, generation=3) | {"controllerName": "mesh"}), "older generation"),
        (route(entry(FULL), entry(FULL, PartiallyInvalid="True") | {"controllerName": "mesh"}), "Partially"),
        # two listeners of one Gateway are two parents
        (
            route(
                entry(FULL | {"sectionName": "http"}),
                refs=[{"name": "gw", "sectionName": "http"}, {"name": "gw", "sectionName": "https"}],
            ),
            "says nothing",
        ),
    ],
)
def test_anything_less_does_not(found: Rule, says: str) -> None:
    assert says in str(parents.missing(found))


def _slot(ref: Rule) -> bool:
    return ref["name"] in (BLUE, GREEN)


def test_a_rule_that_lists_the_candidate_alone_gives_it_nothing_rather_than_everything() -> None:
    [rule] = rules.written([{"backendRefs": [backend(GREEN, 1)]}], placed(Exposure(weight=1)))
    assert weights_of(rule) == [0]
    assert BLUE in rules.obstacle([rule], placed(Exposure(weight=1)))


# Cohorts by cookie

cookie_names = st.text("ab.$^*+|!#%&'`~_-0", min_size=1, max_size=6)
cookie_values = st.text("ab=.$^*+|!#%&'`~_-0()[]{}?/:<>@", min_size=1, max_size=6)


@given(cookie_names, cookie_values)
def test_any_cookie_is_read_back_from_its_expression(name: str, value: str) -> None:
    asked = Exposure(cohort=Cohort(name, value, cookie=True))
    written = rules.written([base()], placed(asked))
    assert rules.reading(written, placed(asked)) == (asked, "")


@given(cookie_names, cookie_values, cookie_names, cookie_values)
def test_a_cookie_is_found_among_others_and_no_other_is_taken_for_it(
    name: str, value: str, other: str, wrong: str
) -> None:
    found = re.compile(cookies.expression(Cohort(name, value, cookie=True))).fullmatch
    assert found(f"{name}={value}")
    assert found(f"a=b; {name}={value}; c=d")
    assert bool(found(f"{other}={wrong}")) == ((name, value) == (other, wrong))
    assert not found(f"x{name}={value}")
    assert not found(f"{name}={value}x")
    assert not found(f'{name}="{value}"')
    assert not found(f"other={name}={value}")


def test_somebody_elses_expression_on_cookies_counts_as_everybody() -> None:
    asked = placed(Exposure(cohort=Cohort("beta", "1", cookie=True)))
    copy, rule = rules.written([base()], asked)
    copy["matches"][0]["headers"][-1]["value"] = ".*"
    found, _ = rules.reading([copy, rule], asked)
    assert found is not None
    assert found.weight == 100


def test_a_cohort_that_no_rule_can_take_is_refused_in_words() -> None:
    taken = base(matches=[{"headers": [{"name": "Cookie", "type": "RegularExpression", "value": "a=.*"}]}])
    why = rules.obstacle([taken], placed(Exposure(cohort=Cohort("beta", "1", cookie=True))))
    assert "no rule can match the cohort cookie beta=1" in why


def test_cookies_and_claims_come_from_the_phase() -> None:
    phases = [
        Phase.model_validate({"name": "a", "autonomy": "observe", "cohort": cohort})
        for cohort in (
            {"cookie": {"name": "Beta", "value": "1"}},
            {"claim": {"name": "Team_name", "value": "support desk"}},
        )
    ]
    assert of_phase(phases, 0, []).cohort == Cohort("Beta", "1", cookie=True)
    assert of_phase(phases, 1, []).cohort == Cohort("x-claim-team-name", "support desk")
