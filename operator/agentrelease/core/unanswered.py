"""What the ledger remembers of tasks without an outcome, and how they become evidence, each once.

A block brings a path: how many tasks lacked an outcome at its start and at each point of the grid in it.
Where the path rises above everything that was counted before, the rise is new exposures that all ended badly,
in the block in which their deadline passed. A task that finishes late after all lowers the path and is
counted as what it became; the next one to hang fills its place, so a rise is never counted twice. Only
differences of a path are used, point by point, so merged blocks and restarts lead to the same numbers.

Why the block's e-value stays valid. Exposures that arrive as a Poisson stream and enter the evidence after
independent delays (a finish, or the deadline) are a Poisson stream again, and those that end badly and
those that don't are independent (marking and displacement; Kingman, *Poisson Processes*, 1993, ch. 5). So,
given how many enter a block, each is bad with the same probability, as the statistic needs. It is the arm's
own only while its traffic a deadline ago was like now's, or unlike it by the same factor in both arms. A
new weight breaks that: a canary that went from half to a twentieth would be charged the big flow's hung
tasks against the small flow's exposures. So steps whose tasks began under another weight move the mark
and are not counted, in either arm (``passed_over``), and a phase is not left before its own were due.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from agentrelease.core.evidence import LONGEST_KEY, MAX_STRATA, OTHER, Cell, Count, Paths
from agentrelease.core.guardrails import Kind
from agentrelease.core.rounding import exact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from agentrelease.core.evidence import Path


class Mark(NamedTuple):
    """One arm of one stratum: the path's last level, and the highest that was taken note of."""

    level: float
    high: float


@dataclass(frozen=True, slots=True)
class Marks:
    """Both arms of one stratum; ``None`` has never been seen."""

    candidate: Mark | None = None
    stable: Mark | None = None


@dataclass(frozen=True, slots=True)
class Grown:
    """Tasks of a block whose deadline has passed without an outcome, by arm."""

    candidate: float
    stable: float


def follow(
    marks: Mapping[str, Marks], paths: Mapping[str, Paths], passed_over: int
) -> tuple[dict[str, Marks], dict[str, Grown]]:
    """Return the marks after a block and what it adds, both by stratum; the first steps only move marks."""
    after, grown = dict(marks), {}
    for stratum, both in _few(marks, paths).items():
        before = marks.get(stratum, Marks())
        candidate, of_candidate = _follow(before.candidate, both.candidate, passed_over)
        stable, of_stable = _follow(before.stable, both.stable, passed_over)
        after[stratum] = Marks(candidate, stable)
        if of_candidate or of_stable:
            grown[stratum] = Grown(of_candidate, of_stable)
    return after, grown


def joined(
    cells: Mapping[str, Cell], grown: Mapping[str, Grown], kind: Kind = Kind.RATIO
) -> Mapping[str, Cell]:
    """Return a block's cells with the tasks without an outcome in them: exposures that ended badly.

    Nothing joins what is unknown, nor pairs of answers to one request, which count the missing themselves.
    Requests that a router sent are exposures already.
    """
    if not cells or any(cell.both is not None for cell in cells.values()):
        return cells
    found = dict(cells)
    for stratum, more in grown.items():
        cell = found.get(stratum, Cell())
        candidate, stable = (
            _with(count, one, exposed=kind is Kind.MISSING)
            for count, one in ((cell.candidate, more.candidate), (cell.stable, more.stable))
        )
        found[stratum] = replace(cell, candidate=candidate, stable=stable)
    return found


def _with(count: Count | None, more: float, *, exposed: bool) -> Count | None:
    if not more:
        return count
    if count is None:
        return None if exposed else Count(more, more)
    return Count(count.n if exposed else count.n + more, count.x + more)


def _follow(mark: Mark | None, path: Path | None, passed_over: int) -> tuple[Mark | None, float]:
    if path is None:
        return mark, 0.0
    level, high = mark or (path[0], max(0.0, path[0]))
    counted = 0.0
    for place, (before, after) in enumerate(pairwise(path)):
        level += after - before
        if level > high:
            counted += level - high if place >= passed_over else 0.0
            high = level
    return Mark(exact(level), exact(high)), exact(counted)


def _few(kept: Collection[str], paths: Mapping[str, Paths]) -> Mapping[str, Paths]:
    """Gather strata in one as ``evidence.folded`` does: labels are the agents' choice, state stays small."""
    new = sorted(key for key in paths if key not in kept and key != OTHER)
    long = {key for key in new if len(key) > LONGEST_KEY}
    short = [key for key in new if key not in long]
    rest = set(short[max(0, MAX_STRATA - len(kept)) :]) | long | ({OTHER} & paths.keys())
    if not rest:
        return paths
    own = {key: both for key, both in paths.items() if key not in rest}
    gathered = [paths[key] for key in sorted(rest)]
    return {**own, OTHER: Paths(*(_sum([getattr(p, arm) for p in gathered]) for arm in _ARMS))}


_ARMS = ("candidate", "stable")


def _sum(some: Sequence[Path | None]) -> Path | None:
    known = [one for one in some if one is not None]
    return tuple(sum(levels) for levels in zip(*known, strict=True)) if known else None
