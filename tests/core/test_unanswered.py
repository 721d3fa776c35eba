"""Tasks without an outcome in the counts of a block: each once, and never where it is counted already."""

from __future__ import annotations

from agentrelease.core.evidence import LONGEST_KEY, MAX_STRATA, OTHER, Cell, Count, Paths
from agentrelease.core.guardrails import Kind
from agentrelease.core.unanswered import Grown, Mark, Marks, follow, joined

HANGS = {"": Grown(3.0, 1.0)}


def test_what_hangs_is_an_exposure_that_ended_badly():
    cells = {"": Cell(Count(100, 10), Count(900, 90))}
    assert joined(cells, HANGS) == {"": Cell(Count(103, 13), Count(901, 91))}
    assert joined(cells, {}) == cells
    assert joined(cells, {"": Grown(0.0, 2.0)}) == {"": Cell(Count(100, 10), Count(902, 92))}


def test_requests_that_a_router_sent_are_exposures_already():
    cells = {"": Cell(Count(100, 0), None)}
    assert joined(cells, HANGS, Kind.MISSING) == {"": Cell(Count(100, 3), None)}


def test_an_arm_or_a_stratum_in_which_everything_hangs_is_all_bad():
    assert joined({"": Cell(None, Count(900, 90))}, HANGS) == {"": Cell(Count(3, 3), Count(901, 91))}
    cells = {"a": Cell(Count(9, 0), Count(9, 0))}
    assert joined(cells, {"b": Grown(2.0, 0.0)}) == cells | {"b": Cell(Count(2, 2), None)}


def test_nothing_joins_what_is_unknown_nor_pairs_which_count_the_missing_themselves():
    assert joined({}, HANGS) == {}
    pairs = {"": Cell(Count(9, 1), Count(9, 1), 1.0), "a": Cell(Count(9, 1), Count(9, 1))}
    assert joined(pairs, HANGS) is pairs


def test_a_rise_counts_once_and_what_ended_after_all_makes_room_for_the_next():
    marks, grown = follow({}, {"": Paths((2.0, 5.0, 4.0, 6.0), None)}, 0)
    assert (marks, grown) == ({"": Marks(Mark(6, 6))}, {"": Grown(4, 0)})
    marks, grown = follow(marks, {"": Paths((9.0, 7.0, 8.0), (0.0, 1.0, 1.0))}, 0)
    assert grown == {"": Grown(0, 1)}, "only differences count, and it fell by two before it rose by one"
    assert marks == {"": Marks(Mark(5, 6), Mark(1, 1))}
    assert follow(marks, {"": Paths(None, None)}, 0) == (marks, {})
    assert follow({}, {"": Paths((-3.0, 2.0), None)}, 0)[1] == {"": Grown(2, 0)}, (
        "below zero nothing is known"
    )


def test_steps_that_are_passed_over_move_the_mark_and_are_not_counted():
    _, grown = follow({}, {"": Paths((0.0, 3.0, 5.0), None)}, 1)
    assert grown == {"": Grown(2, 0)}


def test_labels_that_agents_choose_do_not_swell_the_marks():
    paths = {f"s{n:02}": Paths((0.0, 1.0), (0.0, 2.0) if n % 2 else None) for n in range(MAX_STRATA + 4)}
    marks, grown = follow({}, paths, 0)
    assert len(marks) == MAX_STRATA + 1
    assert grown[OTHER] == Grown(4, 4)
    again, more = follow(marks, paths, 0)
    assert again.keys() == marks.keys()
    assert more == grown, "who has a mark keeps it"
    assert follow({}, dict(list(paths.items())[:MAX_STRATA]), 0)[0].keys() == set(list(paths)[:MAX_STRATA])


def test_a_label_that_is_too_long_is_gathered_even_where_it_is_the_only_one():
    paths = {"x" * LONGEST_KEY: Paths((0.0, 1.0), None), "y" * (LONGEST_KEY + 1): Paths((0.0, 2.0), None)}
    assert follow({}, paths, 0)[1] == {"x" * LONGEST_KEY: Grown(1, 0), OTHER: Grown(2, 0)}
