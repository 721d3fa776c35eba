"""What traffic and agents report of a candidate, beside what was intended."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING

from agentrelease.api.status import Stage
from agentrelease.core import audience, blocks, intent, routing, scrapes
from agentrelease.core.in_effect import difference, reported
from agentrelease.core.overdue import STARTED
from agentrelease.core.situation import Measured
from agentrelease.core.skew import CLOCK, skew, unreliable
from agentrelease.core.span import Span
from agentrelease.engine.arms import judged_arms, of_revision, services_of

if TYPE_CHECKING:
    from agentrelease.api.guardrail import GuardrailPolicySpec
    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Candidate
    from agentrelease.api.vocabulary import Autonomy
    from agentrelease.core.exposure import Exposure
    from agentrelease.core.in_effect import Kind
    from agentrelease.core.ledger import Ledger
    from agentrelease.core.series import Series, Snapshot

WINDOW = 15.0
"""Seconds over which the traffic share is measured; more where scrapes or requests are rare."""

ENOUGH = 100.0
"""Tasks of both arms that show a share."""

LATELY = 2.0
"""Seconds in which a candidate's traffic shows that it has not ended, likewise."""

SILENT = 10.0
"""Tasks that would have come in a silence which is no chance: the risk is e to the minus that."""

SURE = 4.0
"""Standard deviations by which a measured share may miss the intended one."""

MARGIN = 0.005
"""And this much more, for what is in flight while a weight changes."""

TURNS = 10.0
"""Tasks of one session. Flags split sessions, and of tasks that come together fewer are independent."""


def measure(
    release: AgentRelease,
    candidate: Candidate,
    spec: GuardrailPolicySpec | None,
    snapshot: Snapshot,
    ledger: Ledger | None,
) -> Measured:
    """Return what is seen of the candidate, and why that does not fit the intent.

    ``ledger`` is what the phase has shown before; ``None`` outside of one.
    """
    exposure = intent.exposure(release)
    stable = release.status.stable
    series = _tasks(release, candidate, snapshot)
    every = scrapes.interval(judged_arms(release, candidate, snapshot))
    seconds = scrapes.window(every, WINDOW)
    whose = audience.of_candidate(exposure, release.spec.phases)
    counted = tuple(one for one in series if audience.belongs(one, whose))
    # growth counts from the scrape before, which must not be of another exposure
    start = since(counted, candidate.confirmed_at + every, snapshot, seconds)
    mine = grown(of_revision(counted, candidate.revision), start, snapshot.end)
    theirs = grown(of_revision(counted, stable.revision), start, snapshot.end) if stable else None
    if spec is not None and stable is not None and exposure.weight > 0:
        names = (release.namespace, release.name, candidate.revision, stable.revision)
        mine, theirs = _sent(
            release, candidate, spec, Span(*names, start, snapshot.end, whose), snapshot
        ) or (mine, theirs)
    all_of_it = grown(of_revision(series, candidate.revision), start, snapshot.end)
    lately = snapshot.end - max(LATELY, every)
    recent = grown(of_revision(series, candidate.revision), lately, snapshot.end)
    levels = reported(
        of_revision(snapshot.of(blocks.LEVELS, release.namespace, release.name), candidate.revision),
        snapshot.at,
        seconds,
    )
    info = of_revision(snapshot.of(blocks.INFO, release.namespace, release.name), candidate.revision)
    share = _share(mine, theirs) if exposure.weight > 0 else None
    together = TURNS if release.spec.delivery.route is None else 1.0
    return Measured(
        weight=None if share is None else 100 * share,
        tasks=mine,
        recent=recent,
        autonomy=max(levels.values(), default=None),
        reporting=any(snapshot.at - one.newest <= seconds for one in info),
        disagreement=_skewed(release, candidate, snapshot, seconds)
        or _disagreement(exposure, candidate, levels)
        or (
            _unreached(whose, all_of_it)
            if exposure.reached and not mine and not _usual(ledger, candidate, start, snapshot.end)
            else ""
        )
        or (_missed(exposure, (mine, theirs), together) if stable else ""),
        at=snapshot.at,
        seconds=max(0.0, snapshot.end - start),
    )


