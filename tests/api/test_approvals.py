"""Consent is given by the right person, in their own name, for what they looked at: on every path."""

from itertools import product

import pytest
from tests.api.guarded import APPROVALS, APPROVE, EVERYTHING, soon
from tests.api.manifests import OTHER_SHA, SHA, approval, changed, release
from tests.support.controlplane import wait_until

BOB, ALICE, CAROL, DAVE = "bob", "alice", "carol", "dave"
USERS = (BOB, ALICE, CAROL, DAVE)
VERBS = ("create", "update", "patch", "apply", "status", "delete")
SITUATIONS = (
    "own release",
    "in another name",
    "other namespace",
    "expired",
    "without end",
    "other digest",
    "absent release",
    "other phase",
)


@pytest.fixture(scope="module")
def places(guarded):
    """Two namespaces with the same release, written by alice. bob may approve in the first one only.

    alice may do everything, so that nothing but authorship stops her; carol may write approvals but not
    approve; dave may nothing.
    """
    here, there = (guarded.open(f"{guarded.label}-{place}") for place in ("here", "there"))
    for place in (here, there):
        guarded.permit(place, ALICE, EVERYTHING)
        guarded.permit(place, CAROL, APPROVALS)
    guarded.permit(here, BOB, APPROVALS, APPROVE)
    guarded.permit(there, BOB, APPROVALS)
    for place in (here, there):
        guarded.offer(place, ALICE)
    wait_until(
        lambda: guarded.become(BOB, here).create(consent("probe", BOB), dry_run=True).accepted,
        30,
        "the policies know the candidate",
    )
    return here, there


def consent(name, user, situation="own release"):
    given = changed(approval(name, user), {"spec/expires": soon()})
    return changed(
        given,
        {
            "own release": {},
            "other namespace": {},
            "in another name": {"spec/approver": ALICE if user == BOB else BOB},
            "expired": {"spec/expires": soon(-1)},
            "without end": {"spec/expires": soon(31)},
            "other digest": {"spec/digest": OTHER_SHA},
            "absent release": {"spec/release": "billing"},
            "other phase": {"spec/to": "everything"},
        }[situation],
    )


def attempt(view, verb, wanted):
    name = wanted["metadata"]["name"]
    match verb:
        case "create":
            return view.create(wanted)
        case "update":
            return view.replace(wanted)
        case "patch":
            return view.merge("AgentApproval", name, wanted)
        case "apply":
            return view.apply(wanted)
        case "status":
            return view.merge("AgentApproval", name, {"status": {"approved": True}}, "status")
        case "delete":
            return view.delete("AgentApproval", name)


def test_no_path_gives_consent_that_is_not_theirs_to_give(guarded, places):
    here, there = places
    accepted = set()
    cases = list(product(USERS, VERBS, SITUATIONS))
    for number, (user, verb, situation) in enumerate(cases):
        place = there if situation == "other namespace" else here
        name = f"case-{number}"
        attempt(guarded.become(user, place), verb, consent(name, user, situation))
        if guarded.become("admin", place, master=True).get("AgentApproval", name).accepted:
            accepted.add((user, verb, situation))
    right = {(BOB, verb, "own release") for verb in ("create", "apply")}
    # alice may approve anything but her own work; of a release that isn't there, her word is void, and
    # nothing of that name can be created while it lies there (test_a_consent_does_not_outlive_its_release).
    void = {(ALICE, verb, "absent release") for verb in ("create", "apply")}
    assert accepted == right | void
    assert len(cases) == 192


@pytest.mark.parametrize(
    ("user", "situation", "words"),
    [
        (BOB, "in another name", "spec.approver is alice, but you are bob"),
        (CAROL, "own release", "carol may not approve support: the verb approve on agentreleases is missing"),
        (BOB, "other namespace", "bob may not approve support"),
        (ALICE, "own release", "alice wrote the bundle of support and can not approve it"),
        (BOB, "expired", "spec.expires lies in the past"),
        (BOB, "without end", "spec.expires is more than 30 days away"),
        (BOB, "other digest", f"which is {SHA}"),
        (BOB, "absent release", "bob may not approve billing"),
        (BOB, "other phase", "spec.to: support has no phase everything"),
    ],
)
def test_a_refused_consent_says_why(guarded, places, user, situation, words):
    place = places[1] if situation == "other namespace" else places[0]
    answer = guarded.become(user, place).create(consent("why", user, situation), dry_run=True)
    assert answer.code in (403, 422)
    assert words in answer.message


@pytest.mark.parametrize("verb", ["update", "patch", "apply"])
@pytest.mark.parametrize(
    "change",
    [
        {"spec/digest": OTHER_SHA},
        {"spec/to": "all"},
        {"spec/expires": "2036-01-01T00:00:00Z"},
        {"spec/approver": ALICE},
        {"spec/reason": "better said"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_consent_once_given_never_changes(guarded, places, verb, change):
    bob, name = guarded.become(BOB, places[0]), "given"
    bob.create(consent(name, BOB))
    given = bob.get("AgentApproval", name).body
    wanted = changed(given, change)
    if verb == "apply":
        del wanted["metadata"]["managedFields"]
    answer = attempt(bob, verb, wanted)
    assert answer.code == 422
    assert "an approval never changes" in answer.message
    assert bob.get("AgentApproval", name).body["spec"] == given["spec"]


def test_the_admin_can_not_approve_in_another_name_either(guarded, places):
    answer = guarded.become("root", places[0], master=True).create(consent("forged", BOB))
    assert "nobody can approve in another name" in answer.message


def test_a_consent_does_not_outlive_its_release(guarded):
    place = guarded.open(f"{guarded.label}-replay")
    guarded.permit(place, BOB, APPROVALS, APPROVE)
    guarded.offer(place, ALICE)
    bob, alice = guarded.become(BOB, place), guarded.become(ALICE, place, master=True)
    wait_until(lambda: bob.create(consent("old", BOB)).accepted, 30, "bob approves")
    assert alice.delete("AgentRelease", "support").accepted
    wait_until(
        lambda: "delete it first" in alice.create(release(), dry_run=True).message,
        30,
        "the old consent is known",
    )
    assert alice.delete("AgentApproval", "old").accepted
    wait_until(lambda: alice.create(release(), dry_run=True).accepted, 30, "a fresh start")
