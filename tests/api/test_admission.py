"""Authors, statuses, revisions and the fence, as the real API server keeps them."""

import pytest
from tests.api.guarded import EVERYTHING, GITOPS, OPERATOR
from tests.api.manifests import GONE, SHA, changed, incident, release, revision
from tests.support.controlplane import wait_until

from agentrelease.api.admission import bound_to, policies, source

HELD = "agentrelease.dev/held-by"
AUTHOR = "metadata/annotations"
VERSION = "spec/bundle/workflow/version"
NEEDED = {"spec/phases/3/approval": "required"}


def by(author):
    return {AUTHOR: {"agentrelease.dev/author": author}}


@pytest.fixture
def place(guarded, request):
    number = request.session.stash.setdefault(COUNT, 0)
    request.session.stash[COUNT] = number + 1
    place = guarded.open(f"{guarded.label}-{number}")
    for person in ("alice", "bob", "carol"):
        guarded.permit(place, person, EVERYTHING if person != "carol" else WRITE)
    wait_until(
        lambda: guarded.become("carol", place).create(release(), dry_run=True).accepted, 30, "RBAC is known"
    )
    return place


COUNT = pytest.StashKey[int]()
WRITE = {
    "apiGroups": ["agentrelease.dev"],
    "resources": ["*"],
    "verbs": ["get", "list", "create", "update", "patch", "delete"],
}


def test_a_release_without_approvals_needs_no_author(guarded, place):
    assert guarded.become("carol", place).apply(release()).accepted
    newer = changed(release(), {VERSION: "w10"})
    assert guarded.become("bob", place).apply(newer, manager="bob").accepted


def test_a_release_with_approvals_asks_for_its_author_and_says_how(guarded, place):
    answer = guarded.become("alice", place).create(changed(release(), NEEDED))
    assert "annotation agentrelease.dev/author: alice" in answer.message
    assert guarded.become("alice", place).create(changed(release(), NEEDED | by("alice"))).accepted


@pytest.mark.parametrize("verb", ["create", "apply"])
def test_nobody_can_name_somebody_else_as_author(guarded, place, verb):
    wanted = changed(release(), NEEDED | by("bob"))
    answer = getattr(guarded.become("alice", place), verb)(wanted)
    assert answer.code == 403
    assert "is bob, but this bundle is written by alice" in answer.message


def test_a_false_author_is_refused_even_where_nobody_asked(guarded, place):
    answer = guarded.become("alice", place).create(changed(release(), by("bob")))
    assert "this bundle is written by alice" in answer.message


def test_whoever_changes_the_bundle_becomes_its_author(guarded, place):
    alice, bob = guarded.become("alice", place), guarded.become("bob", place)
    assert alice.create(changed(release(), NEEDED | by("alice"))).accepted
    newer = {"spec": {"bundle": {"workflow": {"version": "w10"}}}}
    assert "written by bob" in bob.merge("AgentRelease", "support", newer).message
    mine = {"metadata": {"annotations": {"agentrelease.dev/author": "bob"}}}
    assert bob.merge("AgentRelease", "support", newer | mine).accepted


@pytest.mark.parametrize("author", ["bob", "", None])
def test_an_author_can_not_shake_off_a_bundle(guarded, place, author):
    alice = guarded.become("alice", place)
    assert alice.create(changed(release(), NEEDED | by("alice"))).accepted
    shaken = {"metadata": {"annotations": {"agentrelease.dev/author": author}}}
    answer = alice.merge("AgentRelease", "support", shaken)
    assert not answer.accepted
    assert "agentrelease.dev/author" in answer.message


def test_an_author_may_own_up_later(guarded, place):
    alice = guarded.become("alice", place)
    assert alice.create(release()).accepted
    mine = {"metadata": {"annotations": {"agentrelease.dev/author": "alice"}}}
    theirs = {"metadata": {"annotations": {"agentrelease.dev/author": "bob"}}}
    assert not alice.merge("AgentRelease", "support", theirs).accepted
    assert alice.merge("AgentRelease", "support", mine).accepted


def test_gitops_passes_a_persons_name(guarded, place):
    flux = guarded.become(GITOPS, place, master=True)
    assert "say who that is" in flux.apply(changed(release(), NEEDED)).message
    for robot in (GITOPS, "system:admin"):
        assert "must be a person" in flux.apply(changed(release(), NEEDED | by(robot))).message
    assert flux.apply(changed(release(), NEEDED | by("alice"))).accepted
    assert flux.apply(changed(release(), NEEDED | by("bob") | {VERSION: "w10"})).accepted


