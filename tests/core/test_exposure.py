"""The order of exposures: who is reached, who gets answers, and what is no more than what."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import pytest

from agentrelease.api.phase import Phase
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import NOTHING, Cohort, Exposure, of_phase

INTERNAL, PARTNERS = Cohort("x-audience", "internal"), Cohort("x-audience", "partners")
MIRRORED, SHOWN = Exposure(mirror=100.0), Exposure(cohort=INTERNAL)
FEW, HALF, ALL = (Exposure(weight=weight) for weight in (1.0, 50.0, 100.0))


def test_a_cohort_or_a_share_of_the_traffic_is_answered_and_copies_are_only_received() -> None:
    assert [one.answers for one in (NOTHING, MIRRORED, SHOWN, FEW)] == [False, False, True, True]
    assert [one.reached for one in (NOTHING, MIRRORED, SHOWN, FEW)] == [False, True, True, True]
    assert Exposure(mirror=0.5).reached
    assert Exposure(weight=0.5).answers


def test_each_step_of_exposure_is_within_the_next_and_none_within_the_one_before() -> None:
    for less, more in pairwise((NOTHING, Exposure(mirror=10.0), MIRRORED, FEW, HALF, ALL)):
        assert less.within(less)
        assert less.within(more)
        assert not more.within(less)
    assert MIRRORED.within(SHOWN), "a copy reaches nobody, an answer somebody"
    assert not SHOWN.within(MIRRORED)


def test_a_cohort_is_bounded_by_itself_and_by_all_traffic_only() -> None:
    assert SHOWN.within(SHOWN)
    assert SHOWN.within(ALL)
    for bound in (NOTHING, HALF, Exposure(cohort=PARTNERS), Exposure(cohort=PARTNERS, weight=99.0)):
        assert not SHOWN.within(bound)


def test_what_both_allow_is_within_each() -> None:
    levels = (Autonomy.OBSERVE, Autonomy.LIMITED_ACTION)
    tools = (frozenset({"search"}), frozenset({"search", "refund"}))
    points = [
        Exposure(mirror, cohort, weight, level, named)
        for mirror, cohort, weight, level, named in product(
            (0.0, 50.0), (None, INTERNAL, PARTNERS), (0.0, 5.0), levels, tools
        )
    ]
    for one, other in product(points, points):
        both = one.meet(other)
        assert both.within(one)
        assert both.within(other)
    assert all(one.meet(one) == one for one in points)


HEADER = {"header": {"name": "x-audience", "value": "internal"}}


@pytest.mark.parametrize(
    ("cohort", "known"),
    [
        (HEADER, "x-audience=internal"),
        ({"cookie": {"name": "beta", "value": "yes"}}, "cookie beta=yes"),
        ({"claim": {"name": "Team_Name", "value": "a b=c"}}, "x-claim-team-name=a b=c"),
        ({"attribute": {"name": "plan", "value": "free"}}, "attribute plan=free"),
    ],
)
def test_people_are_known_by_one_thing_and_are_read_back_as_they_were_written(
    cohort: dict[str, Any], known: str
) -> None:
    one = of_phase([phase(cohort=cohort)], 0, ()).cohort
    assert str(one) == known
    assert Cohort.read(known) == one
    assert Cohort.read("") is None


def test_who_met_a_candidate_first_stays_with_it_until_everybody_does() -> None:
    listed = [phase(mirror=100), phase(cohort=HEADER), phase(weight=5), phase(weight=100)]
    cohorts = [of_phase(listed, place, ()).cohort for place in range(4)]
    assert cohorts == [None, INTERNAL, INTERNAL, None]
    assert [of_phase(listed, place, ()).mirror for place in range(4)] == [100.0, 0.0, 0.0, 0.0]


def phase(**fields: Any) -> Phase:
    return Phase.model_validate({"name": "p", "autonomy": "observe", **fields})


@pytest.mark.parametrize(
    ("cohort", "found"),
    [
        ({"header": {"name": "x-audience", "value": "internal"}}, INTERNAL),
        ({"cookie": {"name": "beta", "value": "yes"}}, Cohort("beta", "yes", cookie=True)),
    ],
)
def test_a_phase_shows_the_cohort_that_was_named_last(cohort: dict[str, Any], found: Cohort) -> None:
    other = {"header": {"name": "x-audience", "value": "partners"}}
    named = [
        Phase.model_validate({"name": str(n), "minDuration": "20s", "autonomy": "observe", **fields})
        for n, fields in enumerate(({"cohort": other}, {"cohort": cohort}, {"weight": 5}))
    ]
    assert of_phase(named, 1, []).cohort == found
    assert of_phase(named, 2, []).cohort == found
