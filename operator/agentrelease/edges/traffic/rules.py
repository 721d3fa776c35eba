"""The rules of a user's route object, as far as they are ours to write. Pure, and the same for every router.

A rule is *marked* when one of its backends is the Service of a slot. In marked rules we write three
things and nothing else: the weights of the slots' backends, one mirror to the candidate, and, in front of
the rule, a copy of it for the cohort. The copy is known by its name, ``agentrelease-cohort.<agent>.<n>``,
is made anew at every write, and is gone when there is no cohort. Filters, time-outs, matches, other
backends and other rules stay as they are.

How a router spells all this is its ``Dialect``.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Protocol

from agentrelease.core.exposure import Exposure
from agentrelease.edges.traffic.split import COARSE, exposed, weights

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from agentrelease.core.exposure import Cohort
    from agentrelease.engine.levers import Placement

Json = dict[str, Any]


class Dialect(Protocol):
    """How one kind of route object spells a rule. Methods that change a rule get one they may change."""

    def backends(self, rule: Json) -> list[Json]:
        """Return the rule's backends; what is done to them is done to the rule."""

    def service(self, backend: Json, placement: Placement) -> str | None:
        """Return the slot's Service that a backend is, or ``None`` for any other backend."""

    def weight(self, backend: Json, *, alone: bool) -> int:
        """Return a backend's weight, with the default that holds if it is the only one or not."""

    def mirrored(self, rule: Json, services: Collection[str], placement: Placement) -> float:
        """Return the per cent of the rule's requests that are copied to these services."""

    def set_mirror(self, rule: Json, placement: Placement, service: str | None, share: float) -> None:
        """Leave exactly one mirror to a slot, or with ``None`` no mirror to any slot."""

    def mirror_obstacle(self, rule: Json, placement: Placement) -> str:
        """Say why the rule can't have a mirror to a slot; empty when it can."""

    def narrow(self, rule: Json, cohort: Cohort) -> bool:
        """Let the rule match the cohort's requests only; false where that can never hold."""

    def cohort(self, rule: Json) -> Cohort | None:
        """Return the cohort that all of the rule was narrowed to; ``None`` where it matches others too."""

    def settle(self, rule: Json, placement: Placement) -> None:
        """Mend weights that the router would not take for what they say."""


