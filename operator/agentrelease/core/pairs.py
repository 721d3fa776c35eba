"""Answers to the same request, judged twice: how often which of the two ended badly.

While requests are copied to the candidate, both agents judge their own answers and a joiner counts the pairs
(``agentrelease.sdk.pairing``)::

    agentrelease_shadow_pairs_total{agent, release=<candidate>, stable=<stable>, metric=<what was judged>,
                                    outcome=<JUDGED or UNMATCHED>, <strata>}

All outcomes start at zero. A pair counts once, when both sides are known. A copy of which one side stays
silent is unmatched: it is no evidence, and too many of them hold the phase, because whoever hangs on
the hard requests only looks good on the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.core.evidence import Cell, Count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agentrelease.core.series import Series

PAIRS = "agentrelease_shadow_pairs_total"

JUDGED = ("both_good", "both_bad", "candidate_only_bad", "stable_only_bad")
"""What a pair can be."""

UNMATCHED = ("candidate_missing", "stable_missing")
"""Copies of which one side was not heard of in time."""

MOST_UNMATCHED = 0.05
"""Share of unmatched copies above which the pairs may not raise anything."""


def labels_of(candidate: str, stable: str, judged: str) -> dict[str, str]:
    """Return the labels that pick one metric's pairs of two revisions."""
    return {"release": candidate, "stable": stable, "metric": judged}


def exported(series: Iterable[Series], labels: Mapping[str, str]) -> bool:
    """Whether anybody counts such pairs, be it none so far."""
    return any(all(one.labels.get(k) == v for k, v in labels.items()) for one in series)


def cells(sums: Callable[[str], Mapping[str, float]]) -> dict[str, Cell]:
    """Return cells by stratum; ``sums`` gives an outcome's growth by stratum.

    A stratum of which one outcome is unknown is unknown altogether: nothing is ever filled in.
    """
    grown = {outcome: sums(outcome) for outcome in (*JUDGED, *UNMATCHED)}
    found = {}
    for key in set.intersection(*(set(grown[outcome]) for outcome in JUDGED)):
        good, both, only_c, only_b = (grown[outcome][key] for outcome in JUDGED)
        whole = good + both + only_c + only_b
        lost = sum(grown[outcome].get(key, 0.0) for outcome in UNMATCHED)
        found[key] = Cell(Count(whole, both + only_c), Count(whole, both + only_b), both, lost)
    return found


def too_many(unmatched: float, whole: float) -> bool:
    """Whether so many copies are unmatched beside so many pairs that the pairs may mislead."""
    return unmatched > MOST_UNMATCHED * (unmatched + whole)
