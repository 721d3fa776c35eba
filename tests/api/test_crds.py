"""`crds/` is what the models say, and every node of it is bounded."""

from pathlib import Path

import pytest
import yaml

from agentrelease.api.__main__ import made
from agentrelease.api.crd import RESOURCES, definition, definitions

ROOT = Path(__file__).parents[2]


def nodes(schema, path=""):
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            yield from nodes(schema[inner], f"{path}[]")


each_kind = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)


def schema_of(resource):
    return definition(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_the_files_are_what_the_models_say():
    chart = (ROOT / "charts/agentrelease/files").rglob("*.yaml")
    written = [*(ROOT / "crds").iterdir(), *chart, ROOT / "docs/api.md"]
    found = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in written}
    assert found == made(), "run `make crds` and commit the result"


def test_the_files_read_back_as_the_definitions():
    for resource in RESOURCES:
        assert yaml.safe_load(definitions()[resource.file_name]) == definition(resource)


@each_kind
def test_every_string_list_and_map_is_bounded(resource):
    spec_and_status = {**schema_of(resource), "properties": below_the_header(resource)}
    assert [path for path, node in nodes(spec_and_status) if not bounded(node)] == []


def bounded(node):
    match node.get("type"):
        case "string":
            return "maxLength" in node or "enum" in node or node.get("format") == "date-time"
        case "array":
            return "maxItems" in node and "x-kubernetes-list-type" in node
        case "object":
            is_map = isinstance(node.get("additionalProperties"), dict)
            return "maxProperties" in node if is_map else "properties" in node
        case _:
            return True


@each_kind
def test_every_field_explains_itself(resource):
    fields = nodes({"properties": below_the_header(resource)})
    silent = [path for path, node in fields if not path.endswith("[]") and not node.get("description")]
    assert silent == [""]


@each_kind
def test_every_rule_has_a_message_and_no_node_has_what_the_server_refuses(resource):
    refused = {"$ref", "$defs", "title", "default", "anyOf", "const", "nullable"}
    for path, node in nodes(schema_of(resource)):
        assert all(rule["message"] for rule in node.get("x-kubernetes-validations", [])), path
        assert not refused & set(node), path


def below_the_header(resource):
    properties = schema_of(resource)["properties"]
    return {half: properties[half] for half in ("spec", "status") if half in properties}


def test_no_reference_can_name_a_namespace():
    """But for the Gateway of an owned route, which itself says in ``allowedRoutes`` whom it serves."""
    named = {
        path
        for resource in RESOURCES
        for path, _ in nodes(schema_of(resource))
        if "namespace" in path.lower()
    }
    assert named == {".spec.delivery.route.owned.parentRefs[].namespace"}


def test_short_names_category_and_columns_are_as_promised():
    assert {r.kind: r.short for r in RESOURCES} == {
        "AgentRelease": "arel",
        "AgentRevision": "arev",
        "GuardrailPolicy": "guard",
        "ClusterGuardrailPolicy": "cguard",
        "AgentApproval": "aappr",
        "AgentIncident": "ainc",
    }
    assert all(definition(r)["spec"]["names"]["categories"] == ["agents"] for r in RESOURCES)
    release = RESOURCES[0]
    assert [c.name for c in release.columns if not c.wide] == [
        "Agent",
        "Phase",
        "Weight",
        "Autonomy",
        "Verdict",
        "Ready",
        "Age",
    ]
    assert [c.name for c in release.columns if c.wide] == ["Stable", "Candidate", "Digest", "Reason"]
