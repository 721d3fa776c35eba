"""The grid of a block: the whole where no step is given, and never beyond its ends."""

from __future__ import annotations

import pytest

from agentrelease.core.span import Span


@pytest.mark.parametrize(
    ("step", "points"),
    [(0.0, (60.0, 180.0)), (60.0, (60.0, 120.0, 180.0)), (120.0, (60.0, 180.0)), (600.0, (60.0, 180.0))],
)
def test_a_block_is_looked_at_where_it_begins_and_at_the_end_of_each_step(step, points) -> None:
    assert Span("shop", "support", "new", "old", 60.0, 180.0, step=step).points == points
