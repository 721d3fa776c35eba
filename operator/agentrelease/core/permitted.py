"""Which level each kind of request has, to tell a forbidden action from one that was allowed.

* An action belongs to a stratum that stays lower where its counter carries the stratum's labels with
  exactly these values. A counter that doesn't say them is judged by the rest's level.
* A lowering reaches agents a moment later. Until they have surely taken it up, of the level before and
  the present one the higher counts, for each kind of request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.api.phase import PhaseStratum
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import strata as strata_
from agentrelease.core.strata import Permission

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agentrelease.api.status import Candidate
    from agentrelease.core.exposure import Exposure
    from agentrelease.core.guardrails import Guardrail

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Levels:
    """The level of the ``rest``, and of the strata that are ``held`` lower, lowest first."""

    rest: Autonomy
    held: tuple[tuple[Labels, Autonomy], ...] = ()

    @classmethod
    def of(cls, rest: Autonomy, listed: Iterable[PhaseStratum]) -> Levels:
        """Return the levels of strata as a phase or a status lists them."""
        found = strata_.of(listed, rest, ())
        return cls(rest, tuple((one.labels, one.permission.autonomy) for one in found))

    @classmethod
    def read(cls, rest: Autonomy, text: str) -> Levels:
        """Read what ``text`` wrote."""
        held = json.loads(text) if text else []
        return cls(rest, tuple((tuple((n, v) for n, v in labels), Autonomy(level)) for labels, level in held))

    @property
    def text(self) -> str:
        """The strata as compact JSON; empty for none."""
        return json.dumps(self.held, separators=(",", ":")) if self.held else ""

    @property
    def lower(self) -> frozenset[Autonomy]:
        """The levels of the strata."""
        return frozenset(level for _, level in self.held)

    def at(self, labels: Mapping[str, str]) -> Autonomy:
        """Return the level of what a counter with these labels counts."""
        fits = (level for pairs, level in self.held if all(labels.get(n) == value for n, value in pairs))
        return next(fits, self.rest)

    def forbidding(self, guardrail: Guardrail) -> Iterator[Labels]:
        """Yield labels of counters of which one occurrence is a breach; empty ones mean any."""
        if guardrail.forbids(self.rest):
            yield ()
            return
        yield from (labels for labels, level in self.held if guardrail.forbids(level))


def of_candidate(exposure: Exposure, candidate: Candidate) -> Levels:
    """Return the levels that a candidate's agents may rightly have."""
    strata = strata_.of(candidate.permitted_strata, candidate.permitted, ())
    views = [(exposure.strata, exposure.rest), (strata, Permission(candidate.permitted))]
    joined = strata_.joined(views, highest=True)
    rest = max(exposure.autonomy, candidate.permitted)
    return Levels(rest, tuple((one.labels, one.permission.autonomy) for one in joined))


def listed(exposure: Exposure) -> list[PhaseStratum]:
    """Return an exposure's strata as a status lists them."""
    return [PhaseStratum(match=dict(one.labels), autonomy=one.permission.autonomy) for one in exposure.strata]


def falls(exposure: Exposure, candidate: Candidate) -> bool:
    """Whether some kind of request has a lower level now than its agents may rightly have."""
    before = strata_.of(candidate.permitted_strata, candidate.permitted, ())
    rest = Permission(candidate.permitted)
    return any(
        exposure.permits(request).autonomy < strata_.permission(before, rest, request).autonomy
        for request in strata_.kinds(exposure.strata, before)
    )
