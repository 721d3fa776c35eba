"""What stable's past days say of its rates, and what a revision that serves alone may rely on."""

from __future__ import annotations

from dataclasses import replace
from math import pi, sin

import numpy as np
import pytest
from tests.core.conftest import absorbed, block, guardrail, plan

from agentrelease.core.assess import Requirements, Verdict, assess
from agentrelease.core.evidence import MAX_STRATA, Block, Cell, Count, Frozen, Recorded
from agentrelease.core.ledger import Ledger
from agentrelease.core.reference import read_reference, write_reference
from agentrelease.core.swing import DAY, DAYS, HOUR, highest

WEEK = DAYS * DAY


def rate(ago: int, swing: float = 0.6) -> float:
    """Bad tasks, highest six hours ago and every day before."""
    return 0.1 * (1.0 + swing * sin(2 * pi * ago / DAY))


def week(swing: float = 0.6, n: float = 6000, hours: int = WEEK) -> dict[int, Count]:
    return {ago: Count(n, round(n * rate(ago, swing))) for ago in range(hours)}


def hours_of(counts: dict[int, Count], stratum: str = "") -> list[Block]:
    ends = {ago: -HOUR * ago for ago in counts}
    return [
        Block(ends[ago] - HOUR, ends[ago], {"failures": {stratum: Cell(None, count)}})
        for ago, count in counts.items()
    ]


def test_the_worst_hour_of_each_day_is_found() -> None:
    assert highest(week()) == pytest.approx(0.16, rel=0.03)
    assert highest(week(0.0)) == pytest.approx(0.1)


@pytest.mark.parametrize("expected", [2, 12, 60, 600])
def test_hours_that_differ_by_chance_alone_excuse_little(expected: int) -> None:
    rng = np.random.default_rng(expected)
    found = [
        highest({ago: Count(10.0 * expected, float(x)) for ago, x in enumerate(rng.poisson(expected, WEEK))})
        for _ in range(50)
    ]
    assert float(np.mean(found)) <= 0.1 * (1.25 if expected < 12 else 1.1)


@pytest.mark.parametrize("expected", [12, 60, 600])
def test_an_hour_that_is_worse_every_day_is_hardly_missed_where_it_can_be_counted(expected: int) -> None:
    rng = np.random.default_rng(expected)
    true = 10.0 * expected * np.array([rate(ago) for ago in range(WEEK)])
    found = [
        highest({ago: Count(10.0 * expected, float(x)) for ago, x in enumerate(rng.poisson(true))})
        for _ in range(50)
    ]
    assert min(found) >= 0.16 * 0.95


def test_clusters_are_no_swing() -> None:
    """Five tasks of one conversation fail together: hours differ more, and are no better known."""
    rng = np.random.default_rng(1)
    counts = {ago: Count(600.0, 5.0 * x) for ago, x in enumerate(rng.poisson(12, WEEK))}
    assert highest(counts, phi=5.0) < 1.1 * 0.1 < highest(counts)
    assert highest(week(), phi=5.0) > highest(week()), "what is less well known may be higher"


@pytest.mark.parametrize("bad_days", [1, 2, 3])
def test_an_outage_on_some_days_of_a_week_is_no_habit(bad_days: int) -> None:
    counts = week(0.0) | {DAY * day + 5: Count(6000, 5000) for day in range(bad_days)}
    assert highest(counts) < 0.15


def test_little_is_made_of_little() -> None:
    assert highest({}) == 0.0
    assert highest({0: Count(0, 0), 1: Count(50, 0)}) == 0.0
    assert highest({0: Count(1000, 100)}) == pytest.approx(0.1)
    short = highest(week(hours=10))
    assert short == pytest.approx(0.16, rel=0.03), "a day that has only begun is all there is"
    later = {ago: Count(6000, 600) for ago in range(DAY)} | {DAY: Count(6000, 5000)}
    assert highest(later) < 0.11, "one hour of a day is no day"
    assert highest({0: Count(0, 0), 1: Count(1000, 100)}) == pytest.approx(0.1), "nobody asked in that hour"
    assert highest({0: Count(1000, 1)}) == pytest.approx(0.001), "one is not none"


def test_half_a_day_is_one_of_several_and_less_is_not() -> None:

    def found(newest: int, before: int) -> float:
        """Both days are known in so many hours; the day before was bad in one of them."""
        known = [*range(newest), *range(DAY, DAY + before)]
        return highest({ago: Count(6000, 3000 if ago == DAY else 600) for ago in known})

    assert found(11, 12) > 0.3, "the day before is the only whole one"
    assert found(12, 11) < 0.2


def served(record: Frozen, rates: list[float], n: int = 3000) -> Verdict:
    """Judge a revision that serves alone, an hour in six blocks."""
    blocks = [
        Block(600.0 * place, 600.0 * place + 600, {"failures": {"": Cell(Count(n, round(n * one)))}})
        for place, one in enumerate(one for one in rates for _ in range(6))
    ]
    made, verdict = plan(), Verdict.HOLD
    ledger = Ledger.new(made, 0.0)
    for one in blocks:
        ledger = absorbed(made, [one], record, ledger)
        found = assess(made, ledger, one.end, Requirements())
        if found.verdict is Verdict.ROLLBACK:
            return found.verdict
        verdict = found.verdict
    return verdict


