"""Whether evidence may be relied on: who is silent, and whose samples are too old."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentrelease.core import blocks, lacking, routing, scrapes
from agentrelease.core.overdue import STARTED
from agentrelease.engine.arms import arms_of, judged_arms, of_revision, services_of

if TYPE_CHECKING:
    from agentrelease.api.guardrail import GuardrailPolicySpec
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate
    from agentrelease.core.series import Snapshot
    from agentrelease.engine.observe import Guarding


def stale(release: AgentRelease, candidate: Candidate, guarding: Guarding, snapshot: Snapshot) -> str:
    """Say whose newest sample is too old; empty when evidence is fresh."""
    limit, arms = guarding.plan.stale_after, judged_arms(release, candidate, snapshot)
    for (who, revision), arm in zip(arms_of(release, candidate), arms, strict=False):
        newest = max((one.newest for one in arm), default=None)
        if newest is None:
            return f"no samples of {who} ({revision})"
        if snapshot.at - newest > limit:
            return f"the newest sample of {who} ({revision}) is {snapshot.at - newest:.0f} s old"
    every = scrapes.interval(arms)
    if every + guarding.plan.grid >= limit:
        return (
            f"agents are scraped every {every:g} s and staleAfter is {limit:g} s: scrape more often, or set "
            f"staleAfter to {scrapes.ROUNDS * (every + guarding.plan.grid):g} s or more"
        )
    return ""


def unscraped(release: AgentRelease, candidate: Candidate, snapshot: Snapshot) -> tuple[str, ...]:
    """Say whose targets can't be scraped: what they would have told is missing, perhaps because it is bad."""
    series = snapshot.of(blocks.TASKS, release.namespace, release.name)
    found = []
    for who, revision in arms_of(release, candidate):
        targets = {one.target for one in of_revision(series, revision)}
        if down := targets & snapshot.down:
            said = f"{len(down)} of {len(targets)} targets of {who} ({revision}) can't be scraped: up is 0"
            found.append(said)
    return tuple(found)


def untold(
    release: AgentRelease, candidate: Candidate, spec: GuardrailPolicySpec, snapshot: Snapshot
) -> tuple[str, ...]:
    """Say who does not count the tasks that begin, so that one which hangs can't be seen."""
    return tuple(
        f"{who} ({revision}) has no {STARTED}, which outcomes.deadline needs"
        for who, revision in arms_of(release, candidate)
        if lacking.untold(snapshot, spec, (release.namespace, release.name), revision)
    )


def unrouted(
    release: AgentRelease, candidate: Candidate, spec: GuardrailPolicySpec, snapshot: Snapshot
) -> tuple[str, ...]:
    """Say of which arm the router that the policy names tells nothing."""
    both = services_of(release, candidate)
    return tuple(
        f"the router has no series of {who}'s Service {service}: see spec.router of the policy"
        for who, service in (("the candidate", both.candidate), ("stable", both.stable))
        if routing.silent(snapshot, spec, (release.namespace, service))
    )
