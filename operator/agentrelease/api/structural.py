"""From a pydantic model to the structural OpenAPI schema that the API server accepts.

Pydantic writes JSON Schema 2020: references, titles, nulls, numeric exclusive bounds. A structural
schema has none of these, every node has one type, and nothing recurses. Only a short list of keywords
passes; whatever isn't on it is dropped, so that a new pydantic can't smuggle in what the server
refuses. Defaults are told in the description and never set by the server: a default that is written
into stored objects could not be changed any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentrelease.api.schema import LIST_TYPE, PRESERVE, VALIDATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

Schema = dict[str, Any]

_KEPT = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
)


def structural(model: type[BaseModel], *, tell_defaults: bool = True) -> Schema:
    """Return the model's structural schema; raise ``ValueError`` where it can't be expressed."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _node(schema, schema.get("$defs", {}), tell_defaults=tell_defaults)


def _node(node: Schema, defs: Mapping[str, Schema], *, tell_defaults: bool) -> Schema:
    node = _resolved(node, defs)
    made: Schema = {key: node[key] for key in _KEPT if key in node}
    made |= {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    if "const" in node:
        made["enum"] = [node["const"]]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node:
            made |= {bound: node[exclusive], exclusive: True}
    if made.get("type") == "integer":
        made["format"] = "int64"
    if "items" in node:
        made["items"] = _node(node["items"], defs, tell_defaults=tell_defaults)
        made.setdefault(LIST_TYPE, "atomic")
    if isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = _node(node["additionalProperties"], defs, tell_defaults=tell_defaults)
    if "properties" in node:
        made["properties"] = {
            name: _node(below, defs, tell_defaults=tell_defaults)
            for name, below in node["properties"].items()
        }
    if "type" not in made and not made.get(PRESERVE):
        raise ValueError(f"not structural, has no type: {node}")
    if tell_defaults:
        _tell_default(made, node.get("default"))
    return made


def _resolved(node: Schema, defs: Mapping[str, Schema]) -> Schema:
    """Inline a reference and undo ``X | None``; what stands beside a reference wins over its target."""
    if alternatives := node.get("anyOf"):
        real = [option for option in alternatives if option.get("type") != "null"]
        if len(real) == 1:
            node = _over(real[0], {key: value for key, value in node.items() if key != "anyOf"})
    if "$ref" in node:
        target = defs[node["$ref"].rsplit("/", 1)[-1]]
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _resolved(_over(target, beside), defs)
    return node


def _over(target: Schema, beside: Schema) -> Schema:
    rules = target.get(VALIDATIONS, []) + beside.get(VALIDATIONS, [])
    return {**target, **beside, **({VALIDATIONS: rules} if rules else {})}


def _tell_default(made: Schema, default: Any) -> None:
    if default in (None, "", [], {}):
        return
    shown = str(default).lower() if isinstance(default, bool) else default
    made["description"] = f"{made.get('description', '').rstrip()} Default: {shown}.".strip()
