"""A bundle's digest is its identity: same content, same digest; any other content, another one."""

import json
import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrelease.api.bundle import LAYERS, Bundle
from agentrelease.api.revision import ChangeKind
from agentrelease.core.bundle import (
    MAX_CHANGES_PER_LAYER,
    canonical,
    changes,
    digest_of,
    layer_digests,
    revision_name,
)

SHA = "sha256:" + "ab" * 32


def content() -> dict:
    return {
        "model": {
            "name": "provider/model-x",
            "version": "2026-10-14",
            "parameters": {"temperature": 0.2, "top_k": 40, "seed": "7", "stream": True},
            "fallback": {"name": "provider/model-w", "version": "2026-07-02"},
        },
        "prompts": [
            {"name": "system", "version": "v14", "digest": SHA},
            {"name": "tone", "version": "v2", "digest": SHA},
        ],
        "retrieval": [{"name": "handbook", "snapshot": "2026-11-01", "digest": SHA}],
        "tools": [
            {"name": "kb.search", "schema": SHA, "effect": "read"},
            {"name": "payments.refund", "schema": SHA, "connector": "billing", "effect": "irreversible"},
        ],
        "connectors": [{"name": "billing", "version": "3.2.1"}],
        "policies": [{"name": "refunds", "version": "v7", "digest": SHA}],
        "routing": {"version": "r3"},
        "postProcessing": {"version": "p2"},
        "memory": {"version": "m5"},
        "workflow": {"version": "w9"},
    }


def bundle(**layers) -> Bundle:
    return Bundle.model_validate({**content(), **layers})


def shuffled(value, random):
    if isinstance(value, dict):
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key], random) for key in keys}
    if isinstance(value, list):
        return [shuffled(item, random) for item in value]
    return value


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from leaves(below, (*path, index))
    else:
        yield path, value


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@given(st.randoms(use_true_random=False), st.sampled_from([None, 1, 4]), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_key_order_whitespace_and_yaml_style_do_not_matter(random, indent, flow, quoted):
    same = shuffled(content(), random)
    as_json = json.loads(json.dumps(same, indent=indent))
    as_yaml = yaml.safe_load(
        yaml.safe_dump(same, default_flow_style=flow, sort_keys=False, default_style='"' if quoted else None)
    )
    expected = digest_of(bundle())
    assert digest_of(Bundle.model_validate(as_json)) == expected
    assert digest_of(Bundle.model_validate(as_yaml)) == expected


OTHER_DIGIT = {digit: "0123456789abcdef"[(i + 1) % 16] for i, digit in enumerate("0123456789abcdef")}


@given(st.sampled_from(list(leaves(content()))), st.data())
@settings(max_examples=400, deadline=None)
def test_any_byte_of_content_matters_and_shows_in_the_diff(leaf, data):
    path, value = leaf
    if isinstance(value, bool):
        other = not value
    elif isinstance(value, int | float):
        other = value + 1
    elif path[-1] == "effect":
        other = "write"
    else:
        at = data.draw(st.integers(0 if not value.startswith("sha256:") else 7, len(value) - 1))
        flipped = OTHER_DIGIT.get(value[at], "x" if value[at] != "x" else "y")
        other = value[:at] + flipped + value[at + 1 :]
    changed = Bundle.model_validate(replaced(content(), path, other))
    assert digest_of(changed) != digest_of(bundle())
    before, after = layer_digests(bundle()), layer_digests(changed)
    assert [layer for layer in LAYERS if before[layer] != after[layer]] == [path[0]]
    assert {change.layer for change in changes(bundle(), changed)} == {path[0]}


def test_a_default_written_out_is_the_same_content():
    explicit, implicit = content(), content()
    del implicit["tools"][1]["effect"]
    assert digest_of(Bundle.model_validate(explicit)) == digest_of(Bundle.model_validate(implicit))


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (100, 1e2), (0.2, 0.20), (0, -0.0)])
def test_spelling_of_a_number_does_not_matter(one, other):
    def with_temperature(value):
        return digest_of(bundle(model={"name": "m", "version": "1", "parameters": {"temperature": value}}))

    assert with_temperature(one) == with_temperature(other)


