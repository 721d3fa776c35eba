"""Everything a reconciler talks to, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.engine.halting import nothing_ordered

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.engine.guarding import Guardian
    from agentrelease.engine.halting import Order
    from agentrelease.engine.holding import Keeper
    from agentrelease.engine.journal import Journal
    from agentrelease.engine.levers import Lever
    from agentrelease.engine.lookout import Lookout
    from agentrelease.engine.ports import Recorder, Releases, SlotLoader
    from agentrelease.engine.rebuilding import Rebuilder


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything a reconciler talks to. ``levers`` are in the order of going down: flags, then traffic."""

    releases: Releases
    levers: tuple[Lever, Lever]
    slots: SlotLoader
    guardian: Guardian
    recorder: Recorder
    lookout: Lookout
    rebuilder: Rebuilder
    journal: Journal
    keeper: Keeper
    epoch: Callable[[], int | None]
    clock: Callable[[], float]
    ordered: Callable[[], Order] = nothing_ordered  # for all agents at once


__all__ = ["Outside"]
