"""Entries of the decision log: each follows the last one, says whom it is about, and is found again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.situations import LOADING, NOW, WITHDRAWING, judged, standing, with_

from agentrelease.api.status import LogHead, ReleaseStatus
from agentrelease.core.chain import Entry, Link, check, restored, sealed
from agentrelease.core.decision import Decision, decide
from agentrelease.core.exposure import NOTHING
from agentrelease.core.packing import packed
from agentrelease.core.record import digest
from agentrelease.core.recovery import Former
from agentrelease.core.steps import Move

if TYPE_CHECKING:
    from agentrelease.core.situation import Situation

HEAD = LogHead(id="d-000041", sequence=41, hash="sha256:" + "4" * 64, at="2026-11-23T10:00:00.000Z")


def after(s: Situation, **changes: Any) -> Situation:
    status = s.release.status.model_copy(update=changes)
    return replace(s, release=s.release.model_copy(update={"status": status}))


def entry(s: Situation, decision: Decision | None = None) -> Entry:
    return sealed(s, decision or decide(s, NOW), NOW, 7)


def test_the_first_entry_follows_nothing_and_the_next_one_the_last():
    first = entry(standing())
    assert (first.content["id"], first.content["sequence"], first.content["previous"]) == ("d-000001", 1, "")
    assert first.hash == digest(first.content)
    second = entry(after(standing(), decision=first.head))
    assert (second.content["id"], second.content["previous"]) == ("d-000002", first.hash)
    assert check([Link.of(one.content, one.hash) for one in (first, second)], second.head) == ()


def test_an_entry_names_the_release_the_time_and_who_wrote_it():
    content = entry(standing()).content
    release = standing().release
    assert (content["namespace"], content["release"], content["uid"]) == (
        release.namespace, release.name, release.uid,
    )  # fmt: skip
    assert (content["at"], content["epoch"], content["phase"]) == ("2027-01-15T08:00:00.000Z", 7, "all")


def test_a_log_whose_status_was_lost_goes_on_from_the_newest_kept_entry():
    lost = replace(after(standing()), former=Former(None, "", head=HEAD))
    assert entry(lost).content["sequence"] == 42
    assert entry(lost).content["previous"] == HEAD.hash
    known = after(lost, decision=HEAD.model_copy(update={"sequence": 50}))
    assert entry(known).content["sequence"] == 51, "what the status knows is newer"
    assert entry(replace(lost, former=Former(None, ""))).content["sequence"] == 1


def test_an_entry_is_about_the_candidate_or_what_was_taken_back_or_what_serves():
    s = standing()
    candidate, stable = s.release.status.candidate, s.release.status.stable
    assert candidate is not None
    assert stable is not None
    assert entry(s).content["revision"] == candidate.revision
    gone = with_(standing(**WITHDRAWING), {
        "live": {"exposure": NOTHING}, "measured": {"recent": 0.0, "autonomy": None},
    })  # fmt: skip
    assert decide(gone, NOW).step.move is Move.FINISH
    assert (entry(gone).content["revision"], entry(gone).content["digest"]) == (
        candidate.revision, candidate.digest,
    )  # fmt: skip
    alone = replace(after(s, candidate=None), desired=replace(s.desired, digest=stable.digest))
    assert entry(alone).content["revision"] == stable.revision
    begun = after(standing(**LOADING), candidate=None, stable=None)
    waits = decide(replace(begun, leading=False), NOW)
    content = entry(replace(begun, leading=False), waits).content
    assert (content["revision"], content["digest"]) == (s.desired.revision, s.desired.digest)


def test_a_return_is_about_the_revision_that_is_taken_back():
    s = standing()
    stable = s.release.status.stable
    assert stable is not None
    older = stable.model_copy(update={"revision": "support-older", "digest": "sha256:" + "a" * 64})
    order = s.release.spec.rollback.model_copy(update={"to": "support-older"})
    s = after(s, candidate=None, previous=older)
    spec = s.release.spec.model_copy(update={"rollback": order})
    s = with_(
        replace(s, release=s.release.model_copy(update={"spec": spec})),
        {"slot": {"revision": "support-older"}},
    )
    assert decide(s, NOW).step.move is Move.RETURN
    assert entry(s).content["revision"] == stable.revision


# ---- read back from a status -----------------------------------------------------------------------------


def carrying(one: Entry, **head: Any) -> ReleaseStatus:
    text = packed(one.content, 1_000_000)
    return ReleaseStatus(decision=one.head.model_copy(update=head), decision_entry=text)


def test_a_status_gives_back_the_entry_that_it_carries_whole():
    one = entry(with_(standing(), {"assessment": judged(bad=12)}))
    assert restored(carrying(one)) == one


@pytest.mark.parametrize(
    "status",
    [
        ReleaseStatus(),
        ReleaseStatus(decision=HEAD),
        ReleaseStatus(decision=HEAD, decision_entry="not an entry"),
        ReleaseStatus(decision_entry=packed({"id": "d-000001"}, 1000)),
    ],
    ids=["nothing", "its name alone", "damaged", "without a name"],
)
def test_what_is_not_there_whole_is_not_given_back(status: ReleaseStatus):
    assert restored(status) is None


def test_an_entry_under_another_name_number_or_hash_is_not_given_back():
    one = entry(standing())
    for other in ({"hash": HEAD.hash}, {"id": "d-000009"}, {"sequence": 9}):
        assert restored(carrying(one, **other)) is None
    for name in ("namespace", "release", "revision"):
        content = {key: value for key, value in one.content.items() if key != name}
        assert restored(carrying(Entry(content, digest(content)))) is None
    bare = {key: one.content[key] for key in ("id", "sequence", "at", "namespace", "release", "revision")}
    assert restored(carrying(Entry(bare, digest(bare)))) is not None