def frozen(swing: float, *, quiet: bool, days: bool = True) -> Frozen:
    """Return the record of a stable that was last counted in a quiet hour, or in an average one."""
    now = rate(3 * DAY // 4, swing) if quiet else 0.1
    before = [block(place, {"failures": {"": ((30, 3), (5700, round(5700 * now)))}}) for place in range(30)]
    ledger = Ledger.new(plan(), 0.0)
    if days:
        ledger = ledger.remembering(plan(), hours_of(week(swing)), "168 hours")
    return Frozen(read_reference(write_reference(absorbed(plan(), before, ledger=ledger))))


@pytest.mark.parametrize("quiet", [True, False])
def test_a_day_like_every_other_is_no_harm_and_what_is_worse_than_its_worst_hour_is(quiet: bool) -> None:
    day = [rate(ago) for ago in reversed(range(DAY))]
    assert served(frozen(0.6, quiet=quiet), day * 7) is not Verdict.ROLLBACK
    assert served(frozen(0.6, quiet=quiet), [one + 0.05 for one in day]) is Verdict.ROLLBACK
    assert served(frozen(0.6, quiet=quiet, days=False), day) is Verdict.ROLLBACK, "nothing is known of days"


def test_who_takes_over_in_a_quiet_hour_is_measured_by_the_whole_day() -> None:
    day = [rate(ago) for ago in reversed(range(DAY))]
    assert served(frozen(0.6, quiet=True), day * 2) is Verdict.PROMOTE
    assert served(frozen(0.6, quiet=True), [one + 0.04 for one in day]) is not Verdict.PROMOTE


def test_steady_days_change_nothing_but_by_what_is_known_of_them() -> None:
    for better, worse in ([0.1, 0.16], [0.11, 0.14]):
        assert served(frozen(0.0, quiet=False), [better] * 48) is not Verdict.ROLLBACK
        assert served(frozen(0.0, quiet=False), [worse] * 12) is Verdict.ROLLBACK


def test_what_past_days_say_is_kept_through_everything_that_forgets() -> None:
    made = plan(guardrail(), required=("tier=high",))
    learned = Ledger.new(made, 0.0).remembering(made, hours_of(week(), "tier=high"), "168 hours")
    known = learned.metrics["failures"].strata["tier=high"].recorded
    assert (known.usual, known.highest) == (pytest.approx(0.0993, abs=1e-3), pytest.approx(0.16, rel=0.03))
    later = absorbed(made, [block(0, {"failures": {"tier=high": ((30, 3), (570, 57))}})], ledger=learned)
    stricter = plan(guardrail(terms="stricter"), required=("tier=high",))
    edited = replace(later, terms={"failures": "laxer"}).covering(stricter)
    for ledger in (later, later.enter_phase(60.0), later.forgiven(["failures"], 60.0), edited):
        stored = Ledger.from_json(ledger.to_json())
        assert stored == ledger
        assert stored.recalled == "168 hours"
        kept = stored.metrics["failures"].strata["tier=high"].recorded
        assert (kept.usual, kept.highest) == (known.usual, known.highest)


def test_days_that_are_known_late_open_no_stratum_and_those_known_early_do() -> None:
    made = plan()
    begun = absorbed(made, [block(0, {"failures": {"tier=low": ((30, 3), (570, 57))}})])
    late = begun.remembering(made, hours_of(week(), "tier=high"), "late").metrics["failures"].strata
    early = Ledger.new(made, 0.0).remembering(made, hours_of(week(), "tier=high"), "early")
    assert (set(late), set(early.metrics["failures"].strata)) == ({"tier=low"}, {"tier=high"})
    assert late["tier=low"].recorded.highest == 0.0


def test_labels_of_past_days_do_not_swell_the_state() -> None:
    made = plan()
    hours = [one for kind in range(40) for one in hours_of(week(hours=2), f"kind={kind:02}")]
    joined = [
        Block(
            first.start,
            first.end,
            {"failures": {k: c for b in (first, *same) for k, c in b.cells["failures"].items()}},
        )
        for first, same in (
            (hours[ago], [one for one in hours if one.end == hours[ago].end]) for ago in (0, 1)
        )
    ]
    strata = Ledger.new(made, 0.0).remembering(made, joined, "many").metrics["failures"].strata
    assert len(strata) == MAX_STRATA + 1


def test_a_stratum_without_a_record_is_held_to_all_strata_together() -> None:
    record = {"a": Recorded(Count(9000, 900), 0.08, 0.2), "b": Recorded(Count(1000, 100), 0.05, 0.12)}
    verdicts = [served(Frozen({"failures": record}), [one] * 12) for one in (0.17, 0.26)]
    assert verdicts == [Verdict.HOLD, Verdict.ROLLBACK]


def test_records_of_before_are_still_read() -> None:
    assert read_reference('{"failures":{"":[900,80]}}') == {"failures": {"": Recorded(Count(900, 80))}}