CHEATS = {
    "drops the approval": {"spec/phases/3/approval": GONE},
    "says none": {"spec/phases/3/approval": "none"},
    "raises what comes before": {"spec/phases/2/weight": 50},
    "acts before": {"spec/phases/2/autonomy": "limited-action"},
    "goes around": {"spec/phases/3": GONE},
    "opens the cohort": {"spec/phases/1/cohort/header/name": "user-agent"},
}


@pytest.mark.parametrize("cheat", CHEATS)
@pytest.mark.parametrize("person", ["alice", "carol"])
def test_an_approval_can_not_be_walked_around_by_author_or_bystander(guarded, place, person, cheat):
    alice = guarded.become("alice", place)
    assert alice.create(changed(release(), NEEDED | by("alice"))).accepted
    stored = alice.get("AgentRelease", "support").body
    answer = guarded.become(person, place).replace(changed(stored, CHEATS[cheat]))
    assert answer.code == 403
    assert "changed by somebody who may approve it" in answer.message


def test_another_approver_may_change_what_needs_approval_but_not_with_the_bundle(guarded, place):
    alice, bob = guarded.become("alice", place), guarded.become("bob", place)
    assert alice.create(changed(release(), NEEDED | by("alice"))).accepted
    stored = alice.get("AgentRelease", "support").body
    easier = changed(stored, {"spec/phases/3/approval": GONE})
    both = changed(easier, by("bob") | {VERSION: "w10"})
    assert "not together with the bundle" in bob.replace(both).message
    assert bob.replace(easier).accepted


def test_the_author_may_tune_what_is_no_exposure(guarded, place):
    alice = guarded.become("alice", place)
    assert alice.create(changed(release(), NEEDED | by("alice"))).accepted
    stored = alice.get("AgentRelease", "support").body
    tuned = changed(stored, {"spec/phases/2/minDuration": "3h", "spec/paused": True})
    assert alice.replace(tuned).accepted


@pytest.mark.parametrize("key", ["", "1st", "a b", "x" * 64, "ключ"])
def test_a_parameter_has_a_sane_name(guarded, place, key):
    answer = guarded.become("carol", place).create(
        changed(release(), {"spec/bundle/model/parameters": {key: 1}}), dry_run=True
    )
    assert "spec.bundle.model.parameters: a name starts with a letter" in answer.message


@pytest.mark.parametrize("verb", ["update", "patch", "apply"])
@pytest.mark.parametrize("person", ["alice", "root"])
def test_only_the_operator_writes_status(guarded, place, person, verb):
    view = guarded.become(person, place, master=person == "root")
    operator = guarded.become(OPERATOR, place, master=True)
    assert view.create(release()).accepted
    stored = view.get("AgentRelease", "support").body
    forged = changed(stored, {"status": {"phase": "Promoted"}})
    forged["metadata"].pop("managedFields")
    attempts = {
        "update": lambda who: who.replace(forged, "status"),
        "patch": lambda who: who.merge("AgentRelease", "support", {"status": forged["status"]}, "status"),
        "apply": lambda who: who.apply(forged, "status"),
    }
    answer = attempts[verb](view)
    assert answer.code == 403
    assert f"status is written by {OPERATOR} only, not by {person}" in answer.message
    assert attempts[verb](operator).accepted


def test_a_status_slipped_in_with_the_object_is_dropped(guarded, place):
    alice = guarded.become("alice", place)
    made = alice.create(changed(release(), {"status": {"phase": "Promoted"}}))
    assert "status" not in made.body
    changed_too = alice.merge("AgentRelease", "support", {"status": {"phase": "Promoted"}})
    assert "status" not in changed_too.body


def test_a_revision_is_the_operators_and_stays_while_it_is_needed(guarded, place):
    operator, root = guarded.become(OPERATOR, place, master=True), guarded.become("root", place, master=True)
    assert "written by" in root.create(revision()).message
    used = changed(revision(), {AUTHOR: {HELD: "stable of release support; open incident support-1"}})
    name = used["metadata"]["name"]
    assert operator.create(used).accepted
    relabel = {"metadata": {"annotations": {HELD: None}}}
    assert "written by" in root.merge("AgentRevision", name, relabel).message
    words = f"AgentRevision {name} is kept: stable of release support; open incident support-1; it can be"
    assert words in root.delete("AgentRevision", name).message
    assert words in root.delete_all("AgentRevision").message
    assert operator.merge("AgentRevision", name, relabel).accepted
    assert root.delete("AgentRevision", name).accepted


