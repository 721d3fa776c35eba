"""Plans and blocks that tests of the judgement share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from agentrelease.api.vocabulary import Action, Autonomy, MetricClass
from agentrelease.core.evidence import Block, Cell, Concurrent, Count
from agentrelease.core.guardrails import Guardrail, Kind, Margin, Plan
from agentrelease.core.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

settings.register_profile("core", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("core")

Arms = tuple[tuple[float, float], tuple[float, float]]


def guardrail(name: str = "failures", **changed: object) -> Guardrail:
    settings: dict[str, object] = {
        "name": name,
        "metric_class": MetricClass.QUALITY,
        "kind": Kind.RATIO,
        "on_breach": Action.ROLLBACK,
        "tolerance": Margin(1.0, 0.01),
        "max_harm": Margin(1.0, 0.05),
        "max_harm_stratum": Margin(1.0, 0.15),
        "weight": 1.0,
        "expected": 0.1,
        "bounded": True,
    }
    return Guardrail(**(settings | changed))  # type: ignore[arg-type]


def event(name: str = "forbidden", **changed: object) -> Guardrail:
    return guardrail(name, metric_class=MetricClass.SAFETY, kind=Kind.EVENT, **({"weight": 0.0} | changed))


def plan(*guardrails: Guardrail, **changed: object) -> Plan:
    return Plan(guardrails or (guardrail(),), **changed)  # type: ignore[arg-type]


def block(number: int, cells: Mapping[str, Mapping[str, Arms]], **changed: object) -> Block:
    """The ``number``-th minute: metric → stratum → ((n, x) of the candidate, (n, x) of stable)."""
    made = {m: {k: Cell(Count(*c), Count(*b)) for k, (c, b) in strata.items()} for m, strata in cells.items()}
    return Block(60.0 * number, 60.0 * number + 60.0, made, **changed)  # type: ignore[arg-type]


def absorbed(
    for_plan: Plan, blocks: list[Block], comparison: object = None, ledger: Ledger | None = None
) -> Ledger:
    ledger = ledger or Ledger.new(for_plan, 0.0)
    for one in blocks:
        ledger = ledger.absorb(for_plan, one, Autonomy.OBSERVE, comparison or Concurrent())  # type: ignore[arg-type]
    return ledger


@pytest.fixture
def make() -> type:
    """Builders: ``make.plan(make.guardrail(...))``, ``make.block(...)``, ``make.absorbed(...)``."""
    return type(
        "Make",
        (),
        {
            "guardrail": staticmethod(guardrail),
            "event": staticmethod(event),
            "plan": staticmethod(plan),
            "block": staticmethod(block),
            "absorbed": staticmethod(absorbed),
        },
    )


@pytest.fixture
def steady() -> Callable[..., list[Block]]:
    """``steady(blocks, candidate, stable)``: the same counts of ``failures`` in every minute."""

    def build(
        blocks: int, candidate: tuple[float, float], stable: tuple[float, float] = (570, 57)
    ) -> list[Block]:
        return [block(number, {"failures": {"": (candidate, stable)}}) for number in range(blocks)]

    return build
