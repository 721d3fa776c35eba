"""Offline evaluations: what a run over a fixed set of cases came to, and whether that is enough.

A run belongs to a revision. Its results are read as they stand, whole, not as growth since a phase began::

    agentrelease_evaluations_total{agent, release, evaluator, dataset, label}   cases judged so far, by result
    agentrelease_evaluation_cases{agent, release, evaluator, dataset}           cases that the whole run has
    agentrelease_evaluation_score_total{agent, release, evaluator, dataset}     sum of scores between 0 and 1

The set is fixed, so its share is a fact about this set and no estimate: nothing is tested, it is compared.
A run passes only when it is complete: every case has a result, none of them is an error, and the run is as
large as the policy asks. What is absent, incomplete or broken is never a pass, and no proof of harm either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrelease.core.evidence import Count
from agentrelease.core.guardrails import MetricVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.core.guardrails import Guardrail, Offline

EVALUATIONS = "agentrelease_evaluations_total"
CASES = "agentrelease_evaluation_cases"
SCORE = "agentrelease_evaluation_score_total"
READ = frozenset({EVALUATIONS, CASES, SCORE})

ERROR = "error"
"""The label of a case that could not be judged."""

_EXACT = 1e-9
_NONE = Count(0, 0)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: ``cases`` is how many it has in all (0 = it did not say), ``results`` cases by label.

    ``score`` is the sum of scores, ``None`` where none are given; ``at`` (unix seconds) when these results
    were first seen.
    """

    revision: str
    evaluator: str
    dataset: str
    cases: float
    results: Mapping[str, float]
    score: float | None
    at: float

    @property
    def same(self) -> tuple[object, ...]:
        """What tells two looks at unchanged results from a look at new ones."""
        return self.cases, tuple(sorted(self.results.items())), self.score


@dataclass(frozen=True, slots=True)
class Runs:
    """What is known of the two revisions that are compared; ``stable`` is empty where there is none."""

    candidate: str = ""
    stable: str = ""
    known: tuple[Run, ...] = ()

    def of(self, revision: str, offline: Offline) -> tuple[Run | None, str]:
        """Return the newest run of an evaluator for a revision, or why none can be named."""
        found = [
            run
            for run in self.known
            if (run.revision, run.evaluator) == (revision, offline.evaluator)
            and offline.dataset in ("", run.dataset)
        ]
        newest = [run for run in found if run.at == max(one.at for one in found)]
        if not newest:
            over = f" over {offline.dataset}" if offline.dataset else ""
            return None, f"no results of {offline.evaluator}{over} for {revision} yet"
        if len(newest) > 1:
            several = " and ".join(sorted(run.dataset or "an unnamed set" for run in newest))
            return None, f"{revision} has results over {several}; name one of them in offline.dataset"
        return newest[0], ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What an evaluation says about the candidate, with both runs' cases (all, bad) and why.

    ``at`` names the candidate's results; ``errored`` tells broken results from those that are not there.
    """

    verdict: MetricVerdict
    why: str
    candidate: Count = _NONE
    stable: Count = _NONE
    at: float = 0.0
    errored: bool = False


def judge(guardrail: Guardrail, runs: Runs, answered: float | None = None) -> Judged:
    """Judge one evaluation. ``answered`` are results to which an intervention was the answer already.

    They stay as bad as they were, so they are no pass, but they are no second breach.
    """
    offline = guardrail.offline
    assert offline is not None
    run, why = runs.of(runs.candidate, offline)
    if run is None:
        return Judged(MetricVerdict.COLLECTING, why)
    broken = _broken(run, offline)
    if broken:
        return Judged(MetricVerdict.COLLECTING, broken, at=run.at, errored=run.results.get(ERROR, 0) > 0)
    mine, theirs, why = _count(run, offline), Count(0, 0), ""
    if offline.compared and runs.stable:
        theirs, why = _stables(runs, run, offline)
    breach = _breach(guardrail, mine, theirs)
    said = f"{_said(mine)} of {offline.evaluator}" + (f", {_said(theirs)} in stable" if theirs.n else "")
    if breach and answered == run.at:
        return Judged(
            MetricVerdict.COLLECTING,
            f"{said}: {breach}; answered, waits for another run",
            mine,
            theirs,
            run.at,
        )
    if breach:
        return Judged(MetricVerdict.HARM, f"{said}: {breach}", mine, theirs, run.at)
    if why:
        return Judged(MetricVerdict.COLLECTING, f"{said}; {why}", mine, theirs, run.at)
    if guardrail.bound is None and not runs.stable:
        alone = "there is no stable revision to compare with and no ceiling or floor is set"
        return Judged(MetricVerdict.UNJUDGED, f"{said}: {alone}", mine, theirs, run.at)
    return Judged(MetricVerdict.PASS, f"{said}: as good as it has to be", mine, theirs, run.at)


def _broken(run: Run, offline: Offline) -> str:
    """Say why a run is no result; empty when it is complete."""
    errors, judged, name = run.results.get(ERROR, 0), sum(run.results.values()), run.evaluator
    if errors:
        return f"{errors:g} of {run.cases:g} cases of {name} ended in an error: such a run is no result"
    if not run.cases:
        return f"{name} does not say how many cases its run has ({CASES} is not there)"
    if judged > run.cases:
        return (
            f"{judged:g} results of {name} for a run of {run.cases:g} cases: each counts once, in one place"
        )
    if run.cases < offline.cases:
        return f"the run of {name} has {run.cases:g} cases, at least {offline.cases} are asked for"
    if judged < run.cases:
        return f"{judged:g} of {run.cases:g} cases of {name} are judged"
    if offline.by_score and run.score is None:
        return f"{name} gives no scores ({SCORE} is not there)"
    if offline.by_score and not -_EXACT <= (run.score or 0.0) <= run.cases + _EXACT:
        over = f"{run.score:g} over {run.cases:g} cases"
        return f"the scores of {name} add up to {over}; each lies between 0 and 1"
    return ""


def _count(run: Run, offline: Offline) -> Count:
    good = run.score if offline.by_score else sum(run.results.get(label, 0) for label in offline.passing)
    return Count(run.cases, max(0.0, run.cases - (good or 0.0)))


def _stables(runs: Runs, mine: Run, offline: Offline) -> tuple[Count, str]:
    """Return stable's cases over the same set, or why they can't be compared."""
    theirs = [
        run
        for run in runs.known
        if (run.revision, run.evaluator, run.dataset) == (runs.stable, offline.evaluator, mine.dataset)
    ]
    if not theirs:
        over = f" over {mine.dataset}" if mine.dataset else ""
        return Count(0, 0), f"stable ({runs.stable}) has no results{over} to compare with: run it there too"
    broken = _broken(theirs[0], offline)
    return (Count(0, 0), f"stable ({runs.stable}): {broken}") if broken else (_count(theirs[0], offline), "")


def _breach(guardrail: Guardrail, mine: Count, theirs: Count) -> str:
    """Say which bound the results break; empty for none."""
    rate = mine.x / mine.n
    if guardrail.bound is not None and rate > guardrail.bound + _EXACT:
        return f"worse than the bound of {100 * guardrail.bound:g} %"
    if theirs.n and rate > guardrail.tolerance.of(theirs.x / theirs.n) + _EXACT:
        return f"worse than tolerated ({guardrail.tolerance})"
    return ""


def _said(count: Count) -> str:
    return f"{count.x:,.4g} of {count.n:,.0f} cases bad ({100 * count.x / count.n:.3g} %)"
