"""What a route and a flag document give a revision, read without any of the operator's code.

The demo measures the operator, so it must not believe it: routes are read as Gateway API says, and
flags are evaluated by flagd's own evaluator, as an agent would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

Json = dict[str, Any]

OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class Reach:
    """How a Service is reached by a route: shares in per cent, and whether a header leads to it."""

    weight: float = 0.0
    mirror: float = 0.0
    cohort: bool = False

    @property
    def answers(self) -> bool:
        """Whether anybody gets an answer from it."""
        return self.weight > 0 or self.cohort

    @property
    def reached(self) -> bool:
        """Whether any request arrives at it, mirrored ones too."""
        return self.answers or self.mirror > 0


def reach(route: Json | None, service: str) -> Reach:
    """Return how an HTTPRoute reaches a Service; a rule with a header match is a cohort's."""
    weight, mirror, cohort = 0.0, 0.0, False
    for rule in (route or {}).get("spec", {}).get("rules") or ():
        share = _share(rule.get("backendRefs") or (), service)
        if any(match.get("headers") for match in rule.get("matches") or ()):
            cohort = cohort or share > 0
        else:
            weight = max(weight, share)
        mirror = max([mirror, *(_mirrored(item, service) for item in rule.get("filters") or ())])
    return Reach(weight, mirror, cohort)


def autonomy(document: str, agent: str, revision: str) -> str:
    """Return the level that an agent of this revision would read; what can't be evaluated is ``observe``."""
    evaluator = FlagdCore()
    try:
        evaluator.set_flags(document)
        context = EvaluationContext("demo-observer", {"release": revision})
        return str(evaluator.resolve_string_value(f"{agent}.autonomy-level", OBSERVE, context).value)
    except (ValueError, TypeError, AttributeError, OpenFeatureError):  # the evaluator's own, for odd JSON
        return OBSERVE


def _share(backends: Any, service: str) -> float:
    total = sum(backend.get("weight", 1) for backend in backends)
    ours = sum(backend.get("weight", 1) for backend in backends if backend["name"] == service)
    return 100.0 * ours / total if total else 0.0


def _mirrored(item: Json, service: str) -> float:
    mirror = item.get("requestMirror") or {}
    if (mirror.get("backendRef") or {}).get("name") != service:
        return 0.0
    fraction = mirror.get("fraction")
    if fraction:
        return 100.0 * float(fraction["numerator"]) / float(fraction.get("denominator", 100))
    return float(mirror.get("percent", 100))
