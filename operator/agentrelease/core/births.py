"""Did a series begin, or does it only speak again? A counter's whole past must never count as growth.

A series whose first sample lies inside a block began at zero if Prometheus was watching its agent already and
remembers nothing of it. It did not if Prometheus remembers an older sample: growth is then measured from
there, however long the silence was. Nobody knows when Prometheus itself saw nothing of the agent just
before (it was down, or its data is gone): such a series counts from its first sample on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agentrelease.core.counters import Sample
    from agentrelease.core.series import Series

Labels = frozenset[tuple[str, str]]


def newcomers(series: Iterable[Series], after: float) -> tuple[Series, ...]:
    """Return the series of which nothing was read up to ``after`` (unix seconds)."""
    return tuple(one for one in series if one.samples[0].at > after)


def joined(
    series: Iterable[Series], earlier: Mapping[Labels, Sample], after: float, watched: float
) -> tuple[Series, ...]:
    """Return one agent's series of one metric, with what is known of how newcomers began.

    ``earlier`` has the last sample before what was read, by labels. ``watched`` is how many seconds before
    a newcomer the agent must have been seen; it is longer than any interval between scrapes, so that a
    neighbour which was scraped a moment earlier by a Prometheus that has just started proves nothing.
    """
    series = tuple(series)
    if not series:
        return ()
    seen_from = min(one.samples[0].at for one in series)
    return tuple(
        _joined(one, earlier.get(frozenset(one.labels.items())), one.samples[0].at - seen_from > watched)
        if one.samples[0].at > after
        else replace(one, from_zero=False)
        for one in series
    )


def _joined(one: Series, before: Sample | None, watched: bool) -> Series:
    if before is None or before.at >= one.samples[0].at:
        return replace(one, from_zero=watched)
    return replace(one, samples=(before, *one.samples), from_zero=False)
