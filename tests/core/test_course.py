"""The course of evidence: equal blocks in a row are one step, however many there are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.course import LONGEST, Course, Terms, digest_of, missing, policy_of, runs
from agentrelease.core.evidence import Absolute, Concurrent, Count, Frozen, Paired, Recorded
from agentrelease.core.permitted import Levels
from agentrelease.core.span import Services, Span

TERMS = Terms(
    "support-new", "support-old", "external", "external", 0.0, False, "concurrent", 0.1, "observe", True
)  # fmt: skip


def test_blocks_that_follow_each_other_are_one_step_and_others_begin_a_new_one() -> None:
    course = Course.begun("digest", 0.0)
    before = len(course.steps)
    for minute in range(5):
        course = course.absorbed(TERMS, 60.0 * minute, 60.0 * minute + 60.0)
    assert len(course.steps) == before + 2, "what they have in common, and the blocks"
    assert course.steps[-1] == ("to", 0.0, 60.0, 5)
    uneven = course.absorbed(TERMS, 300.0, 330.0).absorbed(TERMS, 330.0, 360.0).absorbed(TERMS, 360.0, 420.0)
    assert uneven.steps[-1] == ("to", 0.0, 60.0, 5, 30.0, 2, 60.0, 1)
    assert course.absorbed(TERMS, 360.0, 420.0).steps[-1] == ("to", 360.0, 60.0, 1)
    other = course.absorbed(replace(TERMS, usable=False), 300.0, 360.0)
    assert other.steps[-1] == ("to", 300.0, 60.0, 1)
    assert len(other.steps) == len(course.steps) + 2


def test_runs_of_a_step_say_when_each_starts() -> None:
    assert list(runs(0.0, 60.0, 5, 30.0, 2, 60.0, 1)) == [(0.0, 60.0, 5), (300.0, 30.0, 2), (360.0, 60.0, 1)]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        list(runs(0.0, 60.0))


SPAN = Span(
    "shop", "support", "support-new", "support-old", 60.0, 120.0, step=1.0, since=30.0, mirrored=True,
    audience="internal", stable_audience="external", services=Services("green", "blue"),
)  # fmt: skip


def test_terms_say_everything_that_a_block_was_counted_and_compared_by() -> None:
    terms = Terms.of(SPAN, Concurrent(0.25), Autonomy.OBSERVE, usable=False)
    assert (terms.candidate, terms.stable) == ("support-new", "support-old")
    assert (terms.audience, terms.stable_audience) == ("internal", "external")
    assert (terms.since, terms.mirrored, terms.usable, terms.autonomy) == (30.0, True, False, "observe")
    assert (terms.candidate_service, terms.stable_service, terms.held) == ("green", "blue", "")
    levels = Levels(Autonomy.FULL_ACTION, (((("tier", "high"),), Autonomy.OBSERVE),))
    held = Terms.of(replace(SPAN, levels=levels), Concurrent(), Autonomy.OBSERVE, usable=True).held
    assert Levels.read(Autonomy.FULL_ACTION, held) == levels


RECORD = json.dumps({"failures": {"": [900, 80]}})


@pytest.mark.parametrize(
    "comparison",
    [
        Concurrent(),
        Concurrent(0.25),
        Paired(),
        Absolute(),
        Frozen({"failures": {"": Recorded(Count(900, 80))}}),
    ],
)
def test_blocks_are_compared_again_as_they_were(comparison) -> None:
    terms = Terms.of(SPAN, comparison, Autonomy.OBSERVE, usable=True)
    assert terms.against(RECORD) == comparison


def test_a_course_is_read_back_as_it_was_and_anything_else_is_none() -> None:
    course = Course.begun("digest", 5.0).absorbed(TERMS, 0.0, 60.0).then("forgive", 60.0, ["a"], {"b": 1.0})
    text = course.to_json()
    again = Course.from_json(text)
    assert again is not None
    assert again.to_json() == text
    assert (again.policy, again.steps[0]) == ("digest", ("new", 5.0))
    assert again.absorbed(TERMS, 60.0, 120.0).steps[-1] == ("to", 60.0, 60.0, 1)
    other = json.dumps(json.loads(text) | {"v": 2})
    for broken in ("", "[]", "{", "{}", '{"v":1}', other):
        assert Course.from_json(broken) is None


def test_a_course_that_an_older_operator_kept_is_read() -> None:
    assert Course.from_json('{"v":1,"p":"digest","s":[["new",5.0]]}') == Course.begun("digest", 5.0)


def test_a_course_that_has_become_too_long_is_given_up_whole() -> None:
    course, empty = Course("p", (("x", ""),)), len(Course("p", (("x", ""),)).to_json())
    fits = replace(course, steps=(("x", "ä" * (LONGEST - empty)),))
    assert len(fits.to_json()) == LONGEST
    assert replace(course, steps=(("x", "ä" * (LONGEST - empty + 1)),)).to_json() == ""


def test_a_course_proves_the_evidence_that_it_led_to_and_no_other() -> None:
    begun = Course.begun("digest", 0.0)
    sealed = begun.sealed("counts", ["stale"])
    assert (begun.proof, sealed.proof) == ("", digest_of("counts"))
    assert sealed.steps[-1] == ("proof", digest_of("counts"), ["stale"])
    assert (sealed.open, begun.open) == (begun, begun)
    assert not missing("counts", sealed)
    assert not missing("anything", None)
    for evidence, course in (("other", sealed), ("", sealed), ("counts", begun), ("", begun.sealed("", []))):
        assert missing(evidence, course)
    went_on = sealed.then("through", 60.0)
    assert went_on.sealed("more", []).open == went_on
    assert missing("counts", went_on), "the ledger went on, and this is an older one"
    assert Course("digest").proof == ""


def test_policies_that_say_the_same_in_another_order_are_the_same() -> None:
    assert policy_of({"a": 1, "b": {"c": 2, "d": 3}}) == policy_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert policy_of({"a": 1}) != policy_of({"a": 2})
    assert len(policy_of({})) == 16
