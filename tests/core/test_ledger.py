"""The ledger: each block once, the same bits on every path, and nothing forgotten or made up."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import absorbed, block, event, guardrail, plan

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.evidence import Absolute, Block, Cell, Concurrent, Count, Frozen, Paired, Recorded
from agentrelease.core.ledger import Ledger
from agentrelease.core.reference import read_reference, write_reference
from agentrelease.core.standing import harm_of, log_safety, stand
from agentrelease.core.wealth import UNIT, Onset

TWO = plan(
    guardrail("failures", weight=0.5, ceiling=0.4),
    guardrail("slow", weight=0.5, bounded=False),
    event(),
    required=("tier=high",),
)
COMPARISONS = (
    Concurrent(0.05),
    Concurrent(),
    Paired(),
    Absolute(),
    Frozen({"failures": {"": Recorded(Count(900, 80))}}),
)

counts = st.tuples(st.integers(0, 40), st.floats(0, 1)).map(lambda c: Count(c[0], round(c[0] * c[1])))
cells = st.builds(Cell, st.none() | counts, st.none() | counts)
strata = st.dictionaries(st.sampled_from(["tier=high", "tier=low", "tier=mid"]), cells, max_size=3)
blocks = st.builds(
    Block,
    st.just(0.0),
    st.integers(1, 40).map(lambda n: 60.0 * n),
    st.fixed_dictionaries({}, optional={"failures": strata, "slow": strata}),
    st.fixed_dictionaries({}, optional={"forbidden": st.integers(0, 2)}),
    st.fixed_dictionaries({}, optional={"": st.tuples(st.integers(0, 9), st.integers(0, 99))}),
    st.sampled_from([(), ("stale 12 s",)]),
)
recorded = st.lists(st.tuples(blocks, st.sampled_from(COMPARISONS)), max_size=25)


@given(recorded)
def test_state_is_the_same_bits_whether_or_not_it_went_through_json(steps) -> None:
    kept = stored = Ledger.new(TWO, 0.0)
    for one, comparison in steps:
        kept = kept.absorb(TWO, one, Autonomy.OBSERVE, comparison)
        text = stored.absorb(TWO, one, Autonomy.OBSERVE, comparison).to_json()
        stored = Ledger.from_json(text)
        assert stored == kept
        assert kept.to_json() == text


@given(recorded, st.integers(0, 24))
def test_a_block_that_comes_again_or_late_changes_nothing(steps, place: int) -> None:
    ledger = Ledger.new(TWO, 0.0)
    for one, comparison in steps:
        ledger = ledger.absorb(TWO, one, Autonomy.OBSERVE, comparison)
    for one, comparison in steps[place:]:
        assert ledger.absorb(TWO, one, Autonomy.OBSERVE, comparison) is ledger


def test_replaying_a_recorded_release_gives_the_same_evidence() -> None:
    def played() -> str:
        made = [
            block(n, {"failures": {"tier=high": ((9, n % 3), (99, 7)), "tier=low": ((30, 2), (400, 31))}})
            for n in range(60)
        ]
        return absorbed(TWO, made, Concurrent(0.08)).to_json()

    assert played() == played()


def test_six_metrics_in_twelve_strata_fit_eight_kilobytes() -> None:
    made = plan(*(guardrail(f"metric-{n}", weight=1 / 6) for n in range(6)), required=("risk_tier=high",))
    keys = [f"risk_tier={tier},workflow_class=class-{k}" for tier in ("high", "low", "mid") for k in range(4)]
    row = {key: ((31 + place, 3), (5_913 + place, 577)) for place, key in enumerate(keys)}
    ledger = absorbed(made, [block(n, {g.name: row for g in made.tested}) for n in range(400)])
    assert len(ledger.to_json().encode()) <= 8192


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"v":2}', '{"v":1,"t":[1,2]}', "null"])
def test_what_is_not_a_ledger_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Ledger.from_json(text)


def test_unknown_arms_are_no_evidence_and_no_zero() -> None:
    for cell in (Cell(None, Count(100, 10)), Cell(Count(10, 9), None), Cell()):
        made = plan()
        ledger = absorbed(made, [Block(0.0, 60.0, {"failures": {"": cell}})])
        assert stand(made, ledger).family == pytest.approx(0.0, abs=1e-3)
        assert log_safety(ledger.metrics["failures"]) == 0.0
        assert ledger.metrics["failures"].known_at == 0.0


def test_counted_nothing_is_known_and_proves_nothing(steady) -> None:
    ledger = absorbed(plan(), steady(3, (0, 0)))
    assert ledger.metrics["failures"].known_at == 180.0
    assert log_safety(ledger.metrics["failures"]) == 0.0


@pytest.mark.parametrize("bound", [{}, {"ceiling": 0.3}])
@pytest.mark.parametrize("strata", [("",), ("tier=high", "tier=low")])
def test_wealth_begins_at_one_however_it_is_shared_out(bound, strata) -> None:
    """More would be evidence of harm that nobody saw, and a promise that is not kept."""
    made = plan(guardrail(**bound))
    nothing = block(0, {"failures": dict.fromkeys(strata, ((0, 0), (0, 0)))})
    for ledger in (Ledger.new(made, 0.0), absorbed(made, [nothing])):
        evidence = harm_of(made.tested[0], ledger.metrics["failures"], ledger.waiting).log_evidence
        assert evidence == pytest.approx(0.0, abs=1e-3)


def test_between_blocks_only_what_is_forbidden_at_the_level_is_an_alarm() -> None:
    made = plan(guardrail(), event(when_autonomy=frozenset({Autonomy.OBSERVE})))
    ledger = absorbed(made, [block(0, {}, events={"forbidden": 0})])
    rung = ledger.alarmed(made, {"forbidden": 1}, 61.0, Autonomy.OBSERVE)
    assert (rung.events["forbidden"], rung.events_at["forbidden"]) == (1, 61.0)
    assert ledger.alarmed(made, {"forbidden": 2}, 61.0, Autonomy.FULL_ACTION) == ledger
    assert ledger.alarmed(made, {"forbidden": 0}, 61.0, Autonomy.OBSERVE) == ledger
    assert ledger.alarmed(made, {}, 61.0, Autonomy.OBSERVE) == ledger


def test_history_that_comes_late_leaves_the_half_pair_that_the_ledger_waits_with() -> None:
    made = plan()
    history = [Block(0.0, 60.0, {"failures": {"": Cell(None, Count(570, 50))}})]
    first = Ledger.new(made, 60.0).warmed(made, history, "replayed")
    assert first.metrics["failures"].scatter.waiting == Count(570, 50)
    own = absorbed(made, [block(1, {"failures": {"": ((30, 3), (570, 57))}})])
    late = own.warmed(made, history, "replayed")
    assert late.metrics["failures"].scatter.waiting == Count(570, 57)
    assert late.origin == "replayed"


def test_history_that_comes_late_is_worth_what_it_would_have_been_in_time() -> None:
    made = plan()
    history = [
        Block(60.0 * n, 60.0 * n + 60.0, {"failures": {"a": Cell(None, Count(570, 114))}}) for n in range(5)
    ]
    own = [
        block(5 + n, {"failures": {"a": ((30, 3), (570, 57)), "b": ((30, 3), (570, 0))}}) for n in range(7)
    ]
    late = absorbed(made, own, ledger=Ledger.new(made, 300.0)).warmed(made, history, "late")
    early = absorbed(made, own, ledger=Ledger.new(made, 300.0).warmed(made, history, "early"))
    for key in ("a", "b"):
        after, before = (one.metrics["failures"].strata[key].past for one in (late, early))
        assert after.n == pytest.approx(before.n, rel=1e-3)
        assert after.x == pytest.approx(before.x, rel=1e-3)


def test_a_new_phase_forgets_safety_and_samples_and_remembers_harm(steady) -> None:
    made = plan(required=("tier=high",))
    before = absorbed(made, [block(n, {"failures": {"tier=high": ((30, 5), (570, 57))}}) for n in range(20)])
    after = before.enter_phase(2000.0)
    old, new = before.metrics["failures"], after.metrics["failures"]
    assert stand(made, after).family == stand(made, before).family
    assert log_safety(old) != 0.0
    assert log_safety(new) == 0.0
    assert old.required["tier=high"] != 0
    assert not new.required
    assert new.strata["tier=high"].candidate == Count(0, 0) == new.strata["tier=high"].stable
    assert new.strata["tier=high"].past == old.strata["tier=high"].past
    assert new.known_at == after.phase_at == 2000.0
    assert (after.phase_blocks, after.blocks) == (0, 20)


def test_evidence_that_may_not_raise_can_only_lower_the_safe_side(steady) -> None:
    made = plan()
    good, bad = steady(2, (300, 20))[1], steady(2, (300, 90))[1]
    start = absorbed(made, steady(1, (300, 30)))
    for one in (good, bad):
        doubted = Block(one.start, one.end, one.cells, problems=("stale 12 s",))
        trusted = start.absorb(made, one, Autonomy.OBSERVE, Concurrent())
        held = start.absorb(made, doubted, Autonomy.OBSERVE, Concurrent())
        before, after = log_safety(start.metrics["failures"]), log_safety(held.metrics["failures"])
        assert after == (before if one is good else log_safety(trusted.metrics["failures"]))
        assert stand(made, held).family == stand(made, trusted).family
        assert held.phase_blocks == start.phase_blocks
        assert held.metrics["failures"].known_at == start.metrics["failures"].known_at


@pytest.mark.parametrize("candidate", [(300, 20), (300, 90)])
def test_a_block_that_goes_back_to_before_the_phase_proves_harm_and_nothing_else(steady, candidate) -> None:
    made = plan()
    start, one = absorbed(made, steady(1, (300, 30))), steady(2, candidate)[1]
    trusted = start.absorb(made, one, Autonomy.OBSERVE, Concurrent())
    early = start.absorb(made, replace(one, early=True), Autonomy.OBSERVE, Concurrent())
    assert stand(made, early).family == stand(made, trusted).family
    before, after = start.metrics["failures"], early.metrics["failures"]
    assert log_safety(after) == log_safety(before) != log_safety(trusted.metrics["failures"])
    assert after.strata[""].candidate == before.strata[""].candidate, "its samples are not of this phase"


def test_strata_that_appear_later_never_make_evidence_by_appearing() -> None:
    made = plan()
    first = absorbed(made, [block(n, {"failures": {"a": ((40, 1), (570, 57))}}) for n in range(20)])
    quiet = {"a": ((0, 0), (0, 0)), "b": ((0, 0), (0, 0)), "c": ((0, 0), (0, 0))}
    after = first.absorb(made, block(20, {"failures": quiet}), Autonomy.OBSERVE, Concurrent())
    assert stand(made, after).family <= stand(made, first).family + 1e-3


def test_strata_beyond_the_first_two_dozen_share_one_and_required_ones_never_do() -> None:
    made = plan(required=("tier=high",))
    cells = {f"class=c{n:02d},tier=low": ((10, 1), (100, 10)) for n in range(60)}
    cells |= {f"class=c{n},tier=high": ((1, 0), (10, 1)) for n in range(3)}
    ledger = absorbed(made, [block(n, {"failures": cells}) for n in range(3)])
    strata = ledger.metrics["failures"].strata
    assert len(strata) == 24 + 3 + 1
    assert sum(key.endswith("tier=high") for key in strata) == 3
    assert strata["other"].candidate == Count(3 * 36 * 10, 3 * 36)
    assert sum(s.candidate.n for s in strata.values()) == 3 * 603
    assert (
        len(ledger.absorb(made, block(3, {"failures": cells}), Autonomy.OBSERVE, Concurrent()).to_json())
        < 4000
    )


def test_a_latecomer_with_little_stake_never_lifts_the_evidence_in_later_epochs() -> None:
    made = plan()
    ledger = absorbed(made, [block(n, {"failures": {"a": ((40, 1), (570, 57))}}) for n in range(40)])
    before = stand(made, ledger).family
    assert before < -1.0
    for number in range(40, 110):
        quiet = {"a": ((0, 0), (0, 0)), "b": ((0, 0), (0, 0))}
        ledger = ledger.absorb(made, block(number, {"failures": quiet}), Autonomy.OBSERVE, Concurrent())
        assert stand(made, ledger).family <= before + 2e-3
    newcomer = ledger.metrics["failures"].strata["b"]
    assert newcomer.stake < -5000
    worth = Onset(ledger.waiting).log_evidence(newcomer.harm, newcomer.stake)
    assert worth == pytest.approx(newcomer.stake / UNIT, abs=2e-3)


@pytest.mark.parametrize("candidate", [(300, 20), (300, 90)])
def test_dispersion_divides_all_evidence_alike(candidate: tuple[float, float]) -> None:
    one = guardrail(ceiling=0.2)
    made, tempered = plan(one, required=("",)), plan(one, required=("",), phi={"failures": 2.0})
    one = block(0, {"failures": {"": (candidate, (5700, 570))}})
    plain, divided = absorbed(made, [one]).metrics["failures"], absorbed(tempered, [one]).metrics["failures"]
    for name in ("pooled", "safe", "bound"):
        fresh = absorbed(made, [block(0, {})]).metrics["failures"]
        gains = zip(getattr(plain, name), getattr(divided, name), getattr(fresh, name), strict=True)
        assert all(half - zero == pytest.approx((full - zero) / 2, abs=2) for full, half, zero in gains)
    assert divided.required[""] == pytest.approx(plain.required[""] / 2, abs=2)
    doubted = absorbed(tempered, [replace(one, problems=("stale",))]).metrics["failures"]
    assert doubted.safe == tuple(min(0, wealth) for wealth in divided.safe)


def test_onset_shares_out_all_wealth_and_no_more() -> None:
    made = plan()
    ledger = Ledger.new(made, 0.0)
    for number in range(100):
        ledger = ledger.absorb(made, block(number, {}), Autonomy.OBSERVE, Concurrent())
        found = exp(harm_of(made.tested[0], ledger.metrics["failures"], ledger.waiting).log_evidence)
        assert found == pytest.approx(1.0, abs=2e-3)


def test_eight_healthy_hours_delay_the_proof_of_harm_by_minutes_only(steady) -> None:
    made = plan()

    def found_after(healthy: int) -> int:
        ledger = absorbed(made, steady(healthy, (30, 3)))
        for number in range(healthy, healthy + 200):
            bad = block(number, {"failures": {"": ((30, 8), (570, 57))}})
            ledger = ledger.absorb(made, bad, Autonomy.OBSERVE, Concurrent())
            if stand(made, ledger).breaches:
                return number - healthy + 1
        raise AssertionError("not found")

    assert found_after(480) <= found_after(0) + 6


def test_forbidden_events_count_only_at_the_levels_that_forbid_them() -> None:
    made = plan(guardrail(), event(when_autonomy=frozenset({Autonomy.OBSERVE})))
    one = block(0, {}, events={"forbidden": 2})
    ledger = Ledger.new(made, 0.0)
    assert ledger.absorb(made, one, Autonomy.LIMITED_ACTION, Concurrent()).events["forbidden"] == 0
    seen = ledger.absorb(made, one, Autonomy.OBSERVE, Concurrent())
    assert seen.events["forbidden"] == 2
    assert seen.enter_phase(500.0).events["forbidden"] == 2


def test_an_event_metric_that_nobody_read_is_unknown() -> None:
    made = plan(guardrail(), event())
    ledger = absorbed(made, [block(0, {}, events={}), block(1, {}, events={"forbidden": 0}), block(2, {})])
    assert ledger.events_at["forbidden"] == 120.0


def test_a_changed_share_restarts_the_split_test() -> None:
    made = plan()
    ledger = Ledger.new(made, 0.0)
    for number, share in enumerate([0.05, 0.05, 0.10]):
        one = block(number, {}, arms={"a": (5, 95), "b": (1, 19)})
        ledger = ledger.absorb(made, one, Autonomy.OBSERVE, Concurrent(share))
    assert (ledger.mismatch.share, ledger.mismatch.candidate, ledger.mismatch.stable) == (0.10, 6, 114)


def test_a_policy_that_gains_or_loses_a_metric_keeps_the_rest(steady) -> None:
    before = absorbed(plan(), steady(20, (30, 9)))
    wider = plan(guardrail("failures", weight=0.5), guardrail("slow", weight=0.5), event())
    for ledger in (
        before.covering(wider),
        before.absorb(wider, block(20, {}), Autonomy.OBSERVE, Concurrent()),
    ):
        assert set(ledger.metrics) == {"failures", "slow"}
        assert ledger.events == {"forbidden": 0}
        fresh = harm_of(wider.tested[1], ledger.metrics["slow"], ledger.waiting)
        assert fresh.log_evidence == pytest.approx(0.0, abs=2e-3)
    assert before.covering(wider).covering(plan()).metrics == before.metrics


def test_the_record_of_stable_is_the_longer_of_this_phase_and_of_all_before_it(steady) -> None:
    whole = absorbed(plan(), steady(20, (30, 3)))
    over = whole.enter_phase(1200.0)
    long, short = read_reference(write_reference(whole)), read_reference(write_reference(over))
    assert long["failures"][""] == Recorded(Count(20 * 570, 20 * 57))
    assert short["failures"][""].count.n > 570
    assert write_reference(Ledger.new(plan(), 0.0)) == ""
    for unreadable in ("", "no JSON", "[]", '{"failures": {"": 3}}'):
        assert read_reference(unreadable) == {}


@pytest.mark.parametrize("stake", [0, -20_000])
@pytest.mark.parametrize(("waiting", "fresh"), [(0.5, 0.1), (0.9, 0.0), (0.2, 0.8)])
def test_evidence_begins_at_its_stake_whatever_part_of_it_waits(waiting, fresh, stake) -> None:
    onset = Onset(waiting, fresh)
    begun = onset.log_evidence(onset.start(onset.initial(stake), stake), stake)
    assert begun == pytest.approx(stake / UNIT, abs=2e-4)


def test_what_is_forgiven_is_forgotten_and_nothing_else_is() -> None:
    made = plan(guardrail("failures", weight=0.5), guardrail("slow", weight=0.5), event(), event("other"))
    ledger = replace(Ledger.new(made, 0.0), events={"forbidden": 2, "other": 3})
    found = ledger.forgiven({"forbidden"}, 60.0)
    assert found.events == {"forbidden": 0, "other": 3}


def test_harm_is_forgiven_to_the_guardrail_that_was_answered_and_to_no_other() -> None:
    made = plan(guardrail("failures", weight=0.5), guardrail("slow", weight=0.5))
    bad = {"": ((30, 9), (570, 57))}
    ledger = absorbed(made, [block(n, {"failures": bad, "slow": bad}) for n in range(5)])
    after = ledger.forgiven({"failures"}, 300.0)
    evidence = [harm_of(g, after.metrics[g.name], after.waiting).log_evidence for g in made.tested]
    whole = harm_of(made.tested[1], ledger.metrics["slow"], ledger.waiting).log_evidence
    assert whole > 1.0
    assert evidence == [pytest.approx(0.0, abs=2e-3), whole]


def test_what_the_first_program_wrote_is_still_read() -> None:
    """A release goes on while its operator is replaced by a newer one."""
    text = (
        '{"v":1,"t":[120,60,2,1],"s":[""],"m":{"failures":[[],[],[],[],120,'
        '[[0,0,570,57,30,3,570,57,0,0,0]],[0,0,570,57]]},"e":{"forbidden":[1,120]},"r":[0.05,30,570],'
        '"p":["concurrent"],"o":"replayed"}'
    )
    ledger = Ledger.from_json(text)
    assert (ledger.through, ledger.phase_at, ledger.blocks, ledger.phase_blocks) == (120, 60, 2, 1)
    assert ledger.metrics["failures"].strata[""].candidate == Count(30, 3)
    assert (ledger.events, ledger.mode, ledger.origin) == ({"forbidden": 1}, "concurrent", "replayed")


def test_past_days_are_counted_back_from_the_newest_hour_and_stay_with_their_stratum() -> None:
    """A day and a half: an outage on the half day is no habit, an hour that is bad on both is."""

    newest = 1_800_000_000.0 - 4 * 3600.0

    def hour(ago: int) -> Block:
        outage = Cell(None, Count(6000, 5000 if ago == 30 else 600))
        habit = Cell(None, Count(6000, 1200 if ago in {6, 30} else 600))
        end = newest - 3600.0 * ago
        return Block(end - 3600.0, end, {"failures": {"a": outage, "b": habit}})

    made = plan()
    ledger = Ledger.new(made, 0.0).remembering(made, [hour(ago) for ago in range(36)], "36 hours")
    later = block(0, {"failures": {"c": ((30, 3), (570, 57))}})
    for kept in (ledger, absorbed(made, [later], ledger=ledger)):
        assert Ledger.from_json(kept.to_json()) == kept
    short = Ledger.new(made, 0.0).remembering(made, [hour(6)], "an hour").metrics["failures"].strata
    assert short["b"].recorded.highest == pytest.approx(0.2, rel=0.05), "a day that has only begun"
    strata = ledger.metrics["failures"].strata
    assert strata["a"].recorded.highest < 0.13
    assert strata["b"].recorded.highest == pytest.approx(0.2, rel=0.05)


def test_a_guardrail_that_the_ledger_meets_in_a_block_is_believed_as_any_other() -> None:
    made = plan(guardrail("slow"))
    one = block(0, {"slow": {"": ((30, 9), (570, 57))}})
    assert stand(made, absorbed(made, [one], ledger=Ledger.new(plan(), 0.0))).family == (
        stand(made, absorbed(made, [one])).family
    )


def test_a_new_phase_waits_anew_for_what_is_known_of_events() -> None:
    made = plan(guardrail(), event())
    begun = Ledger.new(made, 0.0)
    assert begun.enter_phase(600.0).events_at == {"forbidden": 600.0}
    rung = begun.alarmed(made, {"forbidden": 1}, 601.0, Autonomy.OBSERVE)
    assert rung.enter_phase(600.0).events_at == {"forbidden": 601.0}, "and knows what it knew"


def test_tasks_whose_labels_came_from_before_the_phase_prove_no_safety_in_it() -> None:
    made = plan(guardrail(window=120.0))
    good = {"failures": {"": ((300, 20), (5700, 570))}}
    begun = Ledger.new(made, 0.0).enter_phase(60.0)
    early = absorbed(made, [block(1, good), block(2, good)], ledger=begun)
    assert log_safety(early.metrics["failures"]) == 0.0
    assert early.metrics["failures"].strata[""].candidate == Count(0, 0)
    ripe = absorbed(made, [block(3, good)], ledger=early)
    assert ripe.metrics["failures"].strata[""].candidate == Count(300, 20)
    assert log_safety(ripe.metrics["failures"]) > 0.0


def test_dispersion_is_learned_from_stable_unless_outcomes_are_of_the_randomised_unit() -> None:
    """Stable's tasks fail in clusters: nearly all of one minute, none of the next."""
    made, apart = plan(), plan(independent=True)
    clusters = [block(n, {"failures": {"": ((30, 3), (570, 500 * (n % 2)))}}) for n in range(20)]
    ledger = absorbed(made, clusters)
    assert (ledger.blocks, ledger.phase_blocks) == (20, 20)
    assert ledger.phi(made)["failures"] > 10.0
    assert ledger.phi(apart) == {"failures": 1.0}


def test_what_is_said_of_the_evidence_takes_little_of_a_status_however_long_it_is() -> None:
    """Causes come from other programs; a status that grows with them could not be written any more."""
    made = plan()
    told = block(0, {}, problems=tuple(f"{n} {'x' * 5000}" for n in range(50)))
    quiet = absorbed(made, [block(0, {})])
    said = absorbed(made, [told]).warmed(made, [], "y" * 5000).remembering(made, [], "z" * 5000)
    assert (said.problems[0][:3], said.origin[0], said.recalled[0]) == ("0 x", "y", "z")
    assert len(said.to_json()) - len(quiet.to_json()) < 800
