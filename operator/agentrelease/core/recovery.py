"""A status that was lost: what served before, told by what is kept elsewhere.

Without its status a release looks like an agent's very first one, and a first release may overwrite a slot
and be promoted at once. So before anything begins, three things are asked: which revisions the slots
carry, whom the flags name as stable, and how the kept revisions ended. From them:

* Stable is the revision that the flags name, unless it was rolled back; else the one promoted last. A slot
  must carry it. It keeps the level that the flags give it, and ``observe`` where they give none.
* Who gets the most traffic is not asked: at 100 % that is a candidate, and no loss promotes anybody.
* All else goes to zero, bundles that were rolled back stay refused, and the rollout begins anew.
* Where the slots carry revisions and nothing says which of them served, nobody may do anything until a
  person names it with ``spec.rollback.to``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.api.phase import PhaseStratum
from agentrelease.api.status import MAX_MESSAGE, MAX_REFUSED, LogHead, Outcome, Refused, Serving
from agentrelease.api.vocabulary import REVISION_ANNOTATION, Autonomy
from agentrelease.core.steps import STABLE_UNKNOWN, STATUS_LOST, Move, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agentrelease.api.status import ReleaseStatus
    from agentrelease.core.situation import Desired, Situation

_ENDED = (Outcome.ROLLED_BACK, Outcome.SUPERSEDED)


@dataclass(frozen=True, slots=True)
class Kept:
    """One kept revision: who it is, how it ended and when, and the newest decision that it has a copy of."""

    revision: str
    digest: str
    outcome: str = ""
    reason: str = ""
    ended_at: str = ""
    head: LogHead | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Whom the flags name as stable, and what they allow it."""

    revision: str
    autonomy: Autonomy = Autonomy.OBSERVE
    strata: tuple[tuple[tuple[tuple[str, str], ...], Autonomy], ...] = ()


@dataclass(frozen=True, slots=True)
class Former:
    """What a release was before its status was lost.

    ``stable`` is ``None`` where nothing says who served; ``said`` says by what it is known, or why it is not.
    """

    stable: Serving | None
    said: str
    refused: tuple[Refused, ...] = ()
    head: LogHead | None = None


def is_lost(status: ReleaseStatus) -> bool:
    """Whether a status says nothing at all, or has forgotten the stable revision that its history knows."""
    if status.stable is not None:
        return False
    served = any(one.to.startswith((Move.PROMOTE, Move.RETURN, Move.RECOVER)) for one in status.history)
    return served or (status.candidate is None and not status.history)


def former(
    kept: Iterable[Kept], slots: Mapping[str, str], told: Told | None, desired: Desired, ordered: str = ""
) -> Former | None:
    """Return what a release without any status was; ``None`` for one that nothing of ours ever served.

    ``slots`` has the revision that each slot carries, ``desired`` is the bundle in the spec and ``ordered``
    the revision that a person's order names.
    """
    known = {desired.revision: Kept(desired.revision, desired.digest)} | {one.revision: one for one in kept}
    loaded = {revision: slot for slot, revision in slots.items()}
    if not loaded:
        return None
    promoted = [one for one in known.values() if one.outcome == Outcome.PROMOTED]
    last = max(promoted, key=lambda one: one.ended_at, default=None)
    choices = (
        (told.revision if told and _served(known.get(told.revision)) else "", "the flags name it as stable"),
        (last.revision if last else "", "it was promoted last"),
        (ordered, "spec.rollback.to names it"),
    )
    rest = (_refused(known.values()), _head(known.values()))
    for revision, why in choices:
        if revision in loaded and revision in known:
            level = told if told and told.revision == revision else None
            serving = _serving(known[revision], loaded[revision], level)
            return Former(serving, f"{revision} served, because {why}", *rest)
    unclear = {one for one in loaded if one not in known or _served(known[one])} - {desired.revision}
    if told is None and last is None and not unclear:
        return None
    return Former(None, _unknown(loaded, known), *rest)


def lost(s: Situation, _now: float) -> Step | None:
    """Take back what the lost status had exposed, and go on from what served."""
    if s.release.status.stable is not None:
        return None
    if s.former is not None and s.former.stable is None and s.release.status.candidate is None:
        return Step(Move.KEEP, STABLE_UNKNOWN, s.former.said)
    if s.former is not None and s.former.stable is not None:
        return Step(Move.RECOVER, STATUS_LOST, f"the status was lost: {s.former.said}; all else goes to zero")
    if s.release.status.candidate is not None:
        return None
    if s.live.exposure is not None and s.live.exposure.autonomy > Autonomy.OBSERVE:
        why = "the flags still allow something to a revision that no status knows: it is taken back"
        return Step(Move.RECOVER, STATUS_LOST, why)
    return None


def _unknown(loaded: Mapping[str, str], known: Mapping[str, Kept]) -> str:
    named = " and ".join(sorted(loaded))
    if loaded.keys() & known.keys():
        return f"the status was lost, and nothing says which of {named} served: name it with spec.rollback.to"
    gone = f"the status was lost, and no revision is kept of {named}: apply the bundle that served"
    return f"{gone}, or take the annotation {REVISION_ANNOTATION} off the slots"


def _served(one: Kept | None) -> bool:
    return one is not None and one.outcome not in _ENDED


def _serving(one: Kept, slot: str, told: Told | None) -> Serving:
    strata = told.strata if told else ()
    return Serving(
        revision=one.revision,
        digest=one.digest,
        slot=slot,
        autonomy=told.autonomy if told else Autonomy.OBSERVE,
        strata=[PhaseStratum(match=dict(labels), autonomy=level) for labels, level in strata],
        since=one.ended_at,
    )


def _refused(kept: Iterable[Kept]) -> tuple[Refused, ...]:
    gone = sorted((one for one in kept if one.outcome == Outcome.ROLLED_BACK), key=lambda one: one.ended_at)
    return tuple(
        Refused(digest=one.digest, revision=one.revision, reason=one.reason[:MAX_MESSAGE], at=one.ended_at)
        for one in gone[-MAX_REFUSED:]
    )


def _head(kept: Iterable[Kept]) -> LogHead | None:
    return max((one.head for one in kept if one.head), key=lambda head: head.sequence, default=None)
