"""The clock that is furthest off counts, and leases bear a skew up to their length."""

from __future__ import annotations

import pytest

from agentrelease.core.counters import Sample
from agentrelease.core.series import Series
from agentrelease.core.skew import skew, unreliable


def clock(ahead: float, at: float = 1000.0) -> Series:
    return Series({"pod": f"{ahead}"}, (Sample(at - 5.0, 0.0), Sample(at, at + ahead)))


def test_the_clock_that_is_furthest_off_on_either_side_counts() -> None:
    assert skew([clock(3.0), clock(-8.0), clock(5.0)], 1000.0, 30.0) == -8.0
    assert skew([clock(-3.0), clock(9.0), clock(0.0)], 1000.0, 30.0) == 9.0


def test_samples_that_are_too_old_say_nothing() -> None:
    assert skew([clock(3.0), clock(90.0, 969.0)], 1000.0, 30.0) == 3.0
    assert skew([clock(3.0, 970.0)], 1000.0, 30.0) == 3.0
    assert skew([], 1000.0, 30.0) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0.0, ""), (20.0, ""), (-20.0, ""), (21.0, "21 s ahead of"), (-21.0, "21 s behind")],
)
def test_a_skew_up_to_the_lease_is_borne_and_more_says_which_side(seconds, said: str) -> None:
    found = unreliable(seconds, 20.0)
    assert (found == "") if not said else (f"an agent's clock is {said} Prometheus'" in found)


def test_a_clock_that_is_ahead_by_less_than_a_second_is_ahead() -> None:
    assert "ahead of" in unreliable(0.9, 0.5)
    assert "behind" in unreliable(-0.9, 0.5)


def test_the_newest_sample_counts_however_many_there_are() -> None:
    made = Series({}, (Sample(970.0, 999.0), Sample(985.0, 985.0), Sample(1000.0, 1004.0)))
    assert skew([made], 1000.0, 30.0) == 4.0
