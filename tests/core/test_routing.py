"""Requests without a task: never more than there are, and all of them once nothing is on its way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.core import routing
from agentrelease.core.counters import Sample
from agentrelease.core.evidence import Cell, Count
from agentrelease.core.overdue import STARTED
from agentrelease.core.series import Series, Snapshot
from agentrelease.core.span import Services, Span
from agentrelease.core.unanswered import follow

END = 120
SPEC = GuardrailPolicySpec.model_validate(
    {
        "router": {
            "requests": {"metric": "sent", "match": {"reporter": "source"}},
            "retries": {"metric": "again"},
            "service": {"to": "{namespace}/{service}"},
        },
        "metrics": [{"name": "unanswered", "class": "quality", "missing": {}, "onBreach": "rollback"}],
    }
)


def counter(labels: dict[str, str], times: list[float], offset: float, every: int) -> Series:
    at = [offset + every * n for n in range(int((END - offset) / every) + 1)]
    return Series(labels, tuple(Sample(t, sum(one <= t for one in times)) for t in at))


def snapshot(requests: list[float], lost: list[bool], every: int, again: int = 0) -> Snapshot:
    to = {"to": "shop/green", "reporter": "source"}
    other = {"to": "shop/green", "reporter": "destination"}
    began = [at + 0.2 for at, gone in zip(requests, lost, strict=True) if not gone]
    repeated = [*requests, *([50.0] * again)]
    return Snapshot(
        END,
        END,
        0,
        {STARTED: {("shop", "support"): (counter({"release": "new"}, began, 0.0, every),)}},
        routed={
            "sent": (counter(to, repeated, 0.5, 1), counter(other, repeated, 0.5, 1)),
            "again": (counter({"to": "shop/green"}, [50.0] * again, 0.5, 1),),
        },
    )


def span(start: float = 0.0, end: float = END) -> Span:
    services = Services("green", "blue")
    return Span("shop", "support", "new", "old", start, end, step=1.0, services=services)


requests = st.lists(st.floats(1, 80), max_size=80).map(sorted)


@given(
    requests, st.lists(st.booleans(), min_size=80, max_size=80), st.sampled_from([1, 5]), st.integers(0, 9)
)
def test_never_more_are_missing_than_are_and_in_the_end_all(at, lost, every, again):
    lost = lost[: len(at)]
    both = routing.paths(snapshot(at, lost, every, again), SPEC, span())[routing.ROUTED][""]
    assert both.candidate is not None
    assert both.stable is None
    for point, level in zip(span().points, both.candidate, strict=True):
        assert level <= sum(gone and one <= point for one, gone in zip(at, lost, strict=True)) + 1e-9
    assert both.candidate[-1] - both.candidate[0] >= 0 or not any(lost)
    _, grown = follow({}, {"": both}, 0)
    assert sum(one.candidate for one in grown.values()) <= sum(lost)


@given(st.integers(0, 60))
def test_all_that_are_missing_are_found_when_none_is_on_its_way_at_the_start(missing):
    at = [20.0 + n for n in range(60)]
    both = routing.paths(snapshot(at, [n < missing for n in range(60)], 1), SPEC, span())[routing.ROUTED][""]
    _, grown = follow({}, {"": both}, 0)
    assert sum(one.candidate for one in grown.values()) == missing


@pytest.mark.parametrize("first", [55.5, 57.0])
def test_what_was_on_its_way_when_the_block_began_is_no_debt_of_it(first: float) -> None:
    at = [10.0 + n for n in range(10)] + [first + n for n in range(3)] + [80.0 + n for n in range(10)]
    lost = [False] * 10 + [True] * 3 + [False] * 10
    both = routing.paths(snapshot(at, lost, 1), SPEC, span(60.0))[routing.ROUTED][""]
    _, grown = follow({}, {"": both}, 0)
    assert grown == {}


@pytest.mark.parametrize("last", [29.0, 55.5])
def test_what_goes_missing_in_a_block_is_found_whatever_came_before(last: float) -> None:
    at = [last - 19 + n for n in range(20)] + [80.0 + n for n in range(5)]
    lost = [False] * 20 + [True] * 5
    both = routing.paths(snapshot(at, lost, 1), SPEC, span(60.0))[routing.ROUTED][""]
    _, grown = follow({}, {"": both}, 0)
    assert {key: one.candidate for key, one in grown.items()} == {"": 5}


def test_where_all_requests_become_tasks_none_is_missing_however_coarse_the_grid() -> None:
    at = [50.0 + n for n in range(60)]
    both = routing.paths(snapshot(at, [False] * 60, 1), SPEC, replace(span(60.0), step=15.0))
    _, grown = follow({}, both[routing.ROUTED], 0)
    assert grown == {}


def test_exposures_are_first_tries_sent():
    found = routing.cells(snapshot([10.0, 20.0, 30.0], [False] * 3, 1, again=4), SPEC, span())
    assert found == {"": Cell(Count(3, 0), None)}


def test_what_no_router_tells_is_unknown():
    assert routing.cells(Snapshot(END, END, 0), SPEC, span()) == {}
    assert routing.arms(snapshot([10.0], [False], 1), SPEC, span()) is None
    assert routing.silent(Snapshot(END, END, 0), SPEC, ("shop", "green"))
    assert not routing.silent(snapshot([], [], 1), SPEC, ("shop", "green"))


def test_a_process_that_is_silent_for_a_minute_holds_nothing_up_any_more():
    """What it began and has not told may be the requests that lack a task; a minute later they lack one."""
    sent = [float(at) for at in range(50, 80)]
    told = counter({"release": "new", "pod": "a"}, [], 0.0, 1)

    def found(silent_from: float) -> float:
        quiet = Series({"release": "new", "pod": "b"}, (Sample(0.0, 0.0), Sample(silent_from, 0.0)))
        made = snapshot(sent, [True] * len(sent), 1)
        made = replace(made, series={STARTED: {("shop", "support"): (told, quiet)}})
        (paths,) = routing.paths(made, SPEC, span())["router"].values()
        return paths.candidate[-1]

    assert found(END - 1.0) == len(sent)
    assert found(END - 50.0) == sum(at < END - 50.0 - routing.GRACE for at in sent)
    assert found(END - 60.0) == sum(at < END - 60.0 - routing.GRACE for at in sent)
    assert found(END - 61.0) == len(sent)


def test_where_no_process_speaks_any_more_what_was_sent_a_minute_ago_lacks_a_task() -> None:
    """Later ones may have begun untold; a process that was scraped a single time speaks like others."""
    sent = [float(at) for at in range(40, 80)]

    def found(*told: float) -> float:
        quiet = Series({"release": "new"}, tuple(Sample(at, 0.0) for at in told))
        made = snapshot(sent, [True] * len(sent), 1)
        made = replace(made, series={STARTED: {("shop", "support"): (quiet,)}})
        (paths,) = routing.paths(made, SPEC, span())["router"].values()
        return paths.candidate[-1]

    before = END - routing.RECENT - routing.GRACE
    assert found(0.0, 10.0) == found(10.0) == sum(at < before for at in sent)
    assert found(END - 50.0) == sum(at < END - 50.0 - routing.GRACE for at in sent)


def test_the_routers_counters_and_labels_are_the_policys() -> None:
    router = SPEC.router
    assert router is not None
    assert routing.counters(router) == ("sent", "again")
    assert routing.counters(router.model_copy(update={"retries": None})) == ("sent",)
    assert routing.labels_of(router, "shop", "green") == {"to": "shop/green"}


def both_arms(audience: str = "") -> tuple[Snapshot, Span]:
    """Ten requests to the candidate, of which four are the cohort's, and twenty to stable."""
    made = snapshot([10.0 + n for n in range(10)], [False] * 10, 1)
    stable = {"to": "shop/blue", "reporter": "source"}
    sent = counter(stable, [10.0 + n for n in range(20)], 0.5, 1)
    inside = counter({"release": "new", "audience": "internal"}, [10.0, 11.0, 12.0, 13.0], 0.0, 1)
    outside = counter({"release": "old", "audience": "internal"}, [], 0.0, 1)
    rest = counter({"release": "old", "audience": "external"}, [10.0] * 3, 0.0, 1)
    made = replace(
        made,
        series={STARTED: {("shop", "support"): (inside, outside, rest)}},
        routed=made.routed | {"sent": (*made.routed["sent"], sent)},
    )
    return made, replace(span(), audience=audience)


