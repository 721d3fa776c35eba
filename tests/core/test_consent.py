"""Approvals: consent is to one bundle and one step, by somebody else than its author, for a while."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.situations import HALF, LOADING, NOW, standing
from tests.support.stage import AGENT, SPEC

from agentrelease.api.vocabulary import AUTHOR_ANNOTATION
from agentrelease.core.gates import Consent, approval_missing, approval_needed, next_phase

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease

WAITS = "half → all needs an AgentApproval"


def asking(enters: int = HALF + 1, author: str = "", **candidate: Any) -> AgentRelease:
    """A candidate in ``half``, or where it is said to be; one phase wants an approval."""
    phases = deepcopy(SPEC["phases"])
    phases[enters]["approval"] = "required"
    release = standing(spec={"phases": phases}, **candidate).release
    return release.model_copy(update={"annotations": {AUTHOR_ANNOTATION: author} if author else {}})


def consent(release: AgentRelease, /, **changes: Any) -> Consent:
    candidate = release.status.candidate
    assert candidate is not None
    given = Consent("yes", AGENT, candidate.digest, "half", "all", "ann", NOW + 1)
    return replace(given, **changes)


def test_a_phase_that_wants_no_approval_waits_for_none():
    assert approval_missing(standing().release, (), NOW) == ""
    assert approval_missing(asking(enters=HALF), (), NOW) == "", "the phase that it is in already"
    assert not approval_needed(standing().release, HALF + 1)


def test_a_phase_that_wants_one_waits_until_it_is_given():
    release = asking()
    assert approval_missing(release, (), NOW) == WAITS
    assert approval_missing(release, [consent(release)], NOW) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"digest": "sha256:other"}, "; yes by ann is for another bundle"),
        ({"leaves": "canary-10"}, "; yes by ann is for leaving canary-10"),
        ({"leaves": ""}, "; yes by ann is for leaving the start"),
        ({"expires": NOW}, "; yes by ann expired at 2027-01-15 08:00 UTC"),
        ({"approver": "bob"}, "; yes by bob wrote the bundle"),
        ({"enters": "full"}, ""),
        ({"release": "billing"}, ""),
    ],
)
def test_consent_to_anything_else_is_none_and_what_is_close_is_named(changes: dict[str, Any], said: str):
    release = asking(author="bob")
    assert approval_missing(release, [consent(release, **changes)], NOW) == WAITS + said
    both = [consent(release, **changes), consent(release)]
    assert approval_missing(release, both, NOW) == "", "it voids no other"


def test_no_more_than_three_are_named():
    release = asking()
    many = [consent(release, name=f"n{number}", expires=0.0) for number in range(5)]
    assert approval_missing(release, many, NOW).count("expired") == 3


def test_the_first_phase_leaves_the_start():
    release = asking(enters=0, **LOADING)
    assert approval_missing(release, (), NOW) == "the start → shadow needs an AgentApproval"
    assert approval_missing(release, [consent(release, leaves="", enters="shadow")], NOW) == ""


def test_what_happened_may_ask_for_consent_where_the_phase_does_not():
    asked = standing(approvalAsked=True).release
    assert approval_missing(asked, (), NOW) == WAITS
    assert approval_missing(asked, [consent(asked)], NOW) == ""


def test_after_the_last_phase_and_without_a_candidate_there_is_nothing_to_approve():
    last = len(SPEC["phases"]) - 1
    full = asking(enters=last, phaseIndex=last, phaseName="full", approvalAsked=True)
    entered = full.status.candidate.granted.model_copy(  # type: ignore[union-attr]
        update={"weight": 100.0, "autonomy": full.spec.phases[last].autonomy, "cohort": ""}
    )
    candidate = full.status.candidate.model_copy(update={"granted": entered})  # type: ignore[union-attr]
    full = full.model_copy(update={"status": full.status.model_copy(update={"candidate": candidate})})
    assert next_phase(full) is None
    assert approval_missing(full, (), NOW) == ""
    nobody = full.model_copy(update={"status": full.status.model_copy(update={"candidate": None})})
    assert (next_phase(nobody), approval_missing(nobody, (), NOW)) == (None, "")


def test_a_phase_that_was_edited_to_expose_more_asks_once_more():
    release = asking(enters=HALF)
    phases = [*release.spec.phases]
    phases[HALF] = phases[HALF].model_copy(update={"weight": 80.0})
    more = release.model_copy(update={"spec": release.spec.model_copy(update={"phases": phases})})
    assert approval_missing(more, (), NOW) == "canary-10 → half needs an AgentApproval"
