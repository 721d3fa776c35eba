"""The sentences of a judgement: numbers as people write them, both arms, the bound, what is still needed."""

from __future__ import annotations

from math import inf, log

import pytest
from tests.core.conftest import event, guardrail

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import words
from agentrelease.core.contrast import Pairs
from agentrelease.core.evidence import Count
from agentrelease.core.grounds import Seen
from agentrelease.core.guardrails import Margin, MetricVerdict

BOTH = Seen(Count(1020, 12), Count(9000, 90))
HARM = Margin(1.0, 0.03)
WAIT = "about 1,200 more candidate tasks are needed"


def test_a_count_says_how_many_of_how_many_and_the_share():
    assert words.share(Count(1020, 12)) == "12 of 1,020 (1.18 %)"
    assert words.share(Count(0.5, 0.25)) == "0.25 of 0.5 (50 %)"
    assert words.share(Count(0, 0)) == "nothing yet"


def test_stable_is_named_where_it_has_something_and_a_note_where_there_is_one():
    assert words.against(BOTH) == "12 of 1,020 (1.18 %) bad against 90 of 9,000 (1 %) in stable"
    assert words.against(Seen(Count(4, 1), Count(1, 0))).endswith("against 0 of 1 (0 %) in stable")
    assert words.against(Seen(Count(4, 1), Count(0, 0))) == "1 of 4 (25 %) bad"
    noted = Seen(Count(4, 1), Count(0, 0), note="no pairs are counted")
    assert words.against(noted) == "1 of 4 (25 %) bad (no pairs are counted)"


def test_pairs_say_which_side_alone_was_bad():
    said = words.against(Seen(Count(100, 9), Count(100, 6), pairs=Pairs(100.0, 9.0, 6.0, 4.0)))
    assert said.startswith("100 pairs of answers to the same request: 5 bad only in the candidate, 2 only in")
    assert said.endswith("stable, 4 in both")


def test_copies_judged_on_one_side_are_told_of_all_copies():
    assert words.unmatched(30, 70).startswith("30 of 100 copied requests were judged on one side only")


def test_a_stratum_is_named_and_all_strata_are_not():
    assert (words.where("risk_tier=high"), words.where("")) == (" in risk_tier=high", "")


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (0.0, "1 to 1"),
        (log(20), "20 to 1"),
        (log(12_345), "12,300 to 1"),
        (log(2.5), "2.5 to 1"),
        (log(990_000), "990,000 to 1"),
        (log(1e6), "1,000,000 to 1"),
        (log(1_010_000), "more than a million to 1"),
    ],
)
def test_evidence_is_said_as_odds_to_three_digits(evidence, said):
    assert words.odds(evidence) == said


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (MetricVerdict.PASS, f": harm of {HARM} is excluded"),
        (MetricVerdict.HARM, f": proven worse than tolerated ({Margin(1.0, 0.01)})"),
        (MetricVerdict.SUSPECT, f": looks worse than tolerated ({Margin(1.0, 0.01)}), not proven"),
        (
            MetricVerdict.UNJUDGED,
            ": there is no stable revision to compare with and no ceiling or floor is set",
        ),
        (MetricVerdict.COLLECTING, f": harm of {HARM} is not excluded yet; {WAIT}"),
    ],
)
def test_every_verdict_has_its_sentence_with_what_was_seen_and_its_bound(verdict, said):
    assert words.metric(guardrail(), HARM, BOTH, verdict, 1200.0) == words.against(BOTH) + said


def test_without_usable_evidence_the_last_that_was_seen_is_said():
    said = words.metric(guardrail(), HARM, BOTH, MetricVerdict.BLIND, 0.0)
    assert said == f"no usable evidence; last seen {words.against(BOTH)}"


def test_what_no_number_of_tasks_will_prove_is_said_to_be_so():
    assert "cannot be excluded at this rate" in words.collecting(HARM, BOTH, inf)


def test_a_stratum_that_need_not_be_proven_is_said_to_be_watched():
    assert words.watched(BOTH) == f"{words.against(BOTH)}: watched for harm"


def test_an_event_says_how_many_at_which_levels():
    low = event(when_autonomy=frozenset({Autonomy.SUGGESTION_ONLY, Autonomy.OBSERVE}))
    assert (
        words.event(low, 2.0, MetricVerdict.HARM) == "2 forbidden at observe, suggestion-only; one is enough"
    )
    assert words.event(event(), 0.0, MetricVerdict.PASS) == "0 forbidden at any autonomy; one is enough"
    assert words.event(event(), 0.0, MetricVerdict.BLIND) == "no usable evidence of forbidden"
