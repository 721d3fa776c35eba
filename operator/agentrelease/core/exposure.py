"""How much of a candidate can be reached and how far it may go, as one ordered value.

Raising and lowering are decided here and nowhere else: ``a.within(b)`` says that ``a`` exposes
nobody and permits nothing that ``b`` does not. The order is partial: two different cohorts, or more
weight with less autonomy, cannot be compared, and what cannot be compared counts as a raise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import Autonomy, Effect
from agentrelease.core import strata as strata_
from agentrelease.core.strata import Permission, Stratum, tools_alone, tools_asking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agentrelease.api.bundle import Tool
    from agentrelease.api.phase import Phase

CLAIM_HEADER = "x-claim-"
"""A token's claim ``team_name`` reaches a route as the header ``x-claim-team-name``, set by the gateway."""

ALL = 100.0
"""All ordinary traffic, in per cent."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Requests with this header value or, by kind, with such a cookie, or such an attribute told to flags."""

    name: str
    value: str
    cookie: bool = False
    attribute: bool = False

    @classmethod
    def read(cls, text: str) -> Cohort | None:
        """Read what ``str`` wrote; ``None`` for the empty text."""
        kind, _, rest = text.rpartition(" ") if text.startswith(("cookie ", "attribute ")) else ("", "", text)
        name, found, value = rest.partition("=")
        return cls(name, value, kind == "cookie", kind == "attribute") if found else None

    def __str__(self) -> str:
        kind = "cookie " if self.cookie else "attribute " if self.attribute else ""
        return f"{kind}{self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class Exposure:
    """Mirror and weight are per cent of ordinary traffic; tools are names usable without asking.

    ``strata`` are kinds of requests with a permission of their own; all others have ``autonomy`` and
    ``tools``.
    """

    mirror: float = 0.0
    cohort: Cohort | None = None
    weight: float = 0.0
    autonomy: Autonomy = Autonomy.OBSERVE
    tools: frozenset[str] = frozenset()
    strata: tuple[Stratum, ...] = ()

    @property
    def rest(self) -> Permission:
        """What requests may do that belong to no stratum."""
        return Permission(self.autonomy, self.tools)

    def permits(self, request: Mapping[str, str]) -> Permission:
        """Return what a request may do, by the labels that it names."""
        return strata_.permission(self.strata, self.rest, request)

    @property
    def answers(self) -> bool:
        """Whether anybody at all gets an answer from the candidate."""
        return self.weight > 0 or self.cohort is not None

    @property
    def reached(self) -> bool:
        """Whether any request, mirrored or real, arrives at the candidate."""
        return self.answers or self.mirror > 0

    def within(self, bound: Exposure) -> bool:
        """Whether this is no more than ``bound`` in every dimension.

        Mirrored requests reach nobody, so any answering exposure bounds any mirror share; a cohort
        is bounded by itself and by all traffic.
        """
        return (
            (self.mirror <= bound.mirror or bound.answers)
            and (self.cohort is None or self.cohort == bound.cohort or bound.weight >= ALL)
            and self.weight <= bound.weight
            and all(
                self.permits(request).within(bound.permits(request))
                for request in strata_.kinds(self.strata, bound.strata)
            )
        )

    def meet(self, other: Exposure) -> Exposure:
        """Return what both allow."""
        return Exposure(
            mirror=min(self.mirror, other.mirror),
            cohort=self.cohort if self.cohort == other.cohort else None,
            weight=min(self.weight, other.weight),
            autonomy=min(self.autonomy, other.autonomy),
            tools=self.tools & other.tools,
            strata=strata_.joined([(self.strata, self.rest), (other.strata, other.rest)], highest=False),
        )

    def capped(self, level: Autonomy | None, tools: Sequence[Tool]) -> Exposure:
        """Return this exposure with autonomy no higher than ``level`` and the tools that go with it."""
        if level is None or level >= self.autonomy:
            return self
        return replace(
            self,
            autonomy=level,
            tools=self.tools & tools_alone(tools, level),
            strata=strata_.capped(self.strata, level, tools),
        )


NOTHING = Exposure()
"""No request, no permission."""


def kept(tools: Sequence[Tool], cut: int) -> tuple[Tool, ...]:
    """Return the tools that remain after so many cuts: one effect class less each, read tools to the last."""
    ceiling = list(Effect)[max(0, Effect.IRREVERSIBLE.rank - max(0, cut))]
    return tuple(tool for tool in tools if tool.effect <= ceiling)


def of_phase(phases: Sequence[Phase], index: int, tools: Sequence[Tool]) -> Exposure:
    """Return the exposure of a phase.

    A cohort that an earlier phase named stays with the candidate until all traffic does, so that
    the people who met it first do not fall back and forth.
    """
    phase = phases[index]
    weight = phase.weight or 0.0
    return Exposure(
        mirror=phase.mirror or 0.0,
        cohort=None if weight >= ALL else _cohort(phases[: index + 1]),
        weight=weight,
        autonomy=phase.autonomy,
        tools=tools_alone(tools, phase.autonomy),
        strata=strata_.of(phase.strata, phase.autonomy, tools),
    )


def _cohort(phases: Sequence[Phase]) -> Cohort | None:
    named = [phase.cohort for phase in phases if phase.cohort is not None]
    if not named:
        return None
    header, cookie, claim = named[-1].header, named[-1].cookie, named[-1].claim
    attribute = named[-1].attribute
    if cookie is not None:
        return Cohort(cookie.name, cookie.value, cookie=True)
    if claim is not None:
        return Cohort(CLAIM_HEADER + claim.name.lower().replace("_", "-"), claim.value)
    if attribute is not None:
        return Cohort(attribute.name, attribute.value, attribute=True)
    assert header is not None
    return Cohort(header.name, header.value)


__all__ = [
    "ALL",
    "NOTHING",
    "Cohort",
    "Exposure",
    "Permission",
    "Stratum",
    "kept",
    "of_phase",
    "tools_alone",
    "tools_asking",
]