def test_both_arms_requests_are_those_of_the_audience_that_counts() -> None:
    made, whole = both_arms()
    assert routing.arms(made, SPEC, whole) == (10.0, 20.0)
    made, external = both_arms("external")
    assert routing.arms(made, SPEC, external) == (6.0, 20.0), "less the cohort's, which agents count as such"
    assert routing.external(made, ("shop", "support", "new"), None, 0.0, END) is None
    assert routing.external(made, ("shop", "support", "new"), 3.0, 0.0, END) == 0.0, "never less than none"
    assert routing.external(made, ("shop", "support", "else"), 3.0, 0.0, END) == 3.0


def test_an_arm_without_a_service_and_a_policy_without_a_router_have_no_requests() -> None:
    made, whole = both_arms()
    nowhere = replace(whole, services=Services("green", ""))
    assert routing.arms(made, SPEC, nowhere) is None
    assert routing.cells(made, SPEC, nowhere) == {"": Cell(Count(10, 0), None)}
    assert routing.paths(made, SPEC, replace(whole, services=Services("", "blue"))) == {}
    without = SPEC.model_copy(update={"router": None})
    assert routing.paths(made, without, whole) == {}
    assert routing.sent(made, without, ("shop", "green"), 0.0, END) is None
    assert not routing.silent(made, without, ("shop", "green"))


