"""How often agents are scraped, and how long a block waits for them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrelease.core.counters import Sample
from agentrelease.core.scrapes import LONGEST, NEWEST, awaited, interval, window
from agentrelease.core.series import Series


def scraped(every: float, first: float = 0.0, until: float = 300.0, **labels: str) -> Series:
    count = int((until - first) // every) + 1
    return Series(labels, tuple(Sample(first + every * place, place) for place in range(count)))


def waits(arms: list[list[Series]], start: float, end: float, patience: float) -> bool:
    return awaited(arms, start, end, interval(arms), patience)


def test_the_interval_is_that_of_the_arm_that_is_scraped_least() -> None:
    often, rarely = [scraped(1.0), scraped(1.0, 0.5)], [scraped(15.0, 3.0)]
    assert interval([often, rarely]) == 15.0
    assert interval([often]) == 1.0


def test_nobody_knows_it_after_a_scrape_or_two_which_may_have_a_pause_between() -> None:
    assert interval([]) == 0.0
    assert interval([[], [Series({}, (Sample(5.0, 1.0),))]]) == 0.0
    resumed = [Sample(at, 1.0) for at in (0.0, 900.0, 904.0, 908.0)]
    assert interval([[Series({}, tuple(resumed[:3]))]]) == 0.0
    assert interval([[Series({}, tuple(resumed))]]) == 4.0


def test_a_lost_scrape_and_how_it_was_before_change_nothing() -> None:
    lost = [at for at in range(0, 300, 15) if at != 270]
    assert interval([[Series({}, tuple(Sample(at, 0) for at in lost))]]) == 15.0
    before = [*range(0, 100, 1), *range(100, 100 + 15 * NEWEST, 15)]
    assert interval([[Series({}, tuple(Sample(at, 0) for at in before))]]) == 15.0


def test_one_pod_of_many_that_is_seldom_reached_says_nothing_of_its_arm() -> None:
    assert interval([[scraped(15.0, n) for n in range(5)] + [scraped(100.0)]]) == 15.0


@pytest.mark.parametrize(
    ("end", "patience", "stays"),
    [
        (105.0, 60.0, True),  # only the first arm was scraped
        (108.0, 60.0, False),  # both were: at 101 and at 107
        (105.0, 5.0, False),  # no longer than evidence stays fresh
        (105.0, 5.1, True),
    ],
)
def test_a_block_is_open_until_both_arms_were_scraped_in_it(end: float, patience: float, stays: bool) -> None:
    arms = [[scraped(15.0, 11.0)], [scraped(15.0, 2.0)]]
    assert waits(arms, 100.0, end, patience) is stays


def test_who_is_scraped_no_more_is_waited_for_two_intervals() -> None:
    gone = [[scraped(15.0)], [scraped(15.0, until=90.0)]]
    assert waits(gone, 100.0, 129.0, 60.0)
    assert not waits(gone, 100.0, 130.0, 60.0)


def test_a_scrape_at_a_blocks_start_is_of_the_block_before() -> None:
    assert waits([[scraped(10.0)]], 100.0, 105.0, 60.0)
    assert not waits([[scraped(10.0)]], 100.0, 110.0, 60.0)


def test_where_scrapes_come_often_no_block_waits() -> None:
    arms = [[scraped(1.0, until=90.0)], [scraped(1.0, 0.5)]]
    assert not waits(arms, 100.0, 105.0, 60.0)


@given(st.integers(1, 60), st.integers(0, 59), st.integers(0, 59), st.sampled_from([1.0, 5.0]))
def test_no_block_ends_without_both_arms_whatever_the_interval(
    every: int, first: int, second: int, grid: float
) -> None:
    arms = [[scraped(every, first % every, 600.0)], [scraped(every, second % every, 600.0)]]
    ends, at = [120.0], 120.0
    while at < 590.0:
        at += grid
        if not waits(arms, ends[-1], at, 300.0):
            ends.append(at)
    for start, end in pairwise(ends):
        assert end - start < every + grid or every < grid
        assert all(arm[0].grown(start, end) is not None for arm in arms)


def test_what_is_measured_is_measured_over_two_intervals_and_not_over_hours() -> None:
    assert window(1.0, 15.0) == 15.0
    assert window(30.0, 15.0) == 60.0
    assert window(1000.0, 15.0) == LONGEST
