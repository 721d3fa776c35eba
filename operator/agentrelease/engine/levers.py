"""What a lever is: one outside thing that raises or lowers what a candidate can reach.

The contract of every lever:

- ``read`` says what the object allows right now, in the same terms as the intent, or ``None`` for
  the exposure if the object is missing (nothing there means nothing is exposed through it).
- ``lower`` needs nothing but the API server: no status, no epoch, no confirmation. It retries lost
  races itself, because somebody writing at the same time must not keep exposure up.
- ``raise_`` stamps the writer's epoch and loses every race on purpose: it writes with the
  resourceVersion it read, and a conflict means "decide again".
- ``confirm`` says why the lever is not yet in effect, or ``None`` when it is.

A lever writes the whole placement every time. It never edits what it does not own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from agentrelease.core.exposure import NOTHING, Exposure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.api.delivery import OwnedRoute
    from agentrelease.api.vocabulary import Autonomy
    from agentrelease.core.recovery import Told


@dataclass(frozen=True, slots=True)
class Arm:
    """One revision in one slot."""

    revision: str
    service: str
    exposure: Exposure
    asking: frozenset[str] = frozenset()  # tools usable only after a person agreed
    lease_until: int | None = None  # unix seconds at which the grant lapses by itself; None = never
    model: str = ""  # the model to use in place of the bundle's own, as name@version; empty for none


@dataclass(frozen=True, slots=True)
class Placement:
    """What all levers of one release shall say together.

    ``stable`` is ``None`` only while the first release of an agent has not been promoted.
    ``services`` are both slots'; routes keep the one that no arm uses at weight zero.
    """

    namespace: str
    agent: str
    route: str | None
    config_map: str
    stable: Arm | None
    candidate: Arm | None
    services: tuple[str, ...]
    halted: bool | None = False  # ``None`` leaves the kill switch as it is, whoever set it
    owner: Mapping[str, str] = field(default_factory=dict)  # ownerReference fields of the release
    note: str = ""  # why; goes to the object as an annotation when lowering
    objects: Mapping[str, str] = field(default_factory=dict)  # names for other levers, by lever name
    owned: OwnedRoute | None = None  # how ``route`` is made, if it is ours whole
    splits: bool = False  # no route splits the traffic: the flags say which revision serves a session


@dataclass(frozen=True, slots=True)
class Reading:
    """What one lever says now."""

    candidate: Exposure | None = None  # what it allows the candidate; only this lever's dimensions count
    stable_autonomy: Autonomy | None = None
    epoch: int = 0
    lease_until: int | None = None
    lowered: str = ""  # the note of the last lowering write, if the object still carries it
    in_sync: bool = False  # the object says exactly this placement, apart from lease and version
    problem: str = ""  # why the object can't be understood or used
    halted: bool = False  # the kill switch is on, whoever set it
    stopped: bool = False  # the kill switch is on in every document that there is to write
    own_halt: bool = False  # and it was the operator who set it, by an order for all agents
    broken: bool = False  # an object that is ours whole is gone, or not as we made it
    missing: bool = False  # there is no document, or none that says anything of ours: nobody's lowering
    served: frozenset[str] = frozenset()  # Services of slots that get ordinary requests; traffic only
    serving: Told | None = None  # whom the object names as stable, whatever the placement says
    claim: str = ""  # which other release the object belongs to; nothing is written there then


class Lever(Protocol):
    """One outside thing that raises or lowers exposure."""

    name: str

    async def read(self, placement: Placement) -> Reading:
        """Return what the object says about the placement's candidate."""

    async def raise_(self, placement: Placement, epoch: int) -> None:
        """Write the placement; ``Conflict`` when somebody wrote since the last ``read``."""

    async def lower(self, placement: Placement) -> None:
        """Write the placement, whatever else happens at the same time."""

    async def confirm(self, placement: Placement) -> str | None:
        """Return what is missing until the placement is in effect at this lever."""


__all__ = ["NOTHING", "Arm", "Exposure", "Lever", "Placement", "Reading"]
