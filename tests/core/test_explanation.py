"""A decision explained: it comes out again from what was written down, and its rules are named in order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.core.test_succession import having
from tests.support.situations import NOW, judged, standing, with_

from agentrelease.api.status import Transition
from agentrelease.core.decision import decide
from agentrelease.core.explanation import explain
from agentrelease.core.record import Unreadable, inputs_of, outcome_of


def entry(**changed: Any) -> dict[str, Any]:
    """What the log keeps of a decision, as it is read back."""
    s = with_(standing(), changed)
    outcome = outcome_of(s.release.status, decide(s, NOW), s.assessment)
    return json.loads(json.dumps({"inputs": inputs_of(s, NOW), "outcome": outcome}))


@pytest.mark.parametrize(
    "changed", [{}, {"closed": "it is Friday"}, {"assessment": None}, {"assessment": judged(bad=12)}]
)
def test_the_rules_are_named_in_order_and_end_with_the_one_that_decided(changed: dict[str, Any]) -> None:
    written = entry(**changed)
    found = explain(written)
    assert found.reproduced
    *passed, last = found.considered
    assert passed
    assert last.step is not None
    assert (last.step.move, last.step.cause) == (written["outcome"]["move"], written["outcome"]["cause"])
    assert all(one.step != last.step for one in passed)
    assert all(one.rule.replace(" ", "").isalpha() for one in found.considered)


def test_a_decision_comes_out_again_whatever_was_done_before_it() -> None:
    """The log is the history: a record carries what its decision added, and not what came before."""
    before = Transition(at="then", phase="quarter", revision="support-1", from_="5 %", to="Enter: half")
    written = entry(release=having(standing(), history=[before]).release)
    assert explain(written).reproduced


def test_a_part_that_was_written_otherwise_is_named() -> None:
    written = entry()
    written["outcome"]["cause"] = "Because"
    assert explain(written).differs == ("cause",)
    assert not explain(written).reproduced
    del written["outcome"]["drift"]
    assert explain(written).differs == ("cause", "drift")


def test_the_numbers_of_every_metric_are_written_with_what_was_judged_and_only_then() -> None:
    assert [one["name"] for one in entry()["outcome"]["metrics"]] == ["failures"]
    unjudged = entry(assessment=None)["outcome"]
    assert (unjudged["metrics"], unjudged["verdict"], unjudged["action"]) == ([], "", "")


def test_what_another_version_wrote_is_said_to_be_unreadable() -> None:
    written = entry()
    del written["inputs"]["desired"]["digest"]
    with pytest.raises(Unreadable, match="not of this version"):
        explain(written)
