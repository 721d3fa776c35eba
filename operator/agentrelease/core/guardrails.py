"""Compiled guardrails: what is measured, how much worse is too much, and what a breach causes.

A guardrail has two margins. Worse than ``tolerance``, proven: its consequence. Harm as large as
``max_harm`` excluded: it does not stand in the way of promotion. Neither: hold. Building a ``Plan``
checks that its numbers can keep what they promise; a plan that exists is a valid one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.api.vocabulary import Action, Autonomy, MetricClass


class PlanError(ValueError):
    """A policy that cannot keep its promises: ``path`` names the field, ``sentence`` says what to do."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(f"{path}: {sentence}")
        self.path = path
        self.sentence = sentence


class Kind(StrEnum):
    """How a metric is measured. All but events and offline results are tested with the same statistic."""

    RATIO = "ratio"
    LATENCY = "latency"
    COST = "cost"
    EVENT = "event"
    OFFLINE = "offline"
    MISSING = "missing"


class MetricVerdict(StrEnum):
    """What one metric says about the candidate."""

    PASS = "pass"  # noqa: S105 - a verdict, not a credential
    HARM = "harm"
    SUSPECT = "suspect"
    COLLECTING = "collecting"
    BLIND = "blind"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True)
class Margin:
    """A bound on the candidate's bad rate: ``relative * stable rate + absolute``."""

    relative: float = 1.0
    absolute: float = 0.0

    def of(self, rate: float) -> float:
        """The bound at a stable rate."""
        return self.relative * rate + self.absolute

    def pair(self) -> tuple[float, float]:
        """``(r, d)``, as the statistic takes it."""
        return self.relative, self.absolute

    def below(self, other: Margin) -> bool:
        """Whether this bound is lower at every stable rate in (0, 1)."""
        ends = (other.of(0.0) - self.of(0.0), other.of(1.0) - self.of(1.0))
        return min(ends) >= 0.0 and max(ends) > 0.0

    def __str__(self) -> str:
        parts = [f"{self.relative:g} × stable"] if self.relative else []
        parts += [f"{100 * self.absolute:g} points"] if self.absolute else []
        return " + ".join(parts) or "0"


