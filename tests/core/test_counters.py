"""Counters against the truth: every scraped event counts once, whatever restarts, appears or is silent."""

from __future__ import annotations

import itertools
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrelease.core.counters import Sample, increase


def samples(*pairs: tuple[float, float]) -> list[Sample]:
    return [Sample(at, value) for at, value in pairs]


class Pod:
    """A counter with restarts, scraped now and then. It knows how many events its scrapes have shown."""

    def __init__(self) -> None:
        self.value = 0
        self.fresh = 0
        self.scraped: list[Sample] = []
        self.shown: list[tuple[float, int]] = []

    def serve(self, events: int) -> None:
        self.value += events
        self.fresh += events

    def restart(self) -> None:
        self.value = 0
        self.fresh = 0

    def scrape(self, at: float) -> None:
        self.scraped.append(Sample(at, self.value))
        self.shown.append((at, self.fresh))
        self.fresh = 0

    def truth(self, start: float, end: float) -> int:
        return sum(count for at, count in self.shown if start < at <= end)


@st.composite
def lives(draw: st.DrawFn) -> Pod:
    """A pod's life. A restart is visible: whoever restarts has counted less than before when next scraped."""
    pod = Pod()
    for second in range(1, draw(st.integers(5, 80))):
        what = draw(st.sampled_from(["serve", "serve", "scrape", "scrape", "silent", "restart"]))
        if what == "serve":
            pod.serve(draw(st.integers(0, 5)))
        elif what == "scrape":
            pod.scrape(float(second))
        elif what == "restart" and pod.scraped and pod.scraped[-1].value > 0:
            pod.restart()
            pod.scrape(second + 0.5)
    return pod


@given(lives(), st.lists(st.integers(1, 90), min_size=1, max_size=8, unique=True))
def test_every_scraped_event_counts_exactly_once(pod: Pod, cuts: list[int]) -> None:
    edges = [0.0, *map(float, sorted(cuts)), 100.0]
    grown = [increase(pod.scraped, start, end) for start, end in itertools.pairwise(edges)]
    assert sum(g or 0 for g in grown) == pod.truth(0.0, 100.0)
    for start, end, one in zip(edges, edges[1:], grown, strict=False):
        assert (one or 0) == pod.truth(start, end)
        assert (one is None) == (not any(start < s.at <= end for s in pod.scraped))


@given(lives(), st.integers(1, 99), st.integers(1, 99))
def test_increases_over_adjacent_blocks_add_up(pod: Pod, first: int, second: int) -> None:
    low, high = sorted((float(first), float(second)))
    parts = (increase(pod.scraped, 0.0, low) or 0) + (increase(pod.scraped, low, high) or 0)
    assert parts == (increase(pod.scraped, 0.0, high) or 0)


def test_a_series_that_begins_inside_the_block_began_at_zero() -> None:
    assert increase(samples((61, 3), (62, 5)), 60, 120) == 5


def test_a_restart_counts_what_came_after_it() -> None:
    assert increase(samples((59, 100), (70, 104), (80, 2), (90, 7)), 60, 120) == 4 + 7


def test_a_series_that_ends_keeps_what_was_counted() -> None:
    ended = samples((59, 10), (70, 14))
    assert increase(ended, 60, 120) == 4
    assert increase(ended, 120, 180) is None


def test_a_gap_is_caught_up_when_the_series_speaks_again() -> None:
    late = samples((59, 10), (200, 25))
    assert [increase(late, s, s + 60) for s in (60, 120, 180)] == [None, None, 15]


def test_a_restarted_prometheus_that_reads_its_log_again_counts_nothing_twice() -> None:
    again = samples((59, 10), (70, 14), (70, 14), (71, 15), (71, 15))
    assert increase(again, 60, 120) == 5


def test_staleness_marks_are_passed_over() -> None:
    assert increase(samples((59, 10), (70, nan), (80, 12)), 60, 120) == 2
    assert increase(samples((59, 10), (70, nan)), 60, 120) is None


def test_a_sample_on_the_edge_belongs_to_the_block_that_ends_there() -> None:
    on_edge = samples((60, 10), (120, 13), (121, 20))
    assert increase(on_edge, 60, 120) == 3
    assert increase(on_edge, 0, 60) == 10


def test_silence_is_unknown_and_standing_still_is_zero() -> None:
    assert increase([], 60, 120) is None
    assert increase(samples((59, 10)), 60, 120) is None
    assert increase(samples((59, 10), (70, 10)), 60, 120) == 0


@pytest.mark.parametrize("values", [(0.5, 1.25), (1e15, 1e15 + 1)])
def test_values_are_differences_of_what_was_scraped(values: tuple[float, float]) -> None:
    assert increase(samples((1, values[0]), (61, values[1])), 60, 120) == values[1] - values[0]


def test_of_two_values_of_the_same_moment_the_first_counts() -> None:
    assert increase(samples((59, 10), (70, 14), (70, 3), (80, 15)), 60, 120) == 5
