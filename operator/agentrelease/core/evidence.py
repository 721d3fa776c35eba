"""What was measured: counts by metric and stratum in fixed blocks of time, and what to compare them with.

Every outcome is oriented so that lower is better: a completion guardrail counts the tasks that were
*not* completed. ``None`` means unknown, and unknown is never zero. Blocks lie on a fixed clock grid
and are never closed because something happened in them: the guarantees of the tests need that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from agentrelease.api.vocabulary import Autonomy

ALL = ""
"""The stratum key of evidence that is not stratified."""

OTHER = "other"
"""The stratum of everything beyond the first :data:`MAX_STRATA`."""

MAX_STRATA = 24

LONGEST_KEY = 128
"""Characters of a stratum's key, beyond which it belongs to :data:`OTHER` where nobody requires it."""

Path = tuple[float, ...]
"""How many tasks of one arm lacked an outcome at a block's start and at each point of the grid in it."""


@dataclass(frozen=True, slots=True)
class Count:
    """One arm, one stratum, one block: ``n`` exposures of which ``x`` ended badly."""

    n: float
    x: float

    @property
    def rate(self) -> float | None:
        """The bad rate; ``None`` without exposures."""
        return self.x / self.n if self.n > 0 else None


@dataclass(frozen=True, slots=True)
class Cell:
    """Both arms of one metric in one stratum.

    ``both`` is for paired evidence only (the same request answered by both arms): the pairs that
    ended badly in *both*. Without it pairs are compared as if they were independent, which is
    valid as long as a hard request is hard for both arms. ``unmatched`` counts copies of a request of
    which only one arm was heard; they are in neither count.
    """

    candidate: Count | None = None
    stable: Count | None = None
    both: float | None = None
    unmatched: float = 0.0


@dataclass(frozen=True, slots=True)
class Paths:
    """Tasks past their deadline without an outcome, both arms of one stratum; ``None`` is unknown."""

    candidate: Path | None = None
    stable: Path | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """All evidence of one release in ``(start, end]``, in seconds on Prometheus' clock.

    ``cells`` is metric name → stratum key → cell. ``events`` counts the candidate's occurrences of
    each event guardrail; a metric that is missing there is unknown, so a reader that looked and found
    nothing writes 0. Where strata are held at levels of their own, ``held``, only what is forbidden in its
    stratum is counted. ``arms`` is stratum → (candidate, stable) exposures in the randomised unit.
    ``lacking`` is tasks without an outcome at their deadline, by which tasks are meant
    (``Guardrail.lacking``) and stratum; the first ``passed_over`` steps of its paths are of tasks that began
    under another exposure. ``early`` says that what is counted goes back to a scrape from before the phase:
    it can prove harm, and nothing else. ``problems`` says why nothing may be raised on this block; a breach
    inside still counts.
    """

    start: float
    end: float
    cells: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)
    events: Mapping[str, float] = field(default_factory=dict)
    arms: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    lacking: Mapping[str, Mapping[str, Paths]] = field(default_factory=dict)
    passed_over: int = 0
    held: frozenset[Autonomy] = frozenset()
    early: bool = False


@dataclass(frozen=True, slots=True)
class Concurrent:
    """Compare with stable at the same time.

    ``share`` is the candidate's intended share of ``arms`` (0 to 1), constant during the block;
    ``None`` switches the sample-ratio check off.
    """

    share: float | None = None


@dataclass(frozen=True, slots=True)
class Paired:
    """Compare answers to the same requests (shadow): only pairs that disagree are evidence."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of stable in one metric and stratum: its count, and the rates of its past days.

    ``usual`` is the least that their mean may have been, ``highest`` the rate of a day's worst hour; both are
    0 where no past days are known.
    """

    count: Count
    usual: float = 0.0
    highest: float = 0.0


@dataclass(frozen=True, slots=True)
class Frozen:
    """Compare with a record of the previous stable, metric → stratum: nothing runs beside us."""

    record: Mapping[str, Mapping[str, Recorded]]


@dataclass(frozen=True, slots=True)
class Absolute:
    """There has never been a stable revision: only ceilings and floors can be judged."""


Comparison = Concurrent | Paired | Frozen | Absolute


def stratum_key(labels: Mapping[str, str]) -> str:
    """Return the canonical key of a stratum, for example ``risk_tier=high,workflow_class=billing``."""
    return ",".join(f"{_plain(name)}={_plain(value)}" for name, value in sorted(labels.items()))


def matches(selector: str, stratum: str) -> bool:
    """Whether a stratum has every label of the selector; both are keys of :func:`stratum_key`."""
    return selector == ALL or set(selector.split(",")) <= set(stratum.split(","))


def total(counts: Iterable[Count | None]) -> Count | None:
    """Return the sum of the known counts; ``None`` when none is known."""
    known = [count for count in counts if count is not None]
    return Count(sum(c.n for c in known), sum(c.x for c in known)) if known else None


def folded(cells: Mapping[str, Cell], kept: Collection[str], required: Iterable[str]) -> Mapping[str, Cell]:
    """Gather strata beyond ``MAX_STRATA`` in one, ``OTHER``; those kept already and required ones stay.

    So are those with a key beyond ``LONGEST_KEY``. Labels are the agents' choice, and state must stay small
    whatever they choose: a status that can't be written any more would stop a rollback, too.
    """
    groups = tuple(required)
    room = MAX_STRATA - len(kept)
    own: dict[str, Cell] = {}
    rest: list[Cell] = []
    for key in sorted(cells):
        if key == OTHER:
            rest.append(cells[key])
        elif key in kept or any(matches(group, key) for group in groups):
            own[key] = cells[key]
        elif room > 0 and len(key) <= LONGEST_KEY:
            room -= 1
            own[key] = cells[key]
        else:
            rest.append(cells[key])
    if not rest:
        return cells
    both = None if any(cell.both is None for cell in rest) else sum(cell.both or 0.0 for cell in rest)
    other = Cell(
        total(cell.candidate for cell in rest),
        total(cell.stable for cell in rest),
        both,
        sum(cell.unmatched for cell in rest),
    )
    return {**own, OTHER: other}


def _plain(text: str) -> str:
    return text.replace("%", "%25").replace(",", "%2C").replace("=", "%3D")
