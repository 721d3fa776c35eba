"""When the operator looks: on the grid of the blocks, just after one has ended."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentrelease.engine.operation import Rhythm


@given(
    now=st.floats(1.7e9, 1.9e9), interval=st.sampled_from([0.5, 1.0, 5.0, 60.0]), settle=st.floats(0.0, 0.4)
)
def test_the_next_look_is_on_the_grid_and_at_most_a_little_over_an_interval_away(
    now: float, interval: float, settle: float
) -> None:
    wait = Rhythm(interval, 1, settle).until_next(now)
    assert 0.1 * interval < wait <= 1.1 * interval + 1e-6
    phase = (now + wait - settle) % interval
    assert min(phase, interval - phase) < 1e-5
