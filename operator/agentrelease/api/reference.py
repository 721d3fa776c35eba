"""The field reference for people, ``docs/api.md``, from the same schemas that the API server gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentrelease.api.crd import RESOURCES, definition
from agentrelease.api.schema import VALIDATIONS
from agentrelease.api.vocabulary import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentrelease.api.crd import Resource

_INTRO = f"""# API reference

Made from the models by `make crds`; `kubectl explain agentrelease.spec --recursive` prints the same.
Group and version are `{API_VERSION}`. No reference can name another namespace.
Fields with a * are required.
"""


def reference() -> str:
    """Return the Markdown text of all kinds."""
    return "\n".join([_INTRO, *(line for resource in RESOURCES for line in _kind(resource))])


def _kind(resource: Resource) -> Iterator[str]:
    schema = definition(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    scope = "in a namespace" if resource.namespaced else "for the whole cluster"
    yield f"## {resource.kind}\n"
    yield f"{resource.about} Short name `{resource.short}`, {scope}.\n"
    if resource.kind == "ClusterGuardrailPolicy":
        yield "Its `spec` is the one of GuardrailPolicy.\n"
        return
    if resource.kind == "AgentRevision":
        yield "Its `spec.bundle` is the one of AgentRelease.\n"
    for half in ("spec", "status"):
        if half in schema["properties"]:
            yield "| Field | Type | |"
            yield "|---|---|---|"
            for path, node, required in _fields(schema["properties"][half], half):
                if resource.kind != "AgentRevision" or not path.startswith("spec.bundle."):
                    yield f"| `{path}`{'*' if required else ''} | {_type(node)} | {_said(node)} |"
            yield ""
    yield from _rules(schema)


def _rules(schema: dict[str, Any]) -> Iterator[str]:
    told = [(path, rule["message"]) for path, node in _nodes(schema) for rule in node.get(VALIDATIONS, [])]
    if told:
        yield "Refused, besides wrong types and sizes:\n"
        yield from (f"- `{path or 'metadata.name'}`: {message}" for path, message in dict.fromkeys(told))
        yield ""


def _nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, below in node.get("properties", {}).items():
        if name != "status":
            yield from _nodes(below, f"{path}.{name}".lstrip("."))
    for inner in ("items", "additionalProperties"):
        if inner in node:
            yield from _nodes(node[inner], f"{path}[]")


def _fields(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    inner = node.get("items") or node.get("additionalProperties") or node
    deeper = f"{path}[]" if inner is not node else path
    for name, below in inner.get("properties", {}).items():
        yield f"{deeper}.{name}", below, name in inner.get("required", [])
        yield from _fields(below, f"{deeper}.{name}")


def _type(node: dict[str, Any]) -> str:
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if "items" in node:
        return f"list of {_type(node['items'])}, at most {node['maxItems']}"
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}, at most {node['maxProperties']}"
    return str(node.get("type", "number, boolean or string"))


def _said(node: dict[str, Any]) -> str:
    return str(node.get("description", "")).replace("\n", " ").replace("|", "\\|")
