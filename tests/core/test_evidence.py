"""Keys of strata, sums of counts, and what does not fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentrelease.core import evidence
from agentrelease.core.evidence import Cell, Count, folded, matches, stratum_key, total

labels = st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=8), min_size=1, max_size=3)


def test_a_key_names_its_labels_in_order() -> None:
    assert (
        stratum_key({"workflow_class": "billing", "risk_tier": "high"})
        == "risk_tier=high,workflow_class=billing"
    )
    assert stratum_key({}) == evidence.ALL


@given(labels, labels)
def test_different_labels_have_different_keys(left: dict[str, str], right: dict[str, str]) -> None:
    assert (stratum_key(left) == stratum_key(right)) == (left == right)


@given(labels, st.data())
def test_a_selector_matches_the_strata_that_have_its_labels(
    found: dict[str, str], data: st.DataObject
) -> None:
    some = data.draw(st.sets(st.sampled_from(sorted(found)), min_size=1))
    assert matches(stratum_key({name: found[name] for name in some}), stratum_key(found))
    assert matches(evidence.ALL, stratum_key(found))
    assert not matches(stratum_key({**found, "and": "more"}), stratum_key(found)) or "and" in found


def test_unknown_is_not_zero() -> None:
    assert total([None, None]) is None
    assert total([None, Count(3, 1), Count(4, 2)]) == Count(7, 3)
    assert Count(0, 0).rate is None
    assert Count(4, 1).rate == 0.25
    assert Count(1, 1).rate == 1.0


def test_what_fits_is_left_as_it_is() -> None:
    cells = {f"s{n}": Cell() for n in range(evidence.MAX_STRATA)}
    assert folded(cells, (), ()) is cells
    assert folded(cells, tuple(cells), ()) is cells


def test_what_does_not_fit_is_summed_and_stays_unknown_where_all_of_it_is() -> None:
    kept = [f"k{n}" for n in range(evidence.MAX_STRATA)]
    cells = {"a": Cell(Count(3, 1), None, 1.0), "b": Cell(Count(4, 1), None, 1.0), "k1": Cell(Count(9, 9))}
    assert folded(cells, kept, ()) == {"k1": cells["k1"], "other": Cell(Count(7, 2), None, 2.0)}
    cells["b"] = Cell(None, Count(5, 5))
    assert folded(cells, kept, ())["other"] == Cell(Count(3, 1), Count(5, 5), None)


def test_pairs_of_which_none_was_bad_in_both_are_still_pairs_when_they_are_summed() -> None:
    cells = {"x" * 999: Cell(Count(3, 1), Count(3, 0), 0.0), "y" * 999: Cell(Count(4, 2), Count(4, 1), 1.0)}
    assert folded(cells, (), ()) == {"other": Cell(Count(7, 3), Count(7, 1), 1.0)}


def test_a_key_of_the_greatest_length_has_its_own_stratum_and_a_longer_one_has_not() -> None:
    cells = {
        "x" * evidence.LONGEST_KEY: Cell(Count(3, 1)),
        "x" * (evidence.LONGEST_KEY + 1): Cell(Count(4, 2)),
    }
    assert folded(cells, (), ()).keys() == {"x" * evidence.LONGEST_KEY, evidence.OTHER}