@pytest.mark.parametrize("role", ["stable", "candidate", "previous", "rollback target"])
def test_a_revision_that_a_release_names_can_not_be_deleted(guarded, place, role):
    operator, root = guarded.become(OPERATOR, place, master=True), guarded.become("root", place, master=True)
    name = revision()["metadata"]["name"]
    assert operator.create(revision()).accepted
    assert root.create(release()).accepted
    serving = {"revision": name, "digest": SHA, "slot": "blue", "autonomy": "observe"}
    if role == "rollback target":
        assert root.merge("AgentRelease", "support", {"spec": {"rollback": {"to": name}}}).accepted
    else:
        assert operator.merge("AgentRelease", "support", {"status": {role: serving}}, "status").accepted
    words = f"is kept: {role} of release support; it can be deleted when nobody holds it any more"
    wait_until(
        lambda: words in root.delete("AgentRevision", name, dry_run=True).message, 30, "it is known as used"
    )
    assert words in root.delete("AgentRevision", name).message
    assert words in root.delete_all("AgentRevision").message
    assert root.delete("AgentRelease", "support").accepted
    wait_until(lambda: root.delete("AgentRevision", name, dry_run=True).accepted, 30, "it is free again")


def test_an_open_incident_keeps_its_revision_until_it_is_closed(guarded, place):
    operator, root = guarded.become(OPERATOR, place, master=True), guarded.become("root", place, master=True)
    name = revision()["metadata"]["name"]
    assert operator.create(revision()).accepted
    assert root.create(changed(incident(), {"spec/revision": name})).accepted
    words = "is kept: open incident support-1; it can be deleted when"
    wait_until(
        lambda: words in root.delete("AgentRevision", name, dry_run=True).message, 30, "the case is known"
    )
    known = {"metadata": {"annotations": {HELD: "previous of release support"}}}
    assert operator.merge("AgentRevision", name, known).accepted
    both = "kept: previous of release support"
    assert both in root.delete("AgentRevision", name).message
    assert operator.merge("AgentRevision", name, {"metadata": {"annotations": {HELD: None}}}).accepted
    assert root.merge("AgentIncident", "support-1", {"spec": {"closed": True}}).accepted
    wait_until(lambda: root.delete("AgentRevision", name, dry_run=True).accepted, 30, "it is free again")


def test_a_revision_whose_effects_are_being_undone_stays_until_they_are(guarded, place):
    operator, root = guarded.become(OPERATOR, place, master=True), guarded.become("root", place, master=True)
    name = revision()["metadata"]["name"]
    assert operator.create(revision()).accepted
    undoing = {"status": {"compensation": {"state": "Undoing"}}}
    assert operator.merge("AgentRevision", name, undoing, "status").accepted
    assert "is kept: its effects are being undone" in root.delete("AgentRevision", name).message
    done = {"status": {"compensation": {"state": "Done"}}}
    assert operator.merge("AgentRevision", name, done, "status").accepted
    assert root.delete("AgentRevision", name).accepted


def test_an_administrator_may_let_go_what_is_being_deleted_and_change_nothing_else(guarded, place):
    operator, root = guarded.become(OPERATOR, place, master=True), guarded.become("root", place, master=True)
    held = changed(revision(), {"metadata/finalizers": ["agentrelease.dev/held"]})
    name = held["metadata"]["name"]
    assert operator.create(held).accepted
    break_glass = {"metadata": {"finalizers": None}}
    assert "written by" in root.merge("AgentRevision", name, break_glass).message
    assert operator.delete("AgentRevision", name).accepted
    other = {"metadata": {"finalizers": None, "labels": {"a": "b"}}}
    assert "written by" in root.merge("AgentRevision", name, other).message
    assert root.merge("AgentRevision", name, break_glass).accepted
    assert operator.get("AgentRevision", name).code == 404


@pytest.mark.parametrize("verb", ["update", "patch", "apply"])
def test_a_revisions_content_never_changes_not_even_by_the_operator(guarded, place, verb):
    operator = guarded.become(OPERATOR, place, master=True)
    assert operator.create(revision()).accepted
    name = revision()["metadata"]["name"]
    other = changed(operator.get("AgentRevision", name).body, {"spec/bundle/memory/version": "m6"})
    other["metadata"].pop("managedFields")
    attempts = {
        "update": lambda: operator.replace(other),
        "patch": lambda: operator.merge("AgentRevision", name, {"spec": other["spec"]}),
        "apply": lambda: operator.apply(other),
    }
    answer = attempts[verb]()
    assert ("spec", "Invalid value: a revision never changes; another bundle is another revision") in [
        (field, message.replace('"object": ', "")) for field, message in answer.causes
    ]


