"""Strata of permission: who belongs, the order of exposures that have them, and tools cut by class."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentrelease.api.bundle import Tool
from agentrelease.api.phase import Phase, PhaseStratum
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import strata
from agentrelease.core.exposure import Exposure, Permission, Stratum, kept, of_phase
from agentrelease.edges.levers import highest

SCHEMA = "sha256:" + "a" * 64
TOOLS = tuple(
    Tool(name=name, schema_=SCHEMA, effect=effect)
    for name, effect in (("search", "read"), ("comment", "write"), ("refund", "irreversible"))
)
NAMES = st.frozensets(st.sampled_from([tool.name for tool in TOOLS]))
SAID = st.sampled_from(["", "high", "low", "other"])
LABELS = st.sampled_from(
    [
        (("risk_tier", "high"),),
        (("risk_tier", "low"),),
        (("workflow_class", "high"),),
        (("risk_tier", "high"), ("workflow_class", "low")),
    ]
)
PERMISSIONS = st.builds(Permission, st.sampled_from(Autonomy), NAMES)
EXPOSURES = st.builds(
    Exposure,
    autonomy=st.sampled_from(Autonomy),
    tools=NAMES,
    strata=st.lists(st.builds(Stratum, LABELS, PERMISSIONS), max_size=3).map(tuple),
)
REQUESTS = st.fixed_dictionaries({"risk_tier": SAID, "workflow_class": SAID})


def phase(level: str, **held: str) -> Phase:
    listed = [PhaseStratum(match={"risk_tier": tier}, autonomy=to) for tier, to in held.items()]
    return Phase(name="p", weight=5, autonomy=Autonomy(level), strata=listed)


def test_a_stratum_stays_lower_and_so_do_its_tools():
    exposure = of_phase([phase("full-action", high="observe", mid="limited-action")], 0, TOOLS)
    assert exposure.permits({"risk_tier": "low"}).tools == {"search", "comment", "refund"}
    mid = exposure.permits({"risk_tier": "mid"})
    assert (mid.tools, mid.asking) == ({"search", "comment"}, {"refund"})
    assert exposure.permits({"risk_tier": "high"}) == Permission(Autonomy.OBSERVE, frozenset({"search"}))


def test_less_autonomy_with_more_tools_is_not_less_and_the_other_way_round():
    read, all_ = frozenset({"search"}), frozenset({"search", "refund"})
    low, high = Autonomy.OBSERVE, Autonomy.FULL_ACTION
    assert Permission(low, read).within(Permission(high, all_))
    assert not Permission(low, all_).within(Permission(high, read))
    assert not Permission(high, read).within(Permission(low, all_))


def test_what_one_view_permits_is_what_it_permits():
    one = Permission(Autonomy.LIMITED_ACTION, frozenset({"search"}), frozenset({"refund"}))
    assert strata.common([one]) == one
    assert strata.union([one]) == one


def test_a_stratum_is_named_by_its_labels():
    assert str(Stratum((("risk_tier", "high"), ("workflow_class", "w")), Permission())) == (
        "risk_tier=high,workflow_class=w"
    )


def test_a_stratum_never_goes_above_its_phase_even_where_admission_was_off():
    exposure = of_phase([phase("suggestion-only", high="full-action")], 0, TOOLS)
    assert exposure.permits({"risk_tier": "high"}).autonomy is Autonomy.SUGGESTION_ONLY


def test_a_cap_lowers_strata_too():
    exposure = of_phase([phase("full-action", high="limited-action")], 0, TOOLS)
    low = exposure.capped(Autonomy.OBSERVE, TOOLS)
    assert all(low.permits({"risk_tier": tier}).autonomy is Autonomy.OBSERVE for tier in ("high", "low"))
    assert low.within(exposure)
    assert not exposure.within(low)


def test_lifting_a_stratum_alone_is_a_raise():
    before = of_phase([phase("full-action", high="observe")], 0, TOOLS)
    after = of_phase([phase("full-action")], 0, TOOLS)
    assert before.within(after)
    assert not after.within(before)


@given(EXPOSURES, EXPOSURES, REQUESTS)
def test_what_is_within_permits_no_request_more(one, other, request):
    if one.within(other):
        assert one.permits(request).within(other.permits(request))


@given(EXPOSURES, EXPOSURES)
def test_what_permits_no_kind_of_request_more_is_within(one, other):
    said = ["", "high", "low", "other"]
    every = [{"risk_tier": a, "workflow_class": b} for a in said for b in said]
    assert one.within(other) == all(one.permits(r).within(other.permits(r)) for r in every)


@given(st.lists(EXPOSURES, min_size=1, max_size=3))
def test_two_objects_are_read_as_what_the_more_exposed_one_allows(seen):
    ours = [_in_order(one) for one in seen]
    assert all(one.within(highest(ours)) for one in ours)


@given(EXPOSURES, EXPOSURES, REQUESTS)
def test_what_two_exposures_share_is_no_more_than_either(one, other, request):
    one, other = _in_order(one), _in_order(other)
    both = one.meet(other).permits(request)
    assert both.autonomy <= min(one.permits(request).autonomy, other.permits(request).autonomy)


def test_cutting_tools_takes_the_most_dangerous_class_first_and_never_reading():
    assert [[tool.name for tool in kept(TOOLS, cut)] for cut in range(4)] == [
        ["search", "comment", "refund"],
        ["search", "comment"],
        ["search"],
        ["search"],
    ]


def _in_order(exposure: Exposure) -> Exposure:
    """Strata as we write them: the lowest first, tools that grow with the level."""
    return Exposure(
        autonomy=exposure.autonomy,
        tools=strata.tools_alone(TOOLS, exposure.autonomy),
        strata=strata.ordered(
            Stratum(one.labels, strata.granted(TOOLS, min(one.permission.autonomy, exposure.autonomy)))
            for one in exposure.strata
        ),
    )
