"""Which revision serves a session, where no route decides it: one rule as JsonLogic, and back.

* The candidate comes first in ``fractional``, so its range of hashes only grows with its weight: a session
  that met it stays with it. Evaluators hash in different ways, so this holds for each by itself.
* What is hashed is the candidate's revision and the session: each rollout meets other people first, and
  the same ones all through it.
* A session without a name, or with one that is no text, gets what serves. To some evaluators a missing key
  would hash to one value for all, and to others to nothing.
* All of it ends with the candidate's lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentrelease.core.exposure import Cohort
from agentrelease.edges.flags.rules import leased, text_said
from agentrelease.edges.traffic.split import total_for, units

if TYPE_CHECKING:
    from agentrelease.engine.levers import Arm

Json = dict[str, Any]

STABLE, CANDIDATE, NOBODY = "stable", "candidate", "nobody"

_KEY = "targetingKey"


@dataclass(frozen=True, slots=True)
class Share:
    """Who meets the candidate: those who say this attribute, and ``weight`` of ``total`` sessions.

    ``service`` reaches it, where it has a slot of its own.
    """

    weight: int
    total: int
    cohort: Cohort | None = None
    service: str = ""

    @classmethod
    def of(cls, arm: Arm | None) -> Share | None:
        """Return a candidate's share, rounded down; ``None`` where nobody meets it, or it has no lease."""
        if arm is None or arm.lease_until is None:
            return None
        exposure, total = arm.exposure, total_for(arm.exposure.weight)
        share = cls(units(exposure.weight, total), total, exposure.cohort, arm.service)
        return share if share.weight or share.cohort else None

    @property
    def percent(self) -> float:
        """Per cent of the sessions that name themselves and are not of the cohort."""
        return 100 * self.weight / self.total

    def json(self, revision: str, rest: str, until: int) -> Json:
        """Return the rule; ``rest`` is the variant for everybody else and after the lease."""
        given: Any = rest
        if self.weight:
            hashed = {"cat": [f"{revision}/", {"var": _KEY}]}
            shares = [[CANDIDATE, self.weight], [rest, self.total - self.weight]]
            given = {"if": [text_said(_KEY), {"fractional": [hashed, *shares]}, rest]}
        if self.cohort is not None:
            asked = {"===": [{"var": self.cohort.name}, self.cohort.value]}
            given = {"if": [asked, CANDIDATE, given]}
        return leased(given, rest, until)


def share_of(flag: Json) -> Share | None:
    """Return the share in a flag's rule; what differs from ours raises, or is found by writing it again."""
    rule = flag.get("targeting")
    if rule is None:
        return None
    _, given, _ = rule["if"]
    service = flag["variants"][CANDIDATE]["service"]
    if not isinstance(service, str):
        raise TypeError("a Service's name is no text")
    cohort = None
    if given["if"][1] == CANDIDATE:
        condition, _, given = given["if"]
        asked, value = condition["==="]
        if not isinstance(asked["var"], str) or not isinstance(value, str):
            raise TypeError("a cohort is known by two texts")
        cohort = Cohort(asked["var"], value, attribute=True)
    if isinstance(given, str):
        return Share(0, total_for(0), cohort, service)
    (_, weight), (_, rest) = given["if"][1]["fractional"][1:]
    if type(weight) is not int or type(rest) is not int:
        raise TypeError("a weight is no whole number")
    return Share(weight, weight + rest, cohort, service)
