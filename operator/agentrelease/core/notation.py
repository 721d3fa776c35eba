"""Values of the core as JSON and back, by their types, so that a field added later is recorded as well.

Frozen dataclasses become objects, sets become sorted lists, numbers that JSON lacks become words. What
a value was is not written beside it: reading needs the type. A field that is absent takes its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from agentrelease.api.base import Model


def written(value: Any) -> Any:
    """Return the JSON form of a value made of dataclasses, models, enums and plain containers."""
    match value:
        case None | bool() | int():
            return value
        case Enum():
            return value.value
        case str():
            return str(value)
        case float():
            return value if isfinite(value) else str(value)
        case Model():
            return value.to_object()
        case Mapping():
            return {str(name): written(one) for name, one in value.items()}
        case frozenset() | set():
            return sorted(written(one) for one in value)
        case tuple() | list():
            return [written(one) for one in value]
    if is_dataclass(value):
        return {field.name: written(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def read(kind: Any, value: Any, names: Mapping[str, Any]) -> Any:
    """Return the value of a type that ``written`` wrote; ``names`` are types that annotations refer to.

    Raises ``ValueError`` for what can't be of that type.
    """
    try:
        return _read(kind, value, names)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a {getattr(kind, '__name__', kind)}: {error}") from error


def _read(kind: Any, value: Any, names: Mapping[str, Any]) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        (only,) = (one for one in arguments if one is not NoneType)
        return _read(only, value, names)
    if origin is tuple:
        inner = arguments[:1] * len(value) if arguments[1:] == (...,) else arguments
        return tuple(_read(one, item, names) for one, item in zip(inner, value, strict=True))
    if origin is frozenset:
        return frozenset(_read(arguments[0], item, names) for item in value)
    if origin is Mapping or origin is dict:
        return {_read(arguments[0], k, names): _read(arguments[1], v, names) for k, v in value.items()}
    if is_dataclass(kind):
        return _dataclass(kind, value, names)
    if issubclass(kind, Model):
        return kind.model_validate(value)
    if kind is bool and not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return kind(value)


def _dataclass(kind: Any, value: Mapping[str, Any], names: Mapping[str, Any]) -> Any:
    hints = get_type_hints(kind, localns=dict(names))
    given = {}
    for field in fields(kind):
        if field.name in value:
            given[field.name] = _read(hints[field.name], value[field.name], names)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(field.name)
    return kind(**given)
