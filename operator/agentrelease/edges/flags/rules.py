"""The rules inside a flag document, as JsonLogic and back: who asks, until when, with which requests.

* A rule asks for the ``release`` in the agent's context by strict equality: loose equality lets a list
  with one element pass for its element in some evaluators.
* A lease asks for ``0 < $flagd.timestamp < until``. The lower bound is there for an evaluator that
  doesn't know the timestamp: to it, ``null < until`` would be true for ever.
* A stratum takes whoever does not say otherwise: only a text that is not empty and not the stratum's value
  is another value. ``x === cat(x)`` asks whether x is a text, which JsonLogic has no word for.
* Rules nest instead of using the else-if form, which flagd's schema does not allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one revision gets: a variant by kind of request, another for the rest, and until when."""

    revision: str
    rest: str
    strata: tuple[tuple[Labels, str], ...] = ()
    until: int | None = None

    def json(self, lapsed: str, otherwise: Json | None) -> Json:
        """Return the rule with what becomes of a lapsed lease and of everybody else."""
        given: Any = self.rest
        for labels, variant in reversed(self.strata):
            given = {"if": [_may_hold(labels), variant, given]}
        if self.until is not None:
            given = leased(given, lapsed, self.until)
        return {"if": [{"===": [{"var": "release"}, self.revision]}, given, otherwise]}


def leased(given: Any, lapsed: str, until: int) -> Json:
    """Return what is given until a moment in unix seconds, and then another variant."""
    return {"if": [{"<": [0, {"var": "$flagd.timestamp"}, until]}, given, lapsed]}


def text_said(name: str) -> Json:
    """Return the question whether the context says a text under this name, and not an empty one."""
    said = {"var": name}
    return {"and": [{"===": [said, {"cat": [said]}]}, {"!==": [said, ""]}]}


def targeting(rules: list[Rule], lapsed: str) -> Json | None:
    """Return the rules as one, tried in their order; ``None`` for none."""
    made: Json | None = None
    for rule in reversed(rules):
        made = rule.json(lapsed, made)
    return made


def rules_of(flag: Json) -> list[Rule]:
    """Return the rules of a flag; what differs from ours raises, or is found by writing them again."""
    found: list[Rule] = []
    rule = flag.get("targeting")
    while rule is not None:
        condition, given, rule = rule["if"]
        until = None
        if isinstance(given, dict) and "<" in given["if"][0]:
            lease, given, _ = given["if"]
            until = lease["<"][2]
            if type(until) is not int:
                raise TypeError(f"a lease ends at {until!r}")
        strata: list[tuple[Labels, str]] = []
        while isinstance(given, dict):
            asked, variant, given = given["if"]
            strata.append((_labels(asked), variant))
        revision = condition["==="][1]
        if not isinstance(revision, str):
            raise TypeError(f"a revision is named {revision!r}")
        found.append(Rule(revision, given, tuple(strata), until))
    return found


def _may_hold(labels: Labels) -> Json:
    asked = [{"!": [_says_otherwise(*label)]} for label in labels]
    return asked[0] if len(asked) == 1 else {"and": asked}


def _says_otherwise(name: str, value: str) -> Json:
    return {"and": [*text_said(name)["and"], {"!==": [{"var": name}, value]}]}


def _labels(asked: Json) -> Labels:
    each = asked.get("and", [asked])
    pairs = [one["!"][0]["and"][2]["!=="] for one in each]
    if not all(isinstance(value, str) for _, value in pairs):
        raise TypeError("a stratum's value is no text")
    return tuple((said["var"], value) for said, value in pairs)
