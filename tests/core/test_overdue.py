"""Tasks without an outcome: never more than there are, each once, whatever happens to scrapes and pods."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core import lacking
from agentrelease.core.blocks import block
from agentrelease.core.counters import Sample
from agentrelease.core.evidence import Cell, Concurrent, Count, Paths
from agentrelease.core.ledger import Ledger
from agentrelease.core.overdue import AGED, DURATIONS, FINISHED, STARTED, Line
from agentrelease.core.plan import compile_plan
from agentrelease.core.series import Series, Snapshot
from agentrelease.core.span import Span
from agentrelease.core.unanswered import Grown, Mark, Marks, follow, joined

if TYPE_CHECKING:
    from collections.abc import Mapping

EDGES = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0, inf)
DEADLINE = 10
AGES = (20.0, 10.0, 2.0)
"""Ages that some agents count: the deadline, one that is no bucket, and one that is long before."""
END = 200


@dataclass(frozen=True)
class Work:
    """One task: when it began, and how long it takes; for ever is infinite."""

    began: float
    takes: float


@dataclass
class Pod:
    """A process that lives until ``dies``, scraped every ``interval`` seconds but in ``gaps``."""

    tasks: list[Work]
    name: str = "a"
    dies: float = inf
    interval: int = 1
    gaps: list[tuple[int, int]] = field(default_factory=list)
    release: str = "new"
    histogram: bool = True
    ages: bool = False
    tier: str = "low"
    lag: float = 0.0
    """Seconds after the others in which its started tasks are read at a scrape."""

    def scrapes(self) -> list[float]:
        times = (float(at) for at in range(0, END + 1, self.interval))
        return [at for at in times if at < self.dies and not any(a <= at < b for a, b in self.gaps)]

    def ended(self, at: float, longest: float) -> int:
        return sum(t.began + t.takes <= at and t.takes <= longest for t in self.tasks)

    def lost(self, at: float) -> int:
        """How many tasks truly have no outcome at a moment although their deadline has passed."""
        done = min(at, self.dies)
        return sum(
            t.began + DEADLINE <= at and t.began + t.takes > done for t in self.tasks if t.began <= done
        )

    def series(self) -> dict[str, list[Series]]:
        own = {"release": self.release, "pod": self.name, "job": "pods", "instance": self.name}
        own["risk_tier"] = self.tier
        at = self.scrapes()
        finished = tuple(Sample(t, self.ended(t, inf)) for t in at)
        found = {
            STARTED: [
                Series(own, tuple(Sample(t, sum(w.began <= t + self.lag for w in self.tasks)) for t in at))
            ],
            FINISHED: [Series(own | {"outcome": "completed"}, finished)],
        }
        if self.histogram:
            found[f"{DURATIONS}_bucket"] = [
                Series(own | {"le": str(e)}, tuple(Sample(t, self.ended(t, e)) for t in at)) for e in EDGES
            ]
        if self.histogram and self.ages:
            found[AGED] = [
                Series(
                    own | {"age": str(age)},
                    tuple(
                        Sample(t, sum(w.began + age <= t and w.takes > age for w in self.tasks)) for t in at
                    ),
                )
                for age in AGES
            ]
        return found


def snapshot(*pods: Pod) -> Snapshot:
    series: dict[str, list[Series]] = {}
    for pod in pods:
        for name, found in pod.series().items():
            series.setdefault(name, []).extend(s for s in found if s.samples)
    return Snapshot(END, END, 0, {name: {("shop", "support"): tuple(all_)} for name, all_ in series.items()})


SPEC = GuardrailPolicySpec.model_validate(
    {
        "outcomes": {"deadline": f"{DEADLINE}s"},
        "metrics": [
            {
                "name": "completion",
                "class": "quality",
                "ratio": {
                    "good": {"metric": FINISHED, "match": {"outcome": "completed"}},
                    "of": {"metric": FINISHED},
                },
                "onBreach": "rollback",
            }
        ],
    }
)
_, PLAN = compile_plan([SPEC], 1.0)


def span(start: float, end: float, since: float = -100.0) -> Span:
    return Span("shop", "support", "new", "old", start, end, step=1.0, since=since)


def paths(look: Snapshot, start: float, end: float) -> Mapping[str, Paths]:
    return lacking.paths(look, SPEC, span(start, end))["tasks"]


def candidate(look: Snapshot, cuts: list[int]) -> Count:
    """What a ledger has of the candidate after blocks that end at these times, through JSON each time."""
    ledger = Ledger.new(PLAN, cuts[0])
    for start, end in pairwise(cuts):
        one = block(look, SPEC, span(start, end))
        ledger = Ledger.from_json(ledger.absorb(PLAN, one, Autonomy.OBSERVE, Concurrent()).to_json())
    return ledger.metrics["completion"].strata[""].candidate


durations = st.sampled_from([0.3, 0.7, 1.5, 3.0, 6.0, inf, 15.0])
works = st.lists(
    st.builds(Work, st.integers(0, 120).map(lambda tenths: tenths + 0.5), durations), max_size=60
)


@given(works, st.sampled_from([1, 5]), st.booleans(), st.booleans())
def test_never_more_than_there_are(tasks, interval, histogram, ages):
    pod = Pod(tasks, interval=interval, histogram=histogram, ages=ages)
    (both,) = paths(snapshot(pod), 0, END).values()
    assert both.candidate is not None
    for at, level in enumerate(both.candidate):
        assert level <= pod.lost(float(at - at % interval))  # as it was at the last scrape


@given(works)
def test_an_agent_that_counts_ages_says_exactly_how_many(tasks):
    (both,) = paths(snapshot(Pod(tasks, ages=True)), 0, END).values()
    assert both.candidate == tuple(Pod(tasks).lost(float(at)) for at in range(END + 1))


@given(works, st.integers(1, 25), st.integers(0, 150), st.integers(1, 30), st.booleans())
def test_merged_blocks_and_gaps_give_the_same_totals(tasks, width, gap, long, ages):
    """The tasks stop long before the end, so nothing is hidden by others any more."""
    look = snapshot(Pod(tasks, gaps=[(gap, gap + long)], ages=ages), Pod([], "b", release="old"))
    cuts = [*range(0, END, width), END]
    merged, single = candidate(look, cuts), candidate(look, list(range(END + 1)))
    assert merged == single
    hung = sum(task.takes == inf for task in tasks)
    ended = len(tasks) - hung
    late = sum(task.takes == 15.0 for task in tasks)
    assert ended + hung <= single.n <= ended + hung + late


@given(works)
def test_a_task_that_never_ends_is_an_exposure_that_ended_badly_once(tasks):
    tasks = [task for task in tasks if task.takes != 15.0]
    count = candidate(snapshot(Pod(tasks), Pod([], "b", release="old")), list(range(END + 1)))
    assert count == Count(len(tasks), sum(task.takes == inf for task in tasks))


@given(works, st.integers(20, 100), st.booleans())
def test_a_restart_loses_what_was_in_flight_and_nothing_else(tasks, dies, ages):
    """The same container starts again: its counters begin anew, under the same labels."""
    first = Pod([t for t in tasks if t.began <= dies], dies=dies + 0.1, ages=ages)
    second = Pod([t for t in tasks if t.began > dies + 1], ages=ages)
    joined_series: dict[str, tuple[Series, ...]] = {}
    for name, before in first.series().items():
        after = {frozenset(s.labels.items()): s for s in second.series()[name]}
        joined_series[name] = tuple(
            Series(
                s.labels,
                (*s.samples, *(x for x in after[frozenset(s.labels.items())].samples if x.at > dies + 0.1)),
            )
            for s in before
        )
    look = Snapshot(END, END, 0, {name: {("shop", "support"): s} for name, s in joined_series.items()})
    (both,) = paths(look, 0, END).values()
    assert both.candidate is not None
    assert both.candidate[-1] == first.lost(END) + second.lost(END)


def test_a_pod_that_is_gone_lost_what_it_had_begun_once_its_deadline_passed():
    hung = [Work(float(n), inf) for n in range(10, 15)]
    gone, other = Pod(hung, dies=20.0), Pod([], "b", release="old")
    (both,) = paths(snapshot(gone, other), 0, END).values()
    assert both.candidate is not None
    assert both.candidate[27] <= 5
    assert both.candidate[-1] == 5
    assert candidate(snapshot(gone, other), list(range(END + 1))).x == 5


def test_a_target_that_is_only_down_is_not_gone():
    silent, other = Pod([Work(15.0, inf)], dies=20.0), Pod([], "b", release="old")
    look = snapshot(silent, other)
    down = Snapshot(look.at, look.end, look.since, look.series, down=frozenset({("pods", "a")}))
    (both,) = paths(down, 0, END).values()
    assert both.candidate is not None
    assert both.candidate[-1] <= 0


def test_when_nobody_is_scraped_nobody_is_gone():
    alone = Pod([Work(15.0, inf)], dies=20.0)
    (both,) = paths(snapshot(alone), 0, END).values()
    assert both.candidate is not None
    assert both.candidate[-1] <= 0


def test_what_hung_before_the_evidence_began_is_no_debt():
    tasks = [Work(float(n), inf) for n in range(5)] + [Work(100.5, inf)]
    look = snapshot(Pod(tasks), Pod([], "b", release="old"))
    assert candidate(look, list(range(50, END + 1))) == Count(1, 1)


def test_tasks_of_the_exposure_before_move_the_mark_and_are_not_counted_in_either_arm():
    tasks = [Work(float(n), inf) for n in range(20, 30)]
    look = snapshot(Pod(tasks), Pod(tasks, "b", release="old"))
    one = block(look, SPEC, span(0, END, since=40.0))
    assert one.passed_over == 40 + 2 * DEADLINE - 1
    _, grown = follow({}, one.lacking["tasks"], one.passed_over)
    assert not grown
    _, grown = follow({}, one.lacking["tasks"], 0)
    assert grown[""] == Grown(10, 10)


def test_a_task_that_finishes_late_makes_room_for_the_next_one_to_hang():
    marks, grown = follow({}, {"": Paths((0.0, 3.0, 1.0, 3.0, 4.0))}, 0)
    assert grown[""] == Grown(4.0, 0.0)
    assert marks[""] == Marks(Mark(4.0, 4.0), None)


def test_nothing_joins_what_is_unknown_or_paired():
    grown = {"": Grown(2, 1)}
    assert joined({}, grown) == {}
    paired = {"": Cell(Count(5, 1), Count(5, 1), both=1)}
    assert joined(paired, grown) == paired
    alone = joined({"": Cell(Count(5, 1), None)}, grown)
    assert alone == {"": Cell(Count(7, 3), Count(1, 1))}


def test_strata_without_number_share_one():
    many = {f"tier={n:03}": Paths((0.0, 1.0), (0.0, 0.0)) for n in range(100)}
    marks, grown = follow({}, many, 0)
    assert len(marks) == 25
    assert sum(one.candidate for one in grown.values()) == 100
    again, grown = follow(marks, {key: Paths((1.0, 2.0), (0.0, 0.0)) for key in many}, 0)
    assert again.keys() == marks.keys()
    assert sum(one.candidate for one in grown.values()) == 100


METRIC = SPEC.metrics[0].to_object()
BAD = {"bad": {"metric": "agentrelease_policy_violations_total"}, "of": {"metric": FINISHED}}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "tasks"),
        ({"class": "business"}, "tasks"),
        ({"ratio": BAD, "class": "safety"}, "tasks"),
        ({"ratio": BAD, "class": "business"}, ""),
        ({"ratio": BAD | {"of": {"metric": FINISHED, "match": {"risk_tier": "high"}}}}, "risk_tier=high"),
        ({"ratio": BAD | {"of": {"metric": FINISHED, "match": {"outcome": "failed"}}}}, ""),
        ({"ratio": BAD | {"of": {"metric": "tool_calls_total"}}}, ""),
        ({"ratio": None, "latency": {"histogram": DURATIONS, "slowerThan": "8s"}}, "tasks"),
        ({"ratio": None, "latency": {"histogram": DURATIONS, "slowerThan": "10s"}}, "tasks"),
        ({"ratio": None, "latency": {"histogram": DURATIONS, "slowerThan": "30s"}}, ""),
        ({"ratio": None, "latency": {"histogram": "other_seconds", "slowerThan": "8s"}}, ""),
        ({"ratio": None, "cost": {"metric": "c", "of": {"metric": FINISHED}, "cap": 1}}, ""),
    ],
)
def test_which_guardrails_a_missing_outcome_counts_in(changes, kind):
    spec = SPEC.model_copy(update={"metrics": [type(SPEC.metrics[0]).model_validate(METRIC | changes)]})
    _, plan = compile_plan([spec], 1.0)
    assert plan.guardrails[0].lacking == kind


def test_a_process_that_misses_fewer_than_four_scrapes_is_not_gone_though_others_are_scraped_often():
    slow = Pod([Work(14.5, 1.5)], interval=5, gaps=[(16, 31)])
    (both,) = paths(snapshot(slow, Pod([], "b", release="old")), 0, END).values()
    assert both.candidate is not None
    assert max(both.candidate) <= 0


def test_a_process_is_gone_from_the_fourth_scrape_on_that_it_missed():
    """It was last scraped at 15; the fourth scrape without it is due at 35."""
    slow = Pod([Work(11.5, inf)], interval=5, dies=19.0)
    (both,) = paths(snapshot(slow, Pod([], "b", release="old")), 0, END).values()
    assert both.candidate is not None
    assert max(both.candidate[:35]) <= 0
    assert min(both.candidate[35:]) == 1


def test_what_a_pod_that_is_gone_had_finished_is_not_lost():
    tasks = [*(Work(float(n), 0.3) for n in range(1, 9)), Work(9.0, 6.0), Work(12.0, inf)]
    for histogram in (True, False):
        gone = Pod(tasks, dies=20.0, histogram=histogram)
        (both,) = paths(snapshot(gone, Pod([], "b", release="old")), 0, END).values()
        assert both.candidate is not None
        assert both.candidate[-1] == 1


@pytest.mark.parametrize("gaps", [[(0, 50)], [(0, 50), (51, END + 1)]])
def test_before_its_first_scrape_a_process_lacks_nothing(gaps):
    look = snapshot(Pod([Work(60.0, inf)], gaps=gaps), Pod([], "b", release="old"))
    (both,) = paths(look, 0, END).values()
    assert both.candidate is not None
    assert set(both.candidate[:50]) == {0.0}


def test_a_task_that_hangs_is_told_while_others_go_on_to_finish():
    """One hangs at 10.5, others end well every five seconds; buckets tell them apart a scrape later."""
    others = [Work(5.0 * n + 0.5, 0.3) for n in range(40) if n != 2]
    (both,) = paths(snapshot(Pod([*others, Work(10.5, inf)])), 0, END).values()
    assert both.candidate is not None
    assert {both.candidate[at] for at in range(30, END) if at % 5} == {1.0}


def test_a_line_is_read_up_to_the_latest_scrape_and_from_its_first():
    line = Line.of([Sample(10.0, 4), Sample(20.0, 6), Sample(30.0, 1), Sample(40.0, 3)])
    assert [line.by(at) for at in (9.0, 10.0, 25.0, 30.0, 99.0)] == [0, 4, 6, 7, 9]
    assert [line.now(at) for at in (9.0, 10.0, 25.0, 30.0, 99.0)] == [0, 4, 6, 1, 3]
    assert line.from_then(15.0, 99.0) == 6
    assert line.from_then(15.0, 19.0) == 4, "nothing is read from after the latest"
    assert line.from_then(41.0, 99.0) == 9, "there is no scrape from then"


def test_a_page_that_took_a_moment_to_write_makes_no_task_late():
    """Its beginning was read in the scrape at 10, its end came after the one at 11."""
    (both,) = paths(snapshot(Pod([Work(10.05, 1.0)], lag=0.1)), 0, END).values()
    assert both.candidate is not None
    assert max(both.candidate) <= 0


def test_only_the_tasks_that_a_metric_is_of_are_looked_at():
    """A share of high-risk tasks, and a latency of all."""
    high = {**BAD, "of": {"metric": FINISHED, "match": {"risk_tier": "high"}}}
    slow = {"ratio": None, "latency": {"histogram": DURATIONS, "slowerThan": "8s"}, "class": "efficiency"}
    metrics = [
        type(SPEC.metrics[0]).model_validate(METRIC | changed)
        for changed in ({"ratio": high, "class": "safety"}, slow | {"name": "slow"})
    ]
    spec = SPEC.model_copy(update={"metrics": metrics})
    look = snapshot(Pod([Work(10.5, inf)], tier="high"), Pod([Work(10.5, inf)], "b"))
    found = lacking.paths(look, spec, span(0, END))
    last = {kind: strata[""].candidate for kind, strata in found.items()}
    assert {kind: levels and levels[-1] for kind, levels in last.items()} == {"risk_tier=high": 1, "tasks": 2}


def test_a_revision_that_counts_its_ends_and_no_beginnings_is_told():
    whole, agent = snapshot(Pod([]), Pod([], "b", release="old")), ("shop", "support")
    begun = [one for one in whole.series[STARTED][agent] if one.labels["release"] == "old"]
    half = Snapshot(END, END, 0, {**whole.series, STARTED: {agent: tuple(begun)}})
    assert [lacking.untold(half, SPEC, agent, revision) for revision in ("new", "old", "gone")] == [
        True, False, False,
    ]  # fmt: skip
    patient = SPEC.model_copy(update={"outcomes": None})
    assert not lacking.untold(half, patient, agent, "new"), "nothing is due without a deadline"