class Rules:
    """Writing and reading the rules of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def base(self, rules: Iterable[Json], placement: Placement) -> list[Json]:
        """Return the marked rules that are the user's own."""
        return [rule for rule in rules if self._listed(rule, placement) and not _is_copy(rule, placement)]

    def written(self, rules: Iterable[Json], placement: Placement) -> list[Json]:
        """Return the rules as the placement wants them; what was passed in stays untouched."""
        result: list[Json] = []
        marked = 0
        for rule in rules:
            if _is_copy(rule, placement):
                continue
            if not self._listed(rule, placement):
                result.append(deepcopy(rule))
                continue
            copy = self._cohort_copy(rule, placement)
            if copy is not None:
                result.append(copy | {"name": f"{_copies(placement)}{marked}"})
            result.append(self._rule(rule, placement))
            marked += 1
        return result

    def obstacle(self, rules: Iterable[Json], placement: Placement) -> str:
        """Say why these rules can't carry the placement's exposure; empty when they can."""
        marked = self.base(rules, placement)
        if not marked:
            return f"no rule has a backend that is one of {', '.join(placement.services)}"
        if placement.candidate is None:
            return ""
        exposure = placement.candidate.exposure
        answering = {name for name, weight in weights(placement).items() if weight and exposure.weight}
        answering |= {placement.candidate.service} if exposure.cohort else set()
        if exposure.cohort and not any(
            self._dialect.narrow(deepcopy(rule), exposure.cohort) for rule in marked
        ):
            return f"no rule can match the cohort {exposure.cohort}: all ask for something else there"
        for rule in marked:
            absent = sorted(answering - self._listed(rule, placement))
            if absent:
                return f"a rule does not list Service {absent[0]}; add it with weight 0"
            if exposure.weight > 0 and self._foreign(rule, placement):
                return "a rule gives weight to a backend that is no slot, so shares can't be kept exactly"
            why = self._dialect.mirror_obstacle(rule, placement) if exposure.mirror > 0 else ""
            if why:
                return why
        return ""

    def reading(self, rules: Iterable[Json], placement: Placement) -> tuple[Exposure | None, str]:
        """Return what the rules allow anybody but stable, the highest of all rules, and why they disagree."""
        rules = list(rules)
        marked = self.base(rules, placement)
        if not marked:
            return None, ""
        reached = exposed(placement)
        shares = {self._share(rule, reached, placement) for rule in marked}
        mirrors = {self._dialect.mirrored(rule, reached, placement) for rule in marked}
        cohorts = set()
        for rule in rules:
            share = self._share(rule, reached, placement) if _is_copy(rule, placement) else 0
            cohort = self._dialect.cohort(rule) if share else None
            if cohort is not None:
                cohorts.add(cohort)
            elif share:
                shares.add(share)  # somebody edited our copy, and now it takes everybody's requests
        said = Exposure(max(mirrors), min(cohorts, key=str, default=None), max(shares))
        disagree = len(shares) > 1 or len(mirrors) > 1 or len(cohorts) > 1
        return said, "the rules of the route disagree about the candidate" if disagree else ""

    def served(self, rules: Iterable[Json], placement: Placement) -> frozenset[str]:
        """Return the slots' Services that any of the user's own marked rules gives a weight."""
        weighed = (one for rule in self.base(rules, placement) for one in self._weighed(rule, placement))
        return frozenset(name for name, weight in weighed if name and weight)

    def _weighed(self, rule: Json, placement: Placement) -> list[tuple[str | None, int]]:
        """Return the slot's Service (``None`` for others) and the weight of each backend."""
        backends = self._dialect.backends(rule)
        return [
            (self._dialect.service(b, placement), self._dialect.weight(b, alone=len(backends) == 1))
            for b in backends
        ]

    def _listed(self, rule: Json, placement: Placement) -> set[str]:
        return {name for name, _ in self._weighed(rule, placement) if name}

    def _foreign(self, rule: Json, placement: Placement) -> int:
        """Return the weight of backends that are not ours."""
        return sum(weight for name, weight in self._weighed(rule, placement) if not name)

    def _share(self, rule: Json, services: Collection[str], placement: Placement) -> float:
        """Return the per cent of a rule's requests that these services answer."""
        weighed = self._weighed(rule, placement)
        total = sum(weight for _, weight in weighed)
        return 100 * sum(weight for name, weight in weighed if name in services) / total if total else 0.0

    def _rule(self, rule: Json, placement: Placement) -> Json:
        rule = deepcopy(rule)
        if placement.stable is not None or placement.candidate is not None:
            self._weigh(rule, placement)
        candidate = placement.candidate
        share = candidate.exposure.mirror if candidate else 0.0
        shadow = candidate.service if candidate and share > 0 else None
        self._dialect.set_mirror(rule, placement, shadow, share)
        return rule

    def _weigh(self, rule: Json, placement: Placement) -> None:
        weighed = self._weighed(rule, placement)
        # Beside a backend of somebody else, our part of the rule's traffic stays what it is.
        ours = sum(weight for name, weight in weighed if name)
        total = ours if self._foreign(rule, placement) else None
        inherited = any(weight for name, weight in weighed if name and name not in exposed(placement))
        left = weights(placement, total, inherited=inherited)
        if {name for name, weight in left.items() if weight} - self._listed(rule, placement):
            # Where the arm that takes the rest is not listed, any weight would be all of the traffic.
            left |= dict.fromkeys(exposed(placement), 0)
        for backend in self._dialect.backends(rule):
            name = self._dialect.service(backend, placement)
            if name is not None:
                backend["weight"] = left.get(name, 0)
                left[name] = 0  # a Service that is listed twice gets its share once
        self._dialect.settle(rule, placement)

    def _cohort_copy(self, rule: Json, placement: Placement) -> Json | None:
        candidate = placement.candidate
        if candidate is None or candidate.exposure.cohort is None:
            return None
        copy = deepcopy(rule)
        if not self._dialect.narrow(copy, candidate.exposure.cohort):
            return None
        self._dialect.set_mirror(copy, placement, None, 0.0)
        given = False
        for backend in self._dialect.backends(copy):
            chosen = self._dialect.service(backend, placement) == candidate.service and not given
            backend["weight"] = COARSE if chosen else 0
            given = given or chosen
        return copy if given else None


def _copies(placement: Placement) -> str:
    return f"agentrelease-cohort.{placement.agent}."


def _is_copy(rule: Json, placement: Placement) -> bool:
    return str(rule.get("name", "")).startswith(_copies(placement))