def since(series: tuple[Series, ...], earliest: float, snapshot: Snapshot, seconds: float) -> float:
    """Return since when to measure: the last ``seconds``, or as many more as it takes to see enough tasks."""
    earliest = max(earliest, snapshot.since, snapshot.end - scrapes.LONGEST)
    while (start := max(earliest, snapshot.end - seconds)) > earliest:
        if (grown(series, start, snapshot.end) or 0.0) >= ENOUGH:
            break
        seconds *= 2.0
    return start


def _usual(ledger: Ledger | None, candidate: Candidate, start: float, end: float) -> bool:
    """Whether nobody asked the candidate in ``(start, end]`` by chance, as seldom as it is asked."""
    begun = candidate.confirmed_at and start < end
    states = ledger.metrics.values() if ledger is not None and begun else ()
    tasks = max((sum(s.candidate.n for s in state.strata.values()) for state in states), default=0.0)
    return tasks > 0 and tasks / max(end - candidate.confirmed_at, 1.0) * (end - start) < SILENT


def _sent(
    release: AgentRelease, candidate: Candidate, spec: GuardrailPolicySpec, window: Span, snapshot: Snapshot
) -> tuple[float | None, float | None] | None:
    """Return both arms' requests by the router's own counters; ``None`` where the policy names none."""
    services = services_of(release, candidate)
    if spec.router is None or not services.candidate:
        return None
    return routing.arms(snapshot, spec, replace(window, services=services)) or (None, None)


def _tasks(release: AgentRelease, candidate: Candidate, snapshot: Snapshot) -> tuple[Series, ...]:
    """Return the tasks by which traffic is measured: as they begin, where every arm counts them so.

    A candidate that hangs on all of them is reached by traffic although it never finishes any.
    """
    stable = release.status.stable
    arms = {candidate.revision} | ({stable.revision} if stable else set())
    began = snapshot.of(STARTED, release.namespace, release.name)
    told = {one.labels.get("release") for one in began}
    return began if arms <= told else snapshot.of(blocks.TASKS, release.namespace, release.name)


def _skewed(release: AgentRelease, candidate: Candidate, snapshot: Snapshot, seconds: float) -> str:
    clocks = of_revision(snapshot.of(CLOCK, release.namespace, release.name), candidate.revision)
    return unreliable(skew(clocks, snapshot.at, seconds), release.spec.delivery.flags.lease_seconds)


def grown(series: tuple[Series, ...], start: float, end: float) -> float | None:
    """Return how much series grew together in ``(start, end]``; ``None`` is unknown."""
    known = [g for g in (one.grown(start, end) for one in series) if g is not None]
    return sum(known) if known else None


def _share(mine: float | None, theirs: float | None) -> float | None:
    if mine is None or theirs is None or mine + theirs <= 0:
        return None
    return mine / (mine + theirs)


def _disagreement(exposure: Exposure, candidate: Candidate, levels: dict[Kind, Autonomy]) -> str:
    if candidate.stage is not Stage.RUNNING:
        return ""
    if not candidate.confirmed_at:
        return "the levers have not been seen in effect yet"
    return difference(levels, exposure)


def _unreached(whose: str, tasks: float | None) -> str:
    """Say whose requests are missing; ``tasks`` are the candidate's of all audiences."""
    if not tasks or not whose:
        return "no traffic has reached the candidate in this phase yet"
    return f"{tasks:g} tasks have reached the candidate in this phase, none of them with audience={whose}"


def _missed(exposure: Exposure, tasks: tuple[float | None, float | None], together: float) -> str:
    """Say that the share of traffic is not the intended one; ``together`` are the tasks split as one."""
    mine, theirs = tasks
    share = exposure.weight / 100
    if not 0 < share < 1:
        return ""
    total = (mine or 0.0) + (theirs or 0.0)
    measured = _share(mine, theirs)
    spread = sqrt(share * (1 - share) * together / total) if total else 0.0
    if measured is None or abs(measured - share) > SURE * spread + MARGIN:
        shown = "unknown" if measured is None else f"{100 * measured:.1f} %"
        return f"the measured share is {shown} of {total:g} tasks, intended is {exposure.weight:g} %"
    return ""