@dataclass(frozen=True, slots=True)
class Offline:
    """Which run of an evaluation counts: at least ``cases`` cases, over ``dataset`` if it is named.

    ``passing`` are good results. ``compared`` says that stable's own run is the measure, beside any bound.
    """

    evaluator: str
    cases: int
    dataset: str = ""
    passing: tuple[str, ...] = ("pass",)
    by_score: bool = False
    compared: bool = False


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One metric and its consequence.

    ``weight`` is this metric's share of the false-rollback risk, ``alpha`` the risk of promoting
    although harm is as large as ``max_harm``. ``ceiling`` bounds the bad rate and ``floor`` the good rate
    by themselves, without stable. ``bounded`` says that one exposure can be bad at most once.
    ``expected`` is the bad rate to start the plug-in from; it affects power only. ``pairs`` names what agents
    judge their answers by where both answer the same request; empty compares the arms.
    ``lacking`` names which tasks count as bad here when they have no outcome at their deadline; empty means
    none. ``terms`` tells what is counted and how much is too much from any other wording of it.
    ``window`` is how many seconds after a task its labels are complete and it is counted.
    """

    name: str
    metric_class: MetricClass
    kind: Kind
    on_breach: Action
    tolerance: Margin = Margin()
    max_harm: Margin = Margin(1.0, 0.03)
    max_harm_stratum: Margin = Margin(1.0, 0.10)
    weight: float = 0.0
    alpha: float = 0.05
    ceiling: float | None = None
    floor: float | None = None
    when_autonomy: frozenset[Autonomy] = frozenset()
    expected: float = 0.05
    bounded: bool = False
    terms: str = ""
    pairs: str = ""
    lacking: str = ""
    offline: Offline | None = None
    window: float = 0.0

    @property
    def bound(self) -> float | None:
        """The absolute bound on the bad rate, from ceiling and floor; ``None`` without either."""
        bounds = [
            b for b in (self.ceiling, None if self.floor is None else 1.0 - self.floor) if b is not None
        ]
        return min(bounds, default=None)

    def forbids(self, *levels: Autonomy) -> bool:
        """Whether one occurrence of this event at any of these levels is a breach; named none, all are."""
        return self.kind is Kind.EVENT and (
            not self.when_autonomy or not self.when_autonomy.isdisjoint(levels)
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """All guardrails of a release, with the budgets they share.

    ``false_rollback`` bounds the probability that any tested metric ever breaches while every metric is
    within tolerance in every stratum. ``required`` are stratum keys that must be shown safe by themselves.
    ``stale_after`` and ``blind_after`` are seconds without usable evidence until draining and stepping
    down; ``grid`` is the block length in seconds. Evidence is tempered by dispersion (variance over that of
    independent outcomes): by ``phi`` where a metric has one there, else by what stable's blocks show,
    unless outcomes are ``independent`` because they are counted in the randomised unit. A task without an
    outcome ``deadline`` seconds after it began counts as bad; 0 waits for ever.
    """

    guardrails: tuple[Guardrail, ...]
    false_rollback: float = 0.05
    required: tuple[str, ...] = ()
    grid: float = 60.0
    stale_after: float = 300.0
    blind_after: float = 1800.0
    min_blocks: int = 1
    suspect_at: float = 4.0
    mismatch_at: float = 1000.0
    phi: Mapping[str, float] = field(default_factory=dict)
    independent: bool = False
    deadline: float = 0.0

    def __post_init__(self) -> None:
        _check_budgets(self)
        for index, guardrail in enumerate(self.guardrails):
            _check(guardrail, f"metrics[{index}]")

    @property
    def tested(self) -> tuple[Guardrail, ...]:
        """The guardrails with a statistical test: all but events and offline results."""
        return tuple(g for g in self.guardrails if g.kind not in (Kind.EVENT, Kind.OFFLINE))

    @property
    def absolute(self) -> bool:
        """Whether anything can be judged without a comparison: by a ceiling or a floor, offline ones too."""
        return any(g.bound is not None for g in (*self.tested, *self.offline))

    def groups(self, guardrail: Guardrail) -> tuple[str, ...]:
        """The strata that a guardrail has to show safe by themselves; a router knows of none."""
        return () if guardrail.kind is Kind.MISSING else self.required

    @property
    def events(self) -> tuple[Guardrail, ...]:
        """The guardrails of which one occurrence is enough."""
        return tuple(g for g in self.guardrails if g.kind is Kind.EVENT)

    @property
    def offline(self) -> tuple[Guardrail, ...]:
        """The guardrails that are judged by an evaluation over a fixed set."""
        return tuple(g for g in self.guardrails if g.kind is Kind.OFFLINE)


def _check_budgets(plan: Plan) -> None:
    names = [g.name for g in plan.guardrails]
    if not names:
        raise PlanError("metrics", "a release without guardrails cannot be judged; name at least one")
    for name in names:
        if names.count(name) > 1:
            raise PlanError("metrics", f"two guardrails are called {name}; names must differ")
    if not 0.0 < plan.false_rollback <= 0.2:
        raise PlanError("falseRollback", f"{plan.false_rollback:g} is not a risk between 0 and 0.2")
    weights = sum(g.weight for g in plan.tested)
    if plan.tested and abs(weights - 1.0) > 1e-6:
        raise PlanError("metrics", f"the weights share out one risk and must sum to 1, not {weights:g}")
    if not 0.0 < plan.grid <= plan.stale_after <= plan.blind_after:
        raise PlanError(
            "blindAfter",
            f"evidence goes stale after {plan.stale_after:g} s and blind after {plan.blind_after:g} s; "
            f"these must be in this order and no shorter than a block of {plan.grid:g} s",
        )


def _check(guardrail: Guardrail, path: str) -> None:
    if guardrail.kind is Kind.EVENT:
        return
    if guardrail.kind is Kind.OFFLINE:
        _check_bound(guardrail, path)
        return
    if guardrail.weight <= 0.0:
        raise PlanError(
            f"{path}.weight", f"{guardrail.name} has no share of the false-rollback risk; give it one"
        )
    if not 0.0 < guardrail.alpha <= 0.2:
        raise PlanError(f"{path}.alpha", f"{guardrail.alpha:g} is not a risk between 0 and 0.2")
    for field_name, margin in (
        ("maxHarm", guardrail.max_harm),
        ("maxHarmStratum", guardrail.max_harm_stratum),
    ):
        if not guardrail.tolerance.below(margin):
            raise PlanError(
                f"{path}.{field_name}",
                f"{guardrail.name} tolerates {guardrail.tolerance} and must exclude {margin}; "
                f"the second has to be the larger one at every stable rate",
            )
        if not Margin().below(margin):
            raise PlanError(f"{path}.{field_name}", f"{margin} is no harm; it must be more than 1 × stable")
    _check_bound(guardrail, path)


def _check_bound(guardrail: Guardrail, path: str) -> None:
    if guardrail.bound is not None and not 0.0 < guardrail.bound < 1.0:
        raise PlanError(
            f"{path}.ceiling",
            f"{guardrail.name} allows a bad rate of {guardrail.bound:g}; it must lie between 0 and 1",
        )
