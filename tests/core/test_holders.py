"""Who needs a revision: nothing that a release could still go to is ever free to be deleted."""

from __future__ import annotations

from tests.support.situations import standing

from agentrelease.api.status import Serving
from agentrelease.core.holders import Case, holders, roles

STABLE = "support-before"


def test_everything_that_a_release_could_go_to_is_held_the_most_important_first():
    release = standing().release
    candidate = release.status.candidate
    assert candidate is not None
    assert roles(release) == (("stable", STABLE), ("candidate", candidate.revision))
    older = Serving(revision="support-older", digest="d", slot="green", autonomy="observe")
    order = release.spec.rollback.model_copy(update={"to": "support-oldest"})
    full = release.model_copy(
        update={
            "status": release.status.model_copy(update={"previous": older}),
            "spec": release.spec.model_copy(update={"rollback": order}),
        }
    )
    assert roles(full) == (
        ("stable", STABLE),
        ("candidate", candidate.revision),
        ("previous", "support-older"),
        ("rollback target", "support-oldest"),
    )
    nothing = release.model_copy(update={"status": type(release.status)()})
    assert roles(nothing) == ()


def test_who_holds_a_revision_is_said_in_words_and_open_incidents_hold_too():
    release = standing().release
    order = release.spec.rollback.model_copy(update={"to": STABLE})
    ordered = release.model_copy(update={"spec": release.spec.model_copy(update={"rollback": order})})
    found = holders(ordered, [Case("i-2", STABLE), Case("i-1", STABLE), Case("i-3", "support-gone")])
    assert found[STABLE] == (
        "stable of release support",
        "rollback target of release support",
        "open incident i-1",
        "open incident i-2",
    )
    assert found["support-gone"] == ("open incident i-3",)


def test_a_release_that_is_gone_holds_nothing_and_its_incidents_go_on_holding():
    assert holders(None, ()) == {}
    assert holders(None, [Case("i-1", STABLE)]) == {STABLE: ("open incident i-1",)}
