"""The course of evidence: equal blocks in a row are one step, however many there are."""

from __future__ import annotations

from dataclasses import replace

from agentrelease.core.course import Course, Terms

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
    assert course.absorbed(TERMS, 300.0, 330.0).steps[-1] == ("to", 300.0, 30.0, 1)
    assert course.absorbed(TERMS, 360.0, 420.0).steps[-1] == ("to", 360.0, 60.0, 1)
    other = course.absorbed(replace(TERMS, usable=False), 300.0, 360.0)
    assert other.steps[-1] == ("to", 300.0, 60.0, 1)
    assert len(other.steps) == len(course.steps) + 2
