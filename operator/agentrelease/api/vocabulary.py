"""The words that every room shares: group, names on objects, and the ordered vocabularies.

Order is meaning here: ``Autonomy`` and ``Action`` compare by their place in the list, so that
"raise" and "lower" are decided once, by the vocabulary, and not by each caller.
"""

from __future__ import annotations

from enum import StrEnum
from functools import total_ordering

GROUP = "agentrelease.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

REVISION_ANNOTATION = f"{GROUP}/revision"
EPOCH_ANNOTATION = f"{GROUP}/epoch"
LOWERED_ANNOTATION = f"{GROUP}/lowered"
AUTHOR_ANNOTATION = f"{GROUP}/author"
OVERRIDE_ANNOTATION = f"{GROUP}/allow-refused"
RELEASE_LABEL = f"{GROUP}/release"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
OPERATOR_NAME = "agentrelease-operator"
FINALIZER = f"{GROUP}/safe-exposure"
HELD_ANNOTATION = f"{GROUP}/held-by"
HELD_FINALIZER = f"{GROUP}/held"


@total_ordering
class _Ordered(StrEnum):
    """A string whose order is its place in the definition, not the alphabet."""

    @property
    def rank(self) -> int:
        """Zero for the first member."""
        return list(type(self)).index(self)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.rank < other.rank

    def __le__(self, other: object) -> bool:
        return self == other or self < other

    def __gt__(self, other: object) -> bool:
        return not self <= other

    def __ge__(self, other: object) -> bool:
        return not self < other


class Autonomy(_Ordered):
    """How far an agent may go by itself, least first."""

    OBSERVE = "observe"
    SUGGESTION_ONLY = "suggestion-only"
    LIMITED_ACTION = "limited-action"
    FULL_ACTION = "full-action"

    @property
    def one_down(self) -> Autonomy:
        """The level below; the lowest has none and stays."""
        return list(Autonomy)[max(self.rank - 1, 0)]

    @property
    def one_up(self) -> Autonomy:
        """The level above; the highest has none and stays."""
        levels = list(Autonomy)
        return levels[min(self.rank + 1, len(levels) - 1)]


class Effect(_Ordered):
    """What a tool does to the world; a tool without one counts as irreversible."""

    READ = "read"
    WRITE = "write"
    IRREVERSIBLE = "irreversible"


class Action(_Ordered):
    """What a breached guardrail causes, mildest first."""

    NOTIFY = "notify"
    PAUSE = "pause"
    REQUIRE_APPROVAL = "requireApproval"
    FALLBACK_MODEL = "fallbackModel"
    REDUCE_TOOLS = "reduceTools"
    LOWER_AUTONOMY = "lowerAutonomy"
    STEP_BACK = "stepBack"
    ROLLBACK = "rollback"


class MetricClass(StrEnum):
    """What a metric is about; safety outranks the others."""

    SAFETY = "safety"
    QUALITY = "quality"
    EFFICIENCY = "efficiency"
    BUSINESS = "business"


class OnDeadline(StrEnum):
    """What a phase does when its deadline passes without a decision; never promote."""

    HOLD = "hold"
    STEP_BACK = "stepBack"
    ROLLBACK = "rollback"
    REQUIRE_APPROVAL = "requireApproval"
