"""What happens where stable serves alone: it stays, a person orders it back, or something new begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.test_succession import PREVIOUS, having
from tests.support.situations import NOW, standing

from agentrelease.api.status import MAX_MESSAGE, Refused, Watching
from agentrelease.api.vocabulary import OVERRIDE_ANNOTATION
from agentrelease.core.decision import decide
from agentrelease.core.exposure import NOTHING
from agentrelease.core.situation import Desired, Live, Situation, SlotState
from agentrelease.core.steps import Move


def alone(rollback: dict[str, Any] | None = None, **changed: Any) -> Situation:
    """Stable serves the spec's bundle, and the revision before it is still in its slot."""
    s = standing(spec={"rollback": rollback or {}})
    stable = s.release.status.stable
    assert stable is not None
    s = having(s, candidate=None, previous=PREVIOUS, watch=Watching(since=NOW - 9.0))
    whole: dict[str, Any] = {
        "desired": Desired(stable.digest, stable.revision),
        "live": Live(NOTHING),
        "slot": SlotState(PREVIOUS.revision, available=True),
        "assessment": None,
    }
    return replace(s, **whole | changed)


def step(s: Situation) -> tuple[Move, str]:
    found = decide(s, NOW).step
    return found.move, found.cause


NEXT = Desired("sha256:next", "support-next")
BACK = {"to": PREVIOUS.revision}


def test_what_the_spec_asks_for_serves_and_stays() -> None:
    assert step(alone()) == (Move.KEEP, "Promoted")
    assert "support-before serves at full-action" in decide(alone(), NOW).step.reason
    assert step(alone(halt="somebody halted all agents")) == (Move.KEEP, "Halted")
    halted = decide(alone(live=Live(NOTHING, halted=True)), NOW).step
    assert "a person halted the agent" in halted.reason


def test_a_new_bundle_is_loaded() -> None:
    assert step(alone(desired=NEXT)) == (Move.START, "RolloutStarted")
    assert decide(alone(desired=NEXT), NOW).step.reason == "loading support-next"
    assert step(alone(desired=NEXT, leading=False)) == (Move.KEEP, "NotLeading")


@pytest.mark.parametrize(
    ("rollback", "changed", "found"),
    [
        (BACK, {}, (Move.RETURN, "RollbackOrdered")),
        (BACK | {"of": "support-before"}, {}, (Move.RETURN, "RollbackOrdered")),
        (BACK | {"of": "support-other"}, {}, (Move.KEEP, "Promoted")),
        ({"to": "support-before"}, {}, (Move.KEEP, "Promoted")),
        ({"to": "support-never"}, {}, (Move.KEEP, "RollbackImpossible")),
        (BACK, {"slot": SlotState("support-other", available=True)}, (Move.KEEP, "RollbackImpossible")),
    ],
)
def test_a_person_orders_the_revision_before_back_if_its_slot_has_it(rollback, changed, found) -> None:
    assert step(alone(rollback, **changed)) == found


def test_an_order_to_a_revision_that_is_kept_loads_it_where_this_replica_leads() -> None:
    kept: dict[str, Any] = {"desired": Desired("sha256:kept", "support-kept"), "recalled": True}
    order = {"to": "support-kept"}
    assert step(alone(order, **kept)) == (Move.START, "RollbackOrdered")
    assert step(alone(order, **kept, leading=False)) == (Move.KEEP, "NotLeading")
    assert step(alone(leading=False)) == (Move.KEEP, "Promoted"), "what serves needs no leader"


@pytest.mark.parametrize(
    ("rollback", "stands"),
    [
        ({"to": "support-before"}, True),
        ({"to": "support-before", "of": "support-next"}, True),
        ({"to": "support-before", "of": "support-older"}, False),
        ({"to": "support-next"}, False),
        ({}, False),
    ],
)
def test_an_order_keeps_out_what_it_is_about_and_nothing_that_came_later(rollback, stands: bool) -> None:
    s = having(alone(rollback, desired=NEXT), previous=None)
    if rollback.get("to") == "support-next":  # it is loaded because the spec has it, not by the order
        assert decide(s, NOW).step.cause == "RollbackImpossible"
        return
    expected = (Move.KEEP, "RollbackOrdered") if stands else (Move.START, "RolloutStarted")
    assert step(s) == expected


def test_a_release_that_is_being_deleted_keeps_what_serves() -> None:
    s = alone(desired=NEXT)
    s = replace(s, release=s.release.model_copy(update={"deleting": True}))
    assert step(s) == (Move.KEEP, "Deleted")


def test_a_refusal_names_the_way_out_however_long_its_reason_is() -> None:
    out = Refused(digest=NEXT.digest, revision=NEXT.revision, reason="x" * MAX_MESSAGE, at="then")
    found = decide(having(alone(desired=NEXT), refused=[out]), NOW).step
    assert found.cause == "Refused"
    assert found.reason.endswith(f"{OVERRIDE_ANNOTATION}={NEXT.digest}")
    assert MAX_MESSAGE - 70 < len(found.reason) <= MAX_MESSAGE
