"""A recorded decision, decided again: whether it comes out the same, and which rules led to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentrelease.core.record import replay, situation_of
from agentrelease.core.rollout import next_step, rules_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.steps import Step


@dataclass(frozen=True, slots=True)
class Considered:
    """One rule that was looked at, by its name, and the step it took if it applied."""

    rule: str
    step: Step | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """``differs`` names the parts of the outcome that did not come out as recorded; empty = all did."""

    considered: tuple[Considered, ...]
    outcome: Mapping[str, Any]
    differs: tuple[str, ...]

    @property
    def reproduced(self) -> bool:
        """Whether verdict, step and status came out bit for bit as recorded."""
        return not self.differs


def explain(entry: Mapping[str, Any]) -> Explanation:
    """Decide again on an entry's inputs; raises ``Unreadable`` for inputs of another version."""
    recorded, outcome = entry["outcome"], replay(entry["inputs"])
    names = sorted(recorded.keys() | outcome.keys())
    differs = tuple(name for name in names if recorded.get(name) != outcome.get(name))
    return Explanation(_considered(entry["inputs"]), outcome, differs)


def _considered(inputs: Mapping[str, Any]) -> tuple[Considered, ...]:
    situation, now = situation_of(inputs)
    taken, seen = next_step(situation, now), []
    for rule in rules_for(situation):
        step = rule(situation, now)
        seen.append(Considered(rule.__name__.strip("_").replace("_", " "), step))
        if step == taken:
            break
    return tuple(seen)