@pytest.mark.parametrize(("one", "other"), [(1, "1"), (1, True), ("true", True), ("0.2", 0.2), ("", "0")])
def test_a_value_of_another_type_is_other_content(one, other):
    def with_flag(value):
        return bundle(model={"name": "m", "version": "1", "parameters": {"flag": value}})

    assert digest_of(with_flag(one)) != digest_of(with_flag(other))
    (change,) = changes(with_flag(one), with_flag(other))
    assert change.field == "parameters.flag"
    assert change.from_ != change.to


def test_the_digest_is_a_known_value_on_every_machine_and_python():
    assert digest_of(bundle()) == "sha256:dbe5e4c7e2b5db390de87f2793bfb1308b8ee104af75305874cd29b10cbd8f03"
    code = (
        "import json,sys; from agentrelease.api.bundle import Bundle; from agentrelease.core.bundle import "
        "digest_of; print(digest_of(Bundle.model_validate(json.load(sys.stdin))))"
    )
    other_process = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(content()),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "1234", "LC_ALL": "C", "TZ": "Asia/Kathmandu"},
    )
    assert other_process.stdout.strip() == digest_of(bundle())


def test_canonical_form_is_compact_sorted_utf8_json():
    raw = canonical(bundle())
    assert json.loads(raw) == bundle().to_object()
    assert raw == json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":")).encode()


def test_a_revision_is_named_by_release_and_digest():
    assert revision_name("support", "sha256:3f9a0c11de" + "0" * 54) == "support-3f9a0c11de"


def test_the_diff_names_layer_item_field_and_both_values():
    new = content()
    new["model"]["parameters"]["temperature"] = 0.4
    del new["model"]["fallback"]
    new["prompts"][0]["version"] = "v15"
    new["tools"] = [{"name": "crm.read", "schema": SHA, "effect": "read"}, new["tools"][0]]
    new["connectors"] = []
    found = [
        (c.layer, c.name, c.field, c.change.value, c.from_, c.to)
        for c in changes(bundle(), Bundle.model_validate(new))
    ]
    assert found == [
        ("model", "", "fallback.name", "removed", "provider/model-w", ""),
        ("model", "", "fallback.version", "removed", "2026-07-02", ""),
        ("model", "", "parameters.temperature", "changed", "0.2", "0.4"),
        ("prompts", "system", "version", "changed", "v14", "v15"),
        ("tools", "crm.read", "", "added", "", SHA),
        ("tools", "payments.refund", "", "removed", SHA, ""),
        ("connectors", "billing", "", "removed", "3.2.1", ""),
    ]


def test_order_of_a_list_is_content_and_its_change_is_told():
    turned = content()
    turned["tools"].reverse()
    new = Bundle.model_validate(turned)
    assert digest_of(new) != digest_of(bundle())
    (change,) = changes(bundle(), new)
    assert (change.layer, change.change) == ("tools", ChangeKind.REORDERED)


def test_equal_bundles_have_no_changes():
    assert changes(bundle(), bundle()) == ()


def test_a_diff_of_everything_stays_bounded():
    def many(prefix):
        return bundle(
            tools=[{"name": f"{prefix}.{i}", "schema": SHA} for i in range(128)],
            prompts=[{"name": f"{prefix}.{i}", "version": "v1", "digest": SHA} for i in range(32)],
        )

    found = changes(many("old"), many("new"))
    rest = [c for c in found if c.change is ChangeKind.MORE]
    assert [(c.layer, c.to) for c in rest] == [("prompts", "40"), ("tools", "232")]
    assert len(found) == 2 * 25


def test_as_many_changes_as_are_told_leave_nothing_to_count():
    def prompts(number, version):
        listed = [{"name": f"p.{i:02d}", "version": version, "digest": SHA} for i in range(number)]
        return bundle(prompts=listed)

    told = MAX_CHANGES_PER_LAYER
    found = changes(prompts(told, "v1"), prompts(told, "v2"))
    assert (len(found), {one.change for one in found}) == (told, {ChangeKind.CHANGED})
    last = changes(prompts(told + 1, "v1"), prompts(told + 1, "v2"))[-1]
    assert (last.change, last.to) == (ChangeKind.MORE, "1")


def test_a_long_value_is_cut_to_its_bound_and_says_that_it_was():
    fits, long = (bundle(model=content()["model"] | {"parameters": {"stop": "r" * n}}) for n in (126, 127))
    (change,) = changes(fits, long)
    assert change.from_ == f'"{"r" * 126}"'
    assert (change.to, len(change.to)) == (f'"{"r" * 126}…', 128)
