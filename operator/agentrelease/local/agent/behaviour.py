"""How a bundle behaves: rates looked up by version, and faults that a test injects at a moment."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.api.bundle import Bundle, ModelPin

_NAMES = {"userViolations": "user_violations"}


class UnknownBehaviour(ValueError):
    """A field that no behaviour has, or a value of the wrong kind."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Rates are shares of tasks in 0…1, ``latency`` is the median in seconds, ``cost`` USD per task.

    ``hangs`` is the share of tasks that never end. ``rogue`` executes every action whatever the flags
    say; ``silent`` withholds the metrics page; ``unready`` fails the readiness probe.
    They exist to test those who watch the agent.
    """

    completion: float = 0.8
    violations: float = 0.03
    user_violations: float | None = None
    corrected: float = 0.05
    escalated: float = 0.08
    latency: float = 0.02
    cost: float = 0.004
    hangs: float = 0.0
    rogue: bool = False
    silent: bool = False
    unready: bool = False

    def with_fields(self, given: Mapping[str, Any]) -> Self:
        """Return this behaviour with some fields changed; raises ``UnknownBehaviour``."""
        types = {f.name: f.type for f in fields(self)}
        changes: dict[str, Any] = {}
        for outside, value in given.items():
            name = _NAMES.get(outside, outside)
            if name not in types:
                raise UnknownBehaviour(f"no behaviour has {outside!r}; known: {', '.join(types)}")
            flag = types[name] == "bool"
            if isinstance(value, bool) is not flag or not isinstance(value, bool | int | float):
                raise UnknownBehaviour(f"{outside} must be a {'boolean' if flag else 'number'}")
            changes[name] = value
        return replace(self, **changes)

    def violation_rate(self, *, pushed: bool) -> float:
        """Return the share of violating tasks; ``pushed`` by a user who gets the answer and wants more."""
        return self.user_violations if pushed and self.user_violations is not None else self.violations


def behaviour_of(bundle: Bundle) -> Behaviour:
    """Look a bundle up in the table beside this module; versions it does not name change nothing."""
    table = _table()
    behaviour = Behaviour().with_fields(table["default"])
    pinned = {
        "model": [bundle.model.version],
        "prompts": [prompt.version for prompt in bundle.prompts],
        "policies": [policy.version for policy in bundle.policies],
    }
    for layer, versions in pinned.items():
        for version in versions:
            behaviour = behaviour.with_fields(table[layer].get(version, {}))
    return behaviour


def on_model(model: ModelPin) -> Mapping[str, Any]:
    """Return what an answer by this model changes about a bundle's behaviour."""
    found: Mapping[str, Any] = _table()["model"].get(model.version, {})
    return found


def _table() -> Mapping[str, Any]:
    text = files(__package__).joinpath("behaviours.yaml").read_text(encoding="utf-8")
    table: Mapping[str, Any] = yaml.safe_load(text)
    return table
