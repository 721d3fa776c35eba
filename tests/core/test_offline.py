"""Offline evaluations: a whole run is compared, and whatever is less than a whole run is never a pass."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import absorbed, block, guardrail, plan

from agentrelease.api.guardrail import GuardrailPolicySpec
from agentrelease.api.status import MAX_EVALUATIONS, Evaluation
from agentrelease.api.vocabulary import Action, Autonomy
from agentrelease.core import blocks, offline, runs
from agentrelease.core.assess import Requirements, Verdict, assess
from agentrelease.core.counters import Sample
from agentrelease.core.evidence import Absolute, Count
from agentrelease.core.guardrails import Kind, Margin, MetricVerdict, Offline
from agentrelease.core.ledger import Ledger
from agentrelease.core.notation import read, written
from agentrelease.core.offline import Run, Runs, judge
from agentrelease.core.plan import compile_plan
from agentrelease.core.record import NAMES
from agentrelease.core.series import Series, Snapshot

GOLD = Offline("gold-incidents", 100)


def gold(which: Offline = GOLD, **changed: object):
    return guardrail("gold", kind=Kind.OFFLINE, weight=0.0, offline=which, **({"floor": 0.9} | changed))


def run(passed: float = 95, failed: float = 5, **changed: object) -> Run:
    made = Run("v2", "gold-incidents", "2026-11", 100, {"pass": passed, "fail": failed}, None, 50.0)
    return replace(made, **changed)  # type: ignore[arg-type]


def said(*known: Run, by=None, stable: str = "v1", answered: float | None = None):
    return judge(by or gold(), Runs("v2", stable, known), answered)


def test_a_whole_run_above_its_floor_passes_and_one_below_is_a_breach() -> None:
    good, bad = said(run(90, 10)), said(run(89, 11))
    assert (good.verdict, bad.verdict) == (MetricVerdict.PASS, MetricVerdict.HARM)
    assert bad.why == "11 of 100 cases bad (11 %) of gold-incidents: worse than the bound of 10 %"
    assert bad.candidate == Count(100, 11)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ((), "no results of gold-incidents for v2 yet"),
        ((run(revision="v1"),), "no results of gold-incidents for v2 yet"),
        ((run(evaluator="noise"),), "no results of gold-incidents for v2 yet"),
        ((run(0, 0, results={"error": 100}),), "100 of 100 cases of gold-incidents ended in an error"),
        ((run(0, 0, results={"pass": 99, "error": 1}),), "such a run is no result"),
        ((run(40, 5),), "45 of 100 cases of gold-incidents are judged"),
        ((run(0, 0),), "0 of 100 cases of gold-incidents are judged"),
        ((run(190, 10),), "200 results of gold-incidents for a run of 100 cases"),
        ((run(20, 0, cases=20),), "has 20 cases, at least 100 are asked for"),
        ((run(cases=0),), "does not say how many cases its run has"),
        ((run(), run(dataset="2026-10")), "results over 2026-10 and 2026-11; name one of them"),
    ],
)
def test_what_is_not_a_whole_run_waits_and_says_why(known: tuple[Run, ...], words: str) -> None:
    found = said(*known)
    assert found.verdict is MetricVerdict.COLLECTING
    assert words in found.why


labels = st.dictionaries(st.sampled_from(["pass", "fail", "error", "weird"]), st.integers(0, 130), max_size=4)


@given(labels, st.integers(0, 130), st.none() | st.floats(0, 200), st.booleans())
def test_nothing_passes_but_a_whole_run_without_errors_that_reaches_the_floor(
    results, cases: int, score, by_score: bool
) -> None:
    one = run(cases=cases, results=results, score=score)
    found = said(one, by=gold(replace(GOLD, by_score=by_score)))
    good = score if by_score else results.get("pass", 0)
    whole = cases >= 100 and sum(results.values()) == cases and not results.get("error") and good is not None
    if by_score and good is not None:
        whole = whole and good <= cases + 1e-9
    assert (found.verdict is MetricVerdict.PASS) is (whole and good >= 0.9 * cases - 1e-6)
    if found.verdict is MetricVerdict.HARM:
        assert whole
        assert good < 0.9 * cases


def test_stables_own_run_is_the_measure_where_a_tolerance_is_set() -> None:
    by = gold(replace(GOLD, compared=True), floor=None, tolerance=Margin(1.0, 0.02))
    stable = run(90, 10, revision="v1")
    assert said(run(88, 12), stable, by=by).verdict is MetricVerdict.PASS
    worse = said(run(87, 13), stable, by=by)
    assert worse.verdict is MetricVerdict.HARM
    assert "10 of 100 cases bad (10 %) in stable: worse than tolerated" in worse.why


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ((), "stable (v1) has no results over 2026-11 to compare with"),
        ((run(revision="v1", dataset="2026-10"),), "has no results over 2026-11"),
        ((run(5, 0, revision="v1"),), "stable (v1): 5 of 100 cases"),
        ((run(0, 0, revision="v1", results={"error": 100}),), "ended in an error"),
    ],
)
def test_without_stables_whole_run_over_the_same_set_nothing_is_passed(theirs, words: str) -> None:
    by = gold(replace(GOLD, compared=True), floor=None, tolerance=Margin(1.0, 0.02))
    found = said(run(100, 0), *theirs, by=by)
    assert found.verdict is MetricVerdict.COLLECTING
    assert words in found.why


def test_a_floor_is_broken_whatever_stable_has_and_a_first_release_has_nothing_to_compare_with() -> None:
    by = gold(replace(GOLD, compared=True), tolerance=Margin(1.0, 0.5))
    assert said(run(50, 50), by=by).verdict is MetricVerdict.HARM
    alone = gold(replace(GOLD, compared=True), floor=None)
    assert said(run(), by=alone, stable="").verdict is MetricVerdict.UNJUDGED
    assert said(run(), by=by, stable="").verdict is MetricVerdict.PASS


def test_a_named_dataset_and_named_results_are_the_ones_that_count() -> None:
    by = gold(replace(GOLD, dataset="2026-10", passing=("pass", "partly")))
    other = run(0, 0, dataset="2026-10", results={"pass": 60, "partly": 30, "fail": 10})
    assert said(run(0, 100), other, by=by).verdict is MetricVerdict.PASS
    assert said(run(), by=by).why == "no results of gold-incidents over 2026-10 for v2 yet"


def test_of_two_sets_the_newer_one_counts() -> None:
    assert said(run(0, 100), run(dataset="2026-12", at=60.0)).verdict is MetricVerdict.PASS


def test_results_that_were_answered_are_no_second_breach_and_no_pass_until_another_run() -> None:
    bad = run(10, 90)
    assert said(bad, answered=50.0).verdict is MetricVerdict.COLLECTING
    assert said(bad, answered=40.0).verdict is MetricVerdict.HARM
    assert said(run(at=70.0), answered=50.0).verdict is MetricVerdict.PASS


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (None, "gold-incidents gives no scores (agentrelease_evaluation_score_total is not there)"),
        (100.5, "the scores of gold-incidents add up to 100.5 over 100 cases; each lies between 0 and 1"),
        (-0.5, "the scores of gold-incidents add up to -0.5 over 100 cases; each lies between 0 and 1"),
    ],
)
def test_scores_that_cannot_be_are_no_result_and_are_named(score: float | None, words: str) -> None:
    found = said(run(score=score), by=gold(replace(GOLD, by_score=True)))
    assert (found.verdict, found.why, found.errored) == (MetricVerdict.COLLECTING, words, False)
    assert said(run(score=score)).verdict is MetricVerdict.PASS, "scores that nobody asked for do not matter"


def test_no_score_at_all_is_the_worst_and_full_scores_the_best() -> None:
    by = gold(replace(GOLD, by_score=True))
    assert said(run(score=0.0), by=by).candidate == Count(100, 100)
    assert said(run(score=100.0), by=by).candidate == Count(100, 0)
    assert said(run(score=100.0 + 1e-10), by=by).candidate == Count(100, 0), "sums of fractions are not exact"


def test_labels_that_are_absent_count_for_nothing() -> None:
    by = gold(replace(GOLD, passing=("pass", "partly")))
    assert said(run(results={"pass": 80, "fail": 20}), by=by).candidate == Count(100, 20)
    by = gold(replace(GOLD, passing=("partly",)))
    assert said(run(results={"fail": 100}), by=by).candidate == Count(100, 100)


def test_what_is_not_a_whole_run_says_whether_it_is_broken_and_counts_nothing() -> None:
    waiting, broken = said(run(40, 5)), said(run(0, 0, results={"pass": 99, "error": 1}))
    assert (waiting.errored, broken.errored) == (False, True)
    assert (waiting.at, broken.at, said().at) == (50.0, 50.0, 0.0)
    assert (broken.candidate, broken.stable) == (Count(0, 0), Count(0, 0))


def test_stable_that_was_not_evaluated_is_no_count_of_zero() -> None:
    by = gold(replace(GOLD, compared=True), floor=None, tolerance=Margin(1.0, 0.02))
    for theirs in ((), (run(5, 0, revision="v1"),)):
        found = said(run(), *theirs, by=by)
        assert (found.stable, "in stable" in found.why) == (Count(0, 0), False)
    unnamed = said(run(dataset=""), by=by)
    assert "stable (v1) has no results to compare with: run it there too" in unnamed.why


def test_a_policy_that_does_not_compare_asks_nothing_of_stable() -> None:
    found = said(run(), run(10, 90, revision="v1"))
    assert (found.verdict, found.stable) == (MetricVerdict.PASS, Count(0, 0))


# ---- in the judgement ----------------------------------------------------------------------------------


def judged(known: tuple[Run, ...], *, action: Action = Action.ROLLBACK, ledger: Ledger | None = None):
    made = plan(guardrail(), gold(on_breach=action))
    steps = [block(n, {"failures": {"": ((300, 0), (300, 30))}}) for n in range(20)]
    ledger = ledger or absorbed(made, steps)
    return made, assess(made, ledger, 1200.0, Requirements(), Runs("v2", "v1", known))


def test_nothing_is_promoted_before_the_evaluation_and_a_breach_has_its_consequence() -> None:
    _, waiting = judged(())
    assert waiting.verdict is Verdict.HOLD
    assert waiting.reason == "waiting for an evaluation: gold: no results of gold-incidents for v2 yet"
    _, errored = judged((run(0, 0, results={"error": 100}),))
    assert errored.verdict is Verdict.HOLD
    _, passed = judged((run(),))
    assert passed.verdict is Verdict.PROMOTE
    _, failed = judged((run(10, 90),))
    assert (failed.verdict, failed.action) == (Verdict.ROLLBACK, Action.ROLLBACK)
    assert failed.answered == {"gold": 50.0}
    line = next(one for one in failed.metrics if one.name == "gold")
    assert (line.verdict, line.candidate, line.compared) == (MetricVerdict.HARM, Count(100, 90), "evaluation")


def test_a_phase_that_asks_for_no_proof_still_waits_for_the_evaluation() -> None:
    made = plan(guardrail(), gold())
    ledger = absorbed(made, [block(0, {"failures": {"": ((1, 0), (9, 1))}})])
    asked = Requirements(proof=False)
    assert assess(made, ledger, 60.0, asked, Runs("v2", "v1", (run(),))).verdict is Verdict.PROMOTE
    assert assess(made, ledger, 60.0, asked, Runs("v2", "v1")).verdict is Verdict.HOLD


def test_an_intervention_answers_results_once_and_that_is_kept_in_the_ledger() -> None:
    _, first = judged((run(10, 90),), action=Action.LOWER_AUTONOMY)
    assert first.verdict is Verdict.INTERVENE
    fresh = first.grounds.ledger.forgiven(first.breached, 1200.0, first.answered)
    kept = Ledger.from_json(fresh.to_json())
    assert kept == fresh
    _, second = judged((run(10, 90),), action=Action.LOWER_AUTONOMY, ledger=kept)
    assert second.verdict is Verdict.HOLD
    _, again = judged((run(20, 80, at=1300.0),), action=Action.LOWER_AUTONOMY, ledger=kept)
    assert again.verdict is Verdict.INTERVENE


def test_an_evaluation_alone_can_be_the_whole_plan() -> None:
    made = plan(gold())
    ledger = Ledger.new(made, 0.0).absorb(made, block(0, {}), Autonomy.OBSERVE, Absolute())
    found = assess(made, ledger, 60.0, Requirements(), Runs("v2", "", (run(),)))
    assert found.verdict is Verdict.PROMOTE
    assert assess(made, ledger, 60.0, Requirements()).verdict is Verdict.HOLD


def test_runs_are_written_and_read_to_the_same_value() -> None:
    both = Runs("v2", "v1", (run(), run(revision="v1", score=3.5)))
    assert read(Runs, json.loads(json.dumps(written(both))), NAMES) == both


# ---- reading and keeping -----------------------------------------------------------------------------


def reported(
    counts, *, cases: float | None = 100, at: float = 100.0, **labels: str
) -> list[tuple[str, Series]]:
    own = {"release": "v2", "evaluator": "gold-incidents", "dataset": "2026-11", "instance": "a"} | labels
    made = [
        (offline.EVALUATIONS, Series(own | {"label": label}, (Sample(at - 1, 0), Sample(at, count))))
        for label, count in counts.items()
    ]
    if cases is not None:
        made.append((offline.CASES, Series(own, (Sample(at, cases),))))
    return made


def seen(*reports: list[tuple[str, Series]]) -> tuple[Run, ...]:
    series: dict[str, list[Series]] = {}
    for name, one in (pair for report in reports for pair in report):
        series.setdefault(name, []).append(one)
    key = ("shop", "support")
    found = Snapshot(110.0, 110.0, 0.0, {name: {key: tuple(made)} for name, made in series.items()})
    return runs.seen(found, "shop", "support", ["gold-incidents"])


def test_a_run_is_what_its_counters_say_in_all_and_not_what_they_grew_by() -> None:
    assert seen(reported({"pass": 95, "fail": 5})) == (run(at=110.0),)


def test_the_newest_target_counts_where_a_job_was_tried_again() -> None:
    old, new = reported({"pass": 20, "error": 3}), reported({"pass": 95, "fail": 5}, at=105.0, instance="b")
    assert seen(old, new) == (run(at=110.0),)


def scored(*sums: float, at: float = 100.0, **labels: str) -> list[tuple[str, Series]]:
    own = {"release": "v2", "evaluator": "gold-incidents", "dataset": "2026-11", "instance": "a"} | labels
    return [
        (offline.SCORE, Series(own | {"shard": f"{n}"}, (Sample(at, one),))) for n, one in enumerate(sums)
    ]


def test_the_newest_target_counts_also_where_it_has_fewer_results() -> None:
    old, new = reported({"pass": 95, "fail": 5}), reported({"pass": 20}, at=105.0, instance="b")
    (found,) = seen(old, new)
    assert (found.results, found.cases) == ({"pass": 20}, 100)


def test_scores_of_one_target_add_up_and_none_is_no_score_of_zero() -> None:
    (found,) = seen(reported({"pass": 100}), scored(40.0, 50.5, 0.0))
    assert found.score == 90.5
    assert [one.score for one in seen(reported({"pass": 100}), scored(0.0))] == [0.0]
    assert [one.score for one in seen(reported({"pass": 100}))] == [None]


def test_whatever_a_run_reports_fits_in_a_status() -> None:
    counts = {f"{n}{'-' * 90}": 1.0 for n in range(20)} | {"error": 1}
    (found,) = seen(reported(counts, dataset="d" * 300))
    (kept,) = runs.to_store([found])
    assert Evaluation.model_validate(kept.to_object()) == kept
    assert (len(kept.dataset), max(map(len, kept.results)), sum(kept.results.values())) == (63, 32, 21)


def test_runs_of_other_evaluators_are_not_read_and_labels_stay_few() -> None:
    assert seen(reported({"pass": 1}, evaluator="mine")) == ()
    (many,) = seen(reported({f"label-{n}": 1 for n in range(50)} | {"error": 2}, cases=52))
    assert len(many.results) <= runs.MAX_LABELS + 2
    assert sum(many.results.values()) == 52
    assert many.results["error"] == 2


def test_a_run_without_a_number_of_cases_is_read_and_does_not_pass() -> None:
    (found,) = seen(reported({"pass": 100}, cases=None))
    assert found.cases == 0
    assert said(found).verdict is MetricVerdict.COLLECTING


def test_results_stay_when_nobody_reports_them_any_more_and_change_when_somebody_does() -> None:
    kept = runs.merged([run()], [], ["v2", "v1"])
    assert kept == (run(),)
    assert runs.merged(kept, [run(at=99.0)], ["v2"]) == (run(),)  # the same results, seen again
    assert runs.merged(kept, [run(3, 0, at=99.0)], ["v2"]) == (run(3, 0, at=99.0),)  # a run that began anew
    assert runs.merged(kept, [], ["v3"]) == ()
    assert runs.stored(runs.to_store(kept)) == kept


def test_what_is_kept_is_bounded() -> None:
    many = [run(dataset=f"set-{n}", at=float(n)) for n in range(100)]
    kept = runs.merged([], many, ["v2"])
    assert len(kept) == MAX_EVALUATIONS
    assert {one.dataset for one in kept} == {f"set-{n}" for n in range(100 - MAX_EVALUATIONS, 100)}


def test_a_policy_with_an_evaluation_is_compiled_and_its_counters_are_read() -> None:
    spec = GuardrailPolicySpec.model_validate(
        {
            "metrics": [
                {
                    "name": "gold",
                    "class": "safety",
                    "offline": {"evaluator": "gold-incidents", "cases": 120, "measure": "score"},
                    "tolerance": {"absolute": 0.02},
                    "onBreach": "rollback",
                }
            ]
        }
    )
    _, made = compile_plan([spec], 1.0)
    assert made.offline[0].offline == Offline("gold-incidents", 120, by_score=True, compared=True)
    assert made.tested == made.events == ()
    assert blocks.metrics_read(spec) >= offline.READ
