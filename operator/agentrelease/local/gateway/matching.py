"""HTTPRoute matches as Envoy route matches, and Gateway API's order among them.

Regular expressions are RE2's and must match the whole value, as with the other Envoy-based gateways. Only
Envoy can tell whether one is valid; a route that Envoy refuses is set aside (`isolation.py`).
"""

from __future__ import annotations

from typing import Any

__all__ = ["Unsupported", "match", "precedence"]

Json = dict[str, Any]


class Unsupported(ValueError):
    """A value that this gateway doesn't implement; its rule is left out and the route's status says so."""


def match(declared: Json) -> Json:
    """Translate one HTTPRouteMatch (all of its conditions must hold)."""
    headers = [
        _named(header, "string_match") for header in _first_of_each(declared.get("headers", []), fold=True)
    ]
    if method := declared.get("method"):
        headers.append({"name": ":method", "string_match": {"exact": method}})
    query = [
        _named(param, "string_match") for param in _first_of_each(declared.get("queryParams", []), fold=False)
    ]
    return _path(declared) | _present({"headers": headers, "query_parameters": query})


def precedence(declared: Json) -> tuple[int, ...]:
    """Sort key of an HTTPRouteMatch: smaller wins.

    Ties go to the older route, its name, then the earlier rule.
    """
    path = declared.get("path") or {}
    kind = path.get("type", "PathPrefix")
    rank = {"Exact": 0, "RegularExpression": 1}.get(kind, 2)
    return (
        rank,
        -len(path.get("value", "/")),
        0 if declared.get("method") else 1,
        -len(declared.get("headers", [])),
        -len(declared.get("queryParams", [])),
    )


def _path(declared: Json) -> Json:
    path = declared.get("path") or {}
    kind, value = path.get("type", "PathPrefix"), path.get("value", "/")
    if kind == "Exact":
        return {"path": value}
    if kind == "RegularExpression":
        return {"safe_regex": {"regex": value}}
    if kind != "PathPrefix":
        raise Unsupported(f"path match type {kind} is not supported")
    trimmed = value.rstrip("/")
    return {"path_separated_prefix": trimmed} if trimmed else {"prefix": "/"}


def _named(declared: Json, matcher: str) -> Json:
    kind, name, value = declared.get("type", "Exact"), declared["name"], declared["value"]
    if kind == "Exact":
        return {"name": name, matcher: {"exact": value}}
    if kind == "RegularExpression":
        return {"name": name, matcher: {"safe_regex": {"regex": value}}}
    raise Unsupported(f"match type {kind} of {name} is not supported")


def _first_of_each(conditions: list[Json], *, fold: bool) -> list[Json]:
    """Keep the first condition of each name, as Gateway API asks; header names are compared without case."""
    kept: dict[str, Json] = {}
    for condition in conditions:
        kept.setdefault(condition["name"].lower() if fold else condition["name"], condition)
    return list(kept.values())


def _present(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value}