def test_stables_missing_requests_are_found_like_the_candidates() -> None:
    made, whole = both_arms()
    found = routing.paths(made, SPEC, whole)[routing.ROUTED][""]
    assert found.stable is not None
    assert found.stable[-1] - found.stable[0] == 17.0


def test_a_policy_without_a_counter_of_retries_takes_none_off() -> None:
    router = SPEC.router.model_copy(update={"retries": None})  # type: ignore[union-attr]
    plain = SPEC.model_copy(update={"router": router})
    made = snapshot([10.0, 20.0], [False] * 2, 1, again=3)
    assert routing.sent(made, plain, ("shop", "green"), 0.0, END) == 5.0
    assert routing.sent(made, SPEC, ("shop", "green"), 0.0, END) == 2.0


def test_a_counter_of_retries_that_never_counted_takes_none_off() -> None:
    made = snapshot([10.0, 20.0], [False] * 2, 1)
    made = replace(made, routed=made.routed | {"again": ()})
    assert routing.sent(made, SPEC, ("shop", "green"), 0.0, END) == 2.0


def test_what_began_before_the_block_is_no_debt_of_it() -> None:
    """Ten went missing before: the block's path begins where they are known of."""
    at = [5.0 + n for n in range(10)] + [80.0 + n for n in range(10)]
    lost = [True] * 10 + [False] * 10
    both = routing.paths(snapshot(at, lost, 1), SPEC, span(60.0))[routing.ROUTED][""]
    _, grown = follow({}, {"": both}, 0)
    assert grown == {}


def test_requests_of_both_arms_are_told_and_the_cohorts_are_taken_off_where_others_count():
    blue = {"to": "shop/blue", "reporter": "source"}
    made = snapshot([10.0, 20.0, 30.0], [False] * 3, 1)
    routed = {**made.routed, "sent": (*made.routed["sent"], counter(blue, [40.0], 0.5, 1))}
    made = replace(made, routed=routed)
    assert routing.arms(made, SPEC, span()) == (3.0, 1.0)
    inside = counter({"release": "new", "audience": "internal"}, [12.0, 22.0], 0.0, 1)
    told = replace(made, series={STARTED: {("shop", "support"): (inside,)}})
    assert routing.arms(told, SPEC, replace(span(), audience="external")) == (1.0, 1.0)
    assert routing.arms(snapshot([10.0], [False], 1), SPEC, span()) is None
