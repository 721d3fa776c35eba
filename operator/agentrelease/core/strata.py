"""Kinds of requests that stay lower than the rest: strata of permission.

A request belongs to a stratum unless it says otherwise: a label that it doesn't name, or names by
something else than a text, may have any value. So a request that says nothing about itself gets the lowest
level of all, and no mistake of a caller ever earns it more.

The first stratum in the list that a request may belong to decides; ours are in order of their levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import Autonomy, Effect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from agentrelease.api.bundle import Tool
    from agentrelease.api.phase import PhaseStratum

_ALONE = {
    Autonomy.OBSERVE: frozenset({Effect.READ}),
    Autonomy.SUGGESTION_ONLY: frozenset({Effect.READ}),
    Autonomy.LIMITED_ACTION: frozenset({Effect.READ, Effect.WRITE}),
    Autonomy.FULL_ACTION: frozenset(Effect),
}
_OTHER = "\0"
"""A value that no label has: API and flags allow printable text alone."""


@dataclass(frozen=True, slots=True)
class Permission:
    """How far one may go: a level, the tools usable without asking, and those after a person agreed."""

    autonomy: Autonomy = Autonomy.OBSERVE
    tools: frozenset[str] = frozenset()
    asking: frozenset[str] = frozenset()

    def within(self, bound: Permission) -> bool:
        """Whether this permits nothing that ``bound`` does not; asking a person is always allowed."""
        return self.autonomy <= bound.autonomy and self.tools <= bound.tools


@dataclass(frozen=True, slots=True)
class Stratum:
    """What requests may do that carry these labels, by name; the pairs are sorted."""

    labels: tuple[tuple[str, str], ...]
    permission: Permission

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.labels)

    def may_hold(self, request: Mapping[str, str]) -> bool:
        """Whether a request may belong here, by what it says of itself."""
        return all(request.get(name) in (None, "", value) for name, value in self.labels)


def permission(strata: Sequence[Stratum], rest: Permission, request: Mapping[str, str]) -> Permission:
    """Return what a request may do: what its stratum may, or the rest."""
    return next((one.permission for one in strata if one.may_hold(request)), rest)


def kinds(*lists: Sequence[Stratum]) -> Iterator[dict[str, str]]:
    """Return one request for each kind that any of these lists tells apart, silent ones included."""
    values: dict[str, set[str]] = {}
    for one in (stratum for strata in lists for stratum in strata):
        for name, value in one.labels:
            values.setdefault(name, {"", _OTHER}).add(value)
    for chosen in product(*(sorted(known) for known in values.values())):
        yield dict(zip(values, chosen, strict=True))


def joined(views: Sequence[tuple[Sequence[Stratum], Permission]], *, highest: bool) -> tuple[Stratum, ...]:
    """Return strata that allow at least (``highest``) or at most what each of the views does.

    Exact for views with the same strata.
    """
    named = dict.fromkeys(one.labels for strata, _ in views for one in strata)
    found = []
    for labels in named:
        request = dict.fromkeys(_names(views), _OTHER) | dict(labels)
        allowed = [permission(strata, rest, request) for strata, rest in views]
        found.append(Stratum(labels, union(allowed) if highest else common(allowed)))
    return ordered(found)


def union(all_: Sequence[Permission]) -> Permission:
    """Return the least permission that all of these are within."""
    return Permission(
        max(one.autonomy for one in all_),
        frozenset[str]().union(*(one.tools for one in all_)),
        frozenset[str]().union(*(one.asking for one in all_)),
    )


def common(all_: Sequence[Permission]) -> Permission:
    """Return what all of these permit."""
    return Permission(
        min(one.autonomy for one in all_),
        all_[0].tools.intersection(*(one.tools for one in all_)),
        all_[0].asking.intersection(*(one.asking for one in all_)),
    )


def ordered(strata: Iterable[Stratum]) -> tuple[Stratum, ...]:
    """Return strata lowest first, so that who belongs to several gets the least."""
    return tuple(sorted(strata, key=lambda one: (one.permission.autonomy.rank, one.labels)))


def of(listed: Iterable[PhaseStratum], ceiling: Autonomy, tools: Sequence[Tool]) -> tuple[Stratum, ...]:
    """Return the strata that a phase lists, none of them above ``ceiling``."""
    return ordered(
        Stratum(tuple(sorted(one.match.items())), granted(tools, min(one.autonomy, ceiling)))
        for one in listed
    )


def capped(strata: Iterable[Stratum], ceiling: Autonomy, tools: Sequence[Tool]) -> tuple[Stratum, ...]:
    """Return the strata with no level above ``ceiling``, and the tools that go with it."""
    return ordered(
        one
        if one.permission.autonomy <= ceiling
        else replace(one, permission=lowered(one.permission, granted(tools, ceiling)))
        for one in strata
    )


def lowered(one: Permission, to: Permission) -> Permission:
    """Return a permission at a lower level; tools that were cut stay cut."""
    return Permission(to.autonomy, one.tools & to.tools, to.asking & (one.asking | one.tools))


def granted(tools: Iterable[Tool], level: Autonomy) -> Permission:
    """Return what a bundle's tools and a level permit together."""
    tools = tuple(tools)
    return Permission(level, tools_alone(tools, level), tools_asking(tools, level))


def tools_alone(tools: Iterable[Tool], level: Autonomy) -> frozenset[str]:
    """Names of the tools that may be used at a level without asking anybody."""
    return frozenset(tool.name for tool in tools if tool.effect in _ALONE[level])


def tools_asking(tools: Iterable[Tool], level: Autonomy) -> frozenset[str]:
    """Names of the tools that may be used at a level only after a person agreed."""
    tools = tuple(tools)
    if level < Autonomy.LIMITED_ACTION:
        return frozenset()
    return frozenset(tool.name for tool in tools) - tools_alone(tools, level)


def _names(views: Iterable[tuple[Sequence[Stratum], Permission]]) -> set[str]:
    return {name for strata, _ in views for one in strata for name, _ in one.labels}
