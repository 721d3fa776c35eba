"""What was rolled back stays out until a person lets it in by name, once for each time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.support.situations import NOW, standing

from agentrelease.api.status import MAX_MESSAGE, MAX_REFUSED, Refused, Serving
from agentrelease.api.vocabulary import OVERRIDE_ANNOTATION
from agentrelease.core.decision import decide
from agentrelease.core.refusals import override_of, refusing
from agentrelease.core.steps import Move

if TYPE_CHECKING:
    from agentrelease.core.situation import Situation


def refused(times: int = 1, override: str = "", **spec: Any) -> Situation:
    """The bundle of the spec was rolled back so many times; stable is another one."""
    s = standing(spec=spec)
    one = Refused(
        digest=s.desired.digest, revision=s.desired.revision, reason="it failed", at="then", times=times
    )
    status = s.release.status.model_copy(update={"candidate": None, "refused": [one]})
    annotations = {OVERRIDE_ANNOTATION: override} if override else {}
    release = s.release.model_copy(update={"status": status, "annotations": annotations})
    return replace(s, release=release)


def test_a_refused_bundle_is_held_with_the_words_that_let_it_in() -> None:
    found = decide(refused(), NOW)
    assert (found.step.move, found.step.cause) == (Move.KEEP, "Refused")
    assert "it failed" in found.step.reason
    assert f"{OVERRIDE_ANNOTATION}={refused().desired.digest}" in found.step.reason


def test_a_persons_word_lets_it_in_once_for_each_time() -> None:
    digest = refused().desired.digest
    assert decide(refused(1, digest), NOW).step.move is Move.START
    assert "although it was rolled back" in decide(refused(1, digest), NOW).step.reason
    assert decide(refused(2, digest), NOW).step.cause == "Refused", "that word was for the first time"
    assert decide(refused(2, f"{digest}/2"), NOW).step.move is Move.START


def test_a_bundle_that_a_person_orders_back_is_not_loaded_once_it_is_refused() -> None:
    s = replace(refused(), recalled=True)
    order = s.release.spec.rollback.model_copy(update={"to": s.desired.revision})
    ordered = replace(s, release=s.release.model_copy(
        update={"spec": s.release.spec.model_copy(update={"rollback": order})}
    ))  # fmt: skip
    assert decide(ordered, NOW).step.cause == "RollbackImpossible"
    allowed = ordered.release.status.model_copy(update={"refused": []})
    free = replace(ordered, release=ordered.release.model_copy(update={"status": allowed}))
    assert (decide(free, NOW).step.move, decide(free, NOW).step.cause) == (Move.START, "RollbackOrdered")


def test_times_are_counted_over_promotions_and_the_oldest_refusals_make_room() -> None:
    served = Serving(revision="r", digest="d", slot="green", autonomy="observe", since="then", refusals=2)
    (one,) = refusing((), served, "x" * 2 * MAX_MESSAGE, NOW)
    assert (one.times, one.served_from, len(one.reason)) == (3, "then", MAX_MESSAGE)
    assert override_of(one) == "d/3"
    many: tuple[Refused, ...] = ()
    for number in range(MAX_REFUSED + 3):
        many = refusing(many, served.model_copy(update={"digest": str(number), "refusals": 0}), "why", NOW)
    assert {other.times for other in many} == {1}
    assert [other.digest for other in many] == [str(n) for n in range(3, MAX_REFUSED + 3)]
    again = refusing(many, served.model_copy(update={"digest": "5", "refusals": 0}), "why", NOW)
    assert (again[-1].digest, again[-1].times, len(again)) == ("5", 2, MAX_REFUSED)
