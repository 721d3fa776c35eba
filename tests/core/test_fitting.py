"""Whatever is written into a status, it fits; and what matters most is still there."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agentrelease.api.status import (
    Candidate,
    Condition,
    MetricStatus,
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


def test_the_ledger_is_given_up_last_and_never_in_part():
    ledger = "1234567890" * 3000
    status = full("x" * 1024, 30, 20, 48, ledger, "r" * 16_000)
    made = fitted(status)
    assert made.evidence == ledger
    assert len(made.history) == 3
    assert fitted(status.model_copy(update={"evidence": "x" * 40_000})).evidence == ""
