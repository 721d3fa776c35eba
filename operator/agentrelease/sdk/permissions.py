"""What an agent may do right now, as one value that its tool layer asks before every call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentrelease.api.vocabulary import Autonomy, Effect

Verdict = Literal["execute", "ask", "suggest", "simulate", "block"]

_WITHOUT_ACTION: dict[Autonomy, Verdict] = {
    Autonomy.OBSERVE: "simulate",
    Autonomy.SUGGESTION_ONLY: "suggest",
}


@dataclass(frozen=True, slots=True)
class Permissions:
    """A grant as the flags gave it: a level, the tools within it, and the kill switch.

    A halted grant always carries ``observe`` and no tools, so that a caller who forgets to look at
    ``halted`` still does nothing. ``model`` is the one to use in place of the bundle's own, as
    ``name@version``; empty means the bundle's own.
    """

    autonomy: Autonomy
    allow: frozenset[str]
    require_approval: frozenset[str]
    halted: bool
    model: str = ""

    def may(self, tool: str, effect: str | None) -> Verdict:
        """Say what to do with a call of ``tool``.

        ``effect`` is the one that the bundle declares; none, or one that nobody knows, counts as
        irreversible. A tool that the policy names in neither list is blocked at every level that
        acts, and one that it names in both is asked for.
        """
        if self.halted:
            return "block"
        if self.autonomy in _WITHOUT_ACTION:
            return _WITHOUT_ACTION[self.autonomy]
        if tool in self.require_approval:
            return "ask"
        if tool not in self.allow:
            return "block"
        alone = self.autonomy is Autonomy.FULL_ACTION or effect_of(effect) < Effect.IRREVERSIBLE
        return "execute" if alone else "ask"


LOWEST = Permissions(Autonomy.OBSERVE, frozenset(), frozenset(), halted=True)
"""What the code grants by itself: nothing."""


def effect_of(declared: str | None) -> Effect:
    """Return the declared effect, or ``irreversible`` where none or an unknown one is declared."""
    try:
        return Effect(declared) if declared is not None else Effect.IRREVERSIBLE
    except ValueError:
        return Effect.IRREVERSIBLE
