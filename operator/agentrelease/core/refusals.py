"""Bundles that were rolled back: refused until a person lets them in again, by name, once for each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.api.status import MAX_MESSAGE, MAX_REFUSED, Candidate, Refused, Serving
from agentrelease.api.vocabulary import OVERRIDE_ANNOTATION
from agentrelease.core.instants import exact_stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.release import AgentRelease


def override_of(refused: Refused) -> str:
    """Return the annotation's value that allows a refused bundle again.

    It names the full digest and, from the second time on, how often the bundle was rolled back. So an
    override counts once: one that is left standing lets nothing in that failed again.
    """
    return refused.digest if refused.times == 1 else f"{refused.digest}/{refused.times}"


def overridden(release: AgentRelease, refused: Refused) -> bool:
    """Whether a person allowed this refused bundle again."""
    return release.annotations.get(OVERRIDE_ANNOTATION) == override_of(refused)


def refusal_of(refused: Sequence[Refused], digest: str) -> Refused | None:
    """Return the refusal of a bundle, if it is refused."""
    return next((one for one in refused if one.digest == digest), None)


def refusing(
    refused: Sequence[Refused], out: Candidate | Serving, reason: str, now: float
) -> tuple[Refused, ...]:
    """Return the refusals with one more, of what was taken back at ``now`` (unix seconds)."""
    known = refusal_of(refused, out.digest)
    before = out.refusals if isinstance(out, Serving) else 0
    fresh = Refused(
        digest=out.digest,
        revision=out.revision,
        reason=reason[:MAX_MESSAGE],
        at=exact_stamp(now),
        served_from=out.since if isinstance(out, Serving) else "",
        times=max(before, known.times if known else 0) + 1,
    )
    others = [one for one in refused if one.digest != out.digest]
    return (*others[-(MAX_REFUSED - 1) :], fresh)


__all__ = ["overridden", "override_of", "refusal_of", "refusing"]
