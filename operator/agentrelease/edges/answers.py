"""Prometheus' answers, read strictly: whatever is odd is ``Unreadable``, not a number."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from agentrelease.core.counters import Sample, united
from agentrelease.core.series import Series

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Groups = dict[tuple[str, str], tuple[Series, ...]]
"""Series by namespace and agent."""

NAME = "__name__"


class Unreadable(Exception):
    """Prometheus did not give an answer that can be relied on; the text says why."""


def data_of(text: bytes) -> dict[str, Any]:
    """Return the data of a successful, complete answer."""
    try:
        answer = json.loads(text, parse_constant=_no_constant)
        data = answer["data"]
    except (ValueError, KeyError, TypeError):
        raise Unreadable("the answer is not the JSON of a query") from None
    if answer.get("status") != "success":
        raise Unreadable("the query failed")
    if answer.get("warnings"):
        raise Unreadable("the answer carries warnings, it may be partial")
    if not isinstance(data, dict):
        raise Unreadable("the answer has no data")
    return data


def series_of(data: Mapping[str, Any], replicas: Collection[str]) -> Groups:
    """Return the series of a range, each once: those that differ by a replica's label only are one."""
    if data.get("resultType") != "matrix":
        raise Unreadable("the answer is not a range of samples")
    found: dict[frozenset[tuple[str, str]], list[tuple[Sample, ...]]] = {}
    for entry in data["result"]:
        samples = tuple(Sample(float(at), float(value)) for at, value in entry.get("values", ()))
        if not samples or any(not math.isfinite(s.value) or s.value < 0 for s in samples):
            continue  # a counter that is no number is no evidence: its stratum stays unknown
        found.setdefault(labels_of(entry, replicas), []).append(samples)
    groups: dict[tuple[str, str], list[Series]] = {}
    for labels, copies in found.items():
        named = dict(labels)
        samples = copies[0] if len(copies) == 1 else united(copies)
        key = named.get("namespace", ""), named.get("agent", "")
        groups.setdefault(key, []).append(Series(named, samples))
    return {key: tuple(series) for key, series in groups.items()}


def values_of(data: Mapping[str, Any], replicas: Collection[str]) -> dict[frozenset[tuple[str, str]], float]:
    """Return an instant's values by labels; of several replicas' the largest."""
    if data.get("resultType") != "vector":
        raise Unreadable("the answer is not a vector")
    found: dict[frozenset[tuple[str, str]], float] = {}
    for entry in data["result"]:
        labels, value = labels_of(entry, replicas), float(entry["value"][1])
        if math.isfinite(value):
            found[labels] = max(value, found.get(labels, value))
    return found


def labels_of(entry: Mapping[str, Any], replicas: Collection[str]) -> frozenset[tuple[str, str]]:
    """Return a series' labels, without its name and without which replica scraped it."""
    dropped = {NAME, *replicas}
    return frozenset((name, value) for name, value in entry["metric"].items() if name not in dropped)


def _no_constant(name: str) -> float:
    raise ValueError(name)
