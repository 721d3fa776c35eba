"""How series begin: growth against a truth that knows it, over gaps of every length and lost memories."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentrelease.core.births import joined, newcomers
from agentrelease.core.counters import Sample, increase, united
from agentrelease.core.series import Series

LOOKBACK, WATCHED = 20.0, 10.0


def key(pod: str) -> frozenset[tuple[str, str]]:
    return frozenset({"pod": pod}.items())


class Memory:
    """A Prometheus: what it scraped of each pod. Pods count one event a second from their start on."""

    def __init__(self) -> None:
        self.scraped: dict[str, list[Sample]] = {}

    def scrape(self, pod: str, at: float, started: float) -> None:
        self.scraped.setdefault(pod, []).append(Sample(at, at - started))

    def read(self, since: float, end: float) -> tuple[Series, ...]:
        """What the edge reads and joins for a block from ``since`` to ``end``."""
        window = {
            pod: tuple(s for s in all_ if since - LOOKBACK < s.at <= end)
            for pod, all_ in self.scraped.items()
        }
        series = [Series({"pod": pod}, samples) for pod, samples in window.items() if samples]
        before = {
            key(pod): [s for s in all_ if s.at <= since - LOOKBACK] for pod, all_ in self.scraped.items()
        }
        earlier = {labels: Sample(since - LOOKBACK, b[-1].value) for labels, b in before.items() if b}
        return joined(series, earlier, since, WATCHED)

    def growth(self, pod: str, edges: list[float]) -> list[float | None]:
        """Block by block, each from its own look."""
        found = []
        for start, end in pairwise(edges):
            mine = [s for s in self.read(start, end) if s.labels["pod"] == pod]
            found.append(mine[0].grown(start, end) if mine else None)
        return found


BLOCKS = [float(t) for t in range(100, 401, 5)]


@given(st.integers(107, 200), st.integers(0, 150))
def test_a_scrape_gap_of_any_length_is_caught_up_exactly(begins: int, lasts: int) -> None:
    memory = Memory()
    for t in range(101, 401):
        memory.scrape("neighbour", t + 0.5, 0.0)
        if not begins <= t < begins + lasts:
            memory.scrape("pod", t, 0.0)
    grown = memory.growth("pod", BLOCKS)
    assert sum(g or 0 for g in grown[1:]) == 400 - 105


@given(st.integers(140, 300))
def test_a_pod_that_appears_counts_from_zero_while_prometheus_was_watching(started: int) -> None:
    memory = Memory()
    for t in range(101, 401):
        memory.scrape("neighbour", t + 0.5, 0.0)
        if t > started:
            memory.scrape("pod", t, started)
    assert sum(g or 0 for g in memory.growth("pod", BLOCKS)) == 400 - started


@given(st.integers(0, 250), st.floats(0.0, 1.0))
def test_a_prometheus_that_lost_its_data_never_counts_the_past_as_growth(wiped: int, offset: float) -> None:
    memory = Memory()
    for t in range(101, 401):
        if t > 101 + wiped:
            memory.scrape("pod", t, -1e6)
            memory.scrape("neighbour", t + offset, -1e6)
    for pod in ("pod", "neighbour"):
        assert sum(g or 0 for g in memory.growth(pod, BLOCKS)) <= 400 - 101 - wiped


def test_a_restart_during_a_silence_counts_what_came_after_it() -> None:
    memory = Memory()
    for t in range(101, 401):
        memory.scrape("neighbour", t + 0.5, 0.0)
        if t <= 120:
            memory.scrape("pod", t, 0.0)
        if t > 300:
            memory.scrape("pod", t, 250.0)
    assert sum(g or 0 for g in memory.growth("pod", BLOCKS)) == (120 - 101) + (400 - 250)


@st.composite
def twice_scraped(draw: st.DrawFn) -> tuple[list[list[Sample]], float]:
    """One counter that falls now and then, scraped by two servers that are silent now and then."""
    copies: list[list[Sample]] = [[], []]
    value, counted, level = 0.0, 0.0, 0.0
    for t in range(1, draw(st.integers(10, 60))):
        if draw(st.integers(0, 9)) == 0 and value > 1:
            for place in (0, 1):  # both see the old life's end and the new life's beginning
                copies[place].append(Sample(t + place * 0.1, value))
            counted, level = counted + value - level, 0.0
            value = draw(st.integers(0, int(value) - 1))
            for place in (0, 1):
                copies[place].append(Sample(t + 0.5 + place * 0.1, value))
            counted, level = counted + value, value
        value += draw(st.integers(0, 5))
        seen = draw(st.sampled_from([(0,), (1,), (0, 1), ()]))
        for place in seen:
            copies[place].append(Sample(t + 0.8 + place * 0.1, value))
        if seen:
            counted, level = counted + value - level, value
    return copies, counted


@given(twice_scraped())
def test_two_replicas_of_prometheus_count_everything_once(world: tuple[list[list[Sample]], float]) -> None:
    copies, truth = world
    one = united(copies)
    assert (increase(one, 0.0, 100.0) or 0) == truth
    assert all(before.value <= after.value for before, after in pairwise(one))


def test_replicas_out_of_step_by_clock_skew_show_no_restart() -> None:
    ahead, behind = [Sample(10.0, 1000), Sample(20.0, 1100)], [Sample(10.1, 998), Sample(20.1, 1097)]
    assert increase(united([ahead, behind]), 0.0, 30.0, from_zero=False) == 100


def test_a_series_read_at_the_very_start_of_a_block_is_no_newcomer() -> None:
    old = Series({"pod": "old"}, (Sample(100.0, 7), Sample(105.0, 9)))
    new = Series({"pod": "new"}, (Sample(100.001, 7), Sample(103.0, 9), Sample(104.0, 9)))
    assert newcomers([old, new], 100.0) == (new,)
    assert (old.newest, new.newest) == (105.0, 104.0)


def test_replicas_that_scraped_in_the_same_moment_count_up_to_the_newer_value() -> None:
    assert united([[Sample(10.0, 5)], [Sample(10.0, 7)]]) == (Sample(10.0, 7),)


def test_a_replica_that_begins_a_moment_behind_shows_no_restart() -> None:
    ahead, behind = [Sample(10.0, 5), Sample(20.0, 6)], [Sample(10.1, 0), Sample(20.1, 6)]
    assert united([ahead, behind])[-1].value == 6
