"""What a model says to the API server beyond types: CEL rules and list semantics.

The fragments go into pydantic's ``json_schema_extra`` and come out in the CRD unchanged. Every rule
carries a message that a person understands and, where one field is to blame, that field's path.
"""

from __future__ import annotations

from typing import Any

VALIDATIONS = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
PRESERVE = "x-kubernetes-preserve-unknown-fields"


def rule(expression: str, message: str, *, field: str = "", optional_old: bool = False) -> dict[str, Any]:
    """One CEL rule; ``field`` is the path, below the place it stands at, that the refusal names."""
    made: dict[str, Any] = {"rule": expression, "message": message}
    if field:
        made["fieldPath"] = field
    if optional_old:
        made["optionalOldSelf"] = True
    return made


def rules(*made: dict[str, Any]) -> dict[str, Any]:
    """Attach rules to a model or a field."""
    return {VALIDATIONS: list(made)}


def keyed_by(*keys: str) -> dict[str, Any]:
    """A list whose items are told apart by these fields: no duplicates, and sane server-side apply."""
    return {LIST_TYPE: "map", LIST_KEYS: list(keys)}


def unique() -> dict[str, Any]:
    """A list of scalars without duplicates."""
    return {LIST_TYPE: "set"}


def whole() -> dict[str, Any]:
    """A list that is replaced as a whole; its order is content."""
    return {LIST_TYPE: "atomic"}
