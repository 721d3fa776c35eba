"""Whatever is written into a status, it fits; and what matters most is still there."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agentrelease.api.status import (
    Candidate,
    Condition,
    MetricStatus,
    PhaseOutlook,
    Refused,
    ReleaseStatus,
    Serving,
    Transition,
)
from agentrelease.core.fitting import MAX_BYTES, fitted, size_of

KIB = 1024
LONGEST = '€<&\x01"' * 52
SHA = "sha256:" + "a" * 64
TIME = "2026-11-23T06:50:25.123Z"


def full(text, history, refused, metrics, evidence, reference):
    serving = Serving(revision="r" * 63, digest=SHA, slot="blue", autonomy="observe", since=TIME)
    return ReleaseStatus(
        reason=text,
        stable=serving,
        previous=serving,
        candidate=Candidate(revision="c" * 63, digest=SHA, slot="green", reason=text),
        conditions=[Condition(type=f"C{i}", status="True", reason="R" * 63, message=text) for i in range(16)],
    ).model_copy(
        update={
            "history": [
                Transition(at=TIME, phase="p", revision="r", **{"from": LONGEST[:256]}, to="b", reason=text)
                for _ in range(history)
            ],
            "refused": [Refused(digest=SHA, revision="r" * 63, reason=text, at=TIME) for _ in range(refused)],
            "metrics": [
                MetricStatus(
                    name="m" * 63,
                    **{"class": "safety"},
                    stratum=LONGEST[:256],
                    verdict="pass",
                    why=text[:512],
                )
                for _ in range(metrics)
            ],
            "evidence": evidence,
            "reference": reference,
        }
    )


sizes = st.integers(0, 60)
texts = st.builds(
    lambda piece, times: (piece * times)[:1024], st.text(min_size=1, max_size=8), st.integers(0, 1024)
)
ledgers = st.builds(
    lambda piece, times: piece * times, st.sampled_from(['"', "1,", "\x01", "€"]), st.integers(0, 40_000)
)


@given(text=texts, history=sizes, refused=sizes, metrics=sizes, evidence=ledgers, reference=ledgers)
@settings(max_examples=300, deadline=None)
def test_a_status_always_fits_and_within_every_bound(text, history, refused, metrics, evidence, reference):
    status = full(text, history, refused, metrics, evidence, reference)
    made = fitted(status)
    assert size_of(made) < 64 * KIB
    assert ReleaseStatus.model_validate(made.to_object()) == made
    assert (made.stable, made.candidate, made.previous) == (status.stable, status.candidate, status.previous)
    kept = [refusal.digest for refusal in made.refused]
    assert kept == [refusal.digest for refusal in status.refused[-20:]]
    assert [c.type for c in made.conditions] == [c.type for c in status.conditions]
    assert fitted(made) == made


def test_the_largest_of_everything_fits():
    worst = full("\x01" * 1024, 60, 60, 60, "\x01" * 32_768, "\x01" * 16_384)
    assert size_of(fitted(worst)) < 64 * KIB


def test_a_status_that_fits_is_left_alone():
    status = full("all is well", 5, 2, 8, "1,2,3", "{}")
    assert size_of(status) < MAX_BYTES
    assert fitted(status) == status


def test_the_least_needed_goes_first_and_nothing_goes_without_need():
    status = full("x" * 1024, 30, 20, 48, "e" * 9000, "r" * 9000).model_copy(
        update={
            "decision_entry": "d" * 3000,
            "outlook": [PhaseOutlook(phase="shadow", warning="w" * 200)],
            "course": "c" * 3000,
        }
    )
    assert size_of(status) > 32 * KIB
    cuts = []
    while status.evidence:
        smaller = fitted(status, size_of(status) - 1)
        before, after = status.to_object(), smaller.to_object()
        cuts.append({name for name in before if before[name] != after.get(name)})
        status = smaller
    assert cuts == [
        {"decisionEntry"},
        {"outlook"},
        {"history"},
        {"history", "refused", "metrics", "conditions"},
        {"metrics"},
        {"history"},
        {"course"},
        {"reference"},
        {"evidence"},
    ]
    assert (len(status.history), len(status.refused)) == (3, 20)
    assert len(fitted(full("", 30, 0, 0, "", ""), 1).history) == 3


def test_a_text_that_is_cut_says_so_and_a_metric_that_does_not_pass_stays():
    status = full("x" * 200, 0, 2, 20, "e" * 100, "")
    bad = [one.model_copy(update={"verdict": "harm"}) for one in status.metrics[:13]]
    whole = [one.model_copy(update={"stratum": ""}) for one in status.metrics[13:15]]
    status = status.model_copy(update={"metrics": [*bad, *whole, *status.metrics[15:]]})
    small = fitted(status, 1)
    assert [one.reason for one in small.refused] == ["x" * 159 + "…"] * 2
    assert [one.verdict for one in small.metrics] == ["harm"] * 12
    some = fitted(status, size_of(status) - 1)
    assert len(some.metrics) == 20
    assert {one.why for one in some.metrics} == {"x" * 159 + "…"}
    fewer = fitted(some, size_of(some) - 1)
    assert (len(fewer.metrics), fewer.evidence) == (15, status.evidence)
    short = full("x" * 160, 1, 1, 1, "", "")
    assert fitted(short, 1).refused[0].reason == "x" * 160


def test_a_text_counts_as_the_api_server_writes_it():
    plain, escaped = (size_of(full(text, 1, 0, 0, "", "")) for text in ("aaaa", "a<>&"))
    assert escaped == plain + 19 * 3 * 5, "each sign becomes six bytes in each of its places"


def test_a_course_goes_with_a_ledger_that_does_not_fit():
    long = full("", 0, 0, 0, "x" * 80_000, "").model_copy(update={"course": "c"})
    assert (fitted(long).evidence, fitted(long).course) == ("", "")
    kept = full("", 0, 0, 0, "x" * 30_000, "").model_copy(update={"course": "c"})
    assert (fitted(kept).evidence, fitted(kept).course) == (kept.evidence, "c")


def test_the_ledger_is_given_up_last_and_never_in_part():
    ledger = "1234567890" * 3000
    status = full("x" * 1024, 30, 20, 48, ledger, "r" * 16_000)
    made = fitted(status)
    assert made.evidence == ledger
    assert len(made.history) == 3
    assert fitted(status.model_copy(update={"evidence": "x" * 40_000})).evidence == ""


def test_more_metrics_than_a_status_may_hold_are_cut_to_what_it_may_hold():
    (one,) = full("", 0, 0, 1, "", "").metrics
    short = one.model_copy(update={"stratum": ""})
    many = fitted(ReleaseStatus().model_copy(update={"metrics": [short] * 60}))
    assert ReleaseStatus.model_validate(many.to_object()) == many
    assert len(many.metrics) == 48
