"""Whatever people get wrong, the real API server names the field and says what to do."""

import pytest
from tests.api.bad_manifests import BAD
from tests.api.manifests import approval, incident, policy, release, revision, split_by_flags
from tests.api.server import Server


@pytest.fixture(scope="module")
def anywhere(admin) -> Server:
    """Dry runs leave nothing behind, so they need no namespace of their own."""
    return Server(admin, "default")


@pytest.mark.parametrize(("wrong", "manifest", "field", "words"), BAD, ids=[entry[0] for entry in BAD])
def test_a_bad_manifest_is_refused_by_field_and_with_words(anywhere, wrong, manifest, field, words):
    answer = anywhere.create(manifest, dry_run=True)
    assert answer.code == 422, answer.body
    assert words in answer.message
    named = [cause for cause in answer.causes if words in cause[1] or words in f"{cause[0]}: {cause[1]}"]
    assert [at for at, _ in named if at.startswith(field)], answer.causes


def test_the_table_is_long_and_each_entry_is_another_mistake():
    assert len(BAD) >= 80
    assert len({entry[0] for entry in BAD}) == len(BAD)


@pytest.mark.parametrize(
    "manifest",
    [
        release(),
        split_by_flags(),
        split_by_flags(slots=False),
        policy(),
        policy("ClusterGuardrailPolicy"),
        approval(),
        revision(),
        incident(),
    ],
)
def test_what_the_table_starts_from_is_accepted_without_a_warning(anywhere, manifest):
    answer = anywhere.create(manifest, dry_run=True, strict=True)
    assert answer.accepted, answer.body


def test_an_unknown_field_is_refused_by_a_strict_client_and_named(anywhere):
    manifest = release()
    manifest["spec"]["phases"][0]["wieght"] = 5
    answer = anywhere.create(manifest, dry_run=True, strict=True)
    assert answer.code == 400
    assert 'unknown field "spec.phases[0].wieght"' in answer.message


def test_a_namespace_in_a_reference_is_an_unknown_field(anywhere):
    manifest = release()
    manifest["spec"]["guardrails"][0]["namespace"] = "other"
    answer = anywhere.create(manifest, dry_run=True, strict=True)
    assert 'unknown field "spec.guardrails[0].namespace"' in answer.message


def test_what_splits_stays_what_splits(admin, namespace):
    """A route that is no longer named would go on at its shares, and nobody would take them back."""
    server = Server(admin, namespace())
    assert server.create(release()).accepted
    answer = server.merge("AgentRelease", "support", {"spec": {"delivery": {"route": None}}})
    assert answer.code == 422
    assert "who splits can't change later" in answer.message
    assert server.create(split_by_flags("billing")).accepted
    answer = server.merge("AgentRelease", "billing", {"spec": {"delivery": {"slots": None}}})
    assert "who splits can't change later" in answer.message
    renamed = {"spec": {"delivery": {"flags": {"leaseSeconds": 30}}}}
    assert server.merge("AgentRelease", "billing", renamed).accepted