def test_a_namespace_goes_with_the_revisions_in_use(guarded, admin):
    place = guarded.open(f"{guarded.label}-going")
    operator = guarded.become(OPERATOR, place, master=True)
    used = changed(revision(), {AUTHOR: {HELD: "stable of release support"}})
    assert operator.create(used).accepted
    root = guarded.become("root", place, master=True)
    assert root.delete("Namespace", place).accepted
    wait_until(lambda: root.get("Namespace", place).code == 404, 60, "the namespace is gone")


def test_a_release_takes_its_revisions_along(guarded, place):
    operator, alice = guarded.become(OPERATOR, place, master=True), guarded.become("alice", place)
    made = alice.create(release()).body
    owner = {
        "apiVersion": made["apiVersion"],
        "kind": made["kind"],
        "name": made["metadata"]["name"],
        "uid": made["metadata"]["uid"],
    }
    used = changed(
        revision(),
        {AUTHOR: {HELD: "stable of release support"}, "metadata/ownerReferences": [owner]},
    )
    assert operator.create(used).accepted
    assert alice.delete("AgentRelease", "support").accepted
    name = used["metadata"]["name"]
    wait_until(lambda: operator.get("AgentRevision", name).code == 404, 60, "the revision is gone")


def test_what_was_seen_never_changes_and_findings_may_be_added(guarded, place):
    alice = guarded.become("alice", place)
    assert alice.create(incident()).accepted
    rewrite = {"spec": {"evidence": [], "digest": "sha256:" + "0" * 64}}
    answer = alice.merge("AgentIncident", "support-1", rewrite)
    assert {field for field, _ in answer.causes} == {"spec.evidence", "spec.digest"}
    assert "findings belong into label" in answer.message
    label = {"spec": {"label": {"note": "the prompt lost its refund rule"}, "closed": True}}
    assert alice.merge("AgentIncident", "support-1", label).accepted


def fenced(kind, epoch):
    annotations = {} if epoch is None else {"agentrelease.dev/epoch": epoch}
    body = {"spec": {"parentRefs": [{"name": "gateway"}]}} if kind == "HTTPRoute" else {"data": {"a": "1"}}
    version = "gateway.networking.k8s.io/v1" if kind == "HTTPRoute" else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "annotations": annotations}} | body


@pytest.mark.parametrize("verb", ["update", "patch", "apply"])
@pytest.mark.parametrize("kind", ["ConfigMap", "HTTPRoute"])
def test_the_fence_refuses_an_older_epoch_and_only_that(guarded, place, kind, verb):
    operator, root = guarded.become(OPERATOR, place, master=True), guarded.become("root", place, master=True)
    assert root.create(fenced(kind, "7")).accepted

    def write(who, epoch):
        wanted = fenced(kind, epoch)
        if verb == "update":
            stored = who.get(kind, "x").body
            return who.replace(stored | {"metadata": stored["metadata"] | wanted["metadata"]})
        if verb == "patch":
            return who.merge(kind, "x", {"metadata": {"annotations": {"agentrelease.dev/epoch": epoch}}})
        return who.apply(wanted, manager="operator")

    for epoch in ("6", "0", "-1", "garbage"):
        answer = write(operator, epoch)
        assert answer.code == 403, (epoch, answer.body)
        assert "a newer leader has written already" in answer.message
    assert write(operator, "7").accepted
    assert write(operator, "10").accepted
    assert "went from 10 to 9" in write(operator, "9").message
    if verb != "apply":
        assert "to nothing" in write(operator, None).message
    assert write(root, "1").accepted


def test_an_object_that_was_never_fenced_can_be_written(guarded, place):
    operator = guarded.become(OPERATOR, place, master=True)
    assert operator.create(fenced("ConfigMap", None)).accepted
    assert operator.merge("ConfigMap", "x", {"data": {"a": "2"}}).accepted
    assert operator.apply(fenced("ConfigMap", "3")).accepted


def test_a_strange_user_name_is_refused_before_it_becomes_an_expression():
    with pytest.raises(ValueError, match="can't be a user name"):
        policies("x' || true || '")


def test_nothing_is_left_to_fill_in():
    assert "OPERATOR_USER" in source()
    assert "GITOPS_ACCOUNTS" in source()
    text = str(bound_to({"a": "b"}, "t-", policies("operator", ["flux", "argo"])))
    assert "OPERATOR_USER" not in text
    assert "GITOPS_ACCOUNTS" not in text
    assert "['flux', 'argo']" in text.replace("\\", "")
