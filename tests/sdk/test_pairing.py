"""The joiner: each copy is counted exactly once, as what was said of it or as unmatched."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from tests.sdk.conftest import Clock

from agentrelease.core import pairs
from agentrelease.sdk import AgentMetrics, Identity
from agentrelease.sdk.pairing import JUDGED, OUTCOMES, UNMATCHED, Joiner, PairReporter, Told
from agentrelease.sdk.pairing.joiner import MAX_REVISIONS

STRATUM = ("billing", "high", "external")
GOOD, BAD = dict.fromkeys(OUTCOMES, False), dict.fromkeys(OUTCOMES, True)
COUNTER = "agentrelease_shadow_pairs_total"


def word(request="r1", bad=GOOD, *, copy=False, release=None, stratum=STRATUM):
    return Told(request, release or ("v2" if copy else "v1"), copy, stratum, bad)


def counts(page, metric="completion", **labels):
    """Outcome → count of one metric, zeros left out."""
    found = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            wanted = {"metric": metric, **labels}
            if sample.name == COUNTER and wanted.items() <= sample.labels.items() and sample.value:
                outcome = sample.labels["outcome"]
                found[outcome] = found.get(outcome, 0) + sample.value
    return found


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def joiner(clock):
    return Joiner(window=60.0, clock=clock)


def test_the_words_are_the_ones_that_the_operator_reads():
    assert (JUDGED, UNMATCHED) == (pairs.JUDGED, pairs.UNMATCHED)
    assert COUNTER == pairs.PAIRS


@pytest.mark.parametrize("copy_first", [True, False])
@pytest.mark.parametrize(
    ("candidate", "stable", "outcome"),
    [
        (GOOD, GOOD, "both_good"),
        (BAD, BAD, "both_bad"),
        (BAD, GOOD, "candidate_only_bad"),
        (GOOD, BAD, "stable_only_bad"),
    ],
)
def test_two_judgements_of_one_request_are_a_pair_whoever_speaks_first(
    joiner, candidate, stable, outcome, copy_first
):
    both = [word(bad=candidate, copy=True), word(bad=stable)]
    for told in both if copy_first else reversed(both):
        joiner.hear("support", told)
    labels = {"agent": "support", "release": "v2", "stable": "v1", "risk_tier": "high"}
    assert counts(joiner.render(), **labels) == {outcome: 1}
    assert all(counts(joiner.render(), name) == {outcome: 1} for name in OUTCOMES)


def test_every_series_of_two_revisions_is_there_at_zero_before_their_first_pair(joiner):
    joiner.hear("support", word("r0"))
    joiner.hear("support", word("r1", None, copy=True))
    samples = [
        sample
        for family in text_string_to_metric_families(joiner.render().decode())
        for sample in family.samples
        if sample.name == COUNTER
    ]
    assert len(samples) == len(OUTCOMES) * len(JUDGED + UNMATCHED) * 2 * 2 * 2
    assert {sample.value for sample in samples} == {0.0}


def test_a_copy_that_was_taken_up_and_never_judged_is_missed(joiner, clock):
    joiner.hear("support", word(bad=None, copy=True))
    joiner.hear("support", word())
    clock.now += 59
    assert counts(joiner.render()) == {}
    clock.now += 2
    assert counts(joiner.render()) == {"candidate_missing": 1}


def test_a_judged_copy_of_which_stable_never_spoke_is_unmatched(joiner, clock):
    joiner.hear("support", word("before"))
    joiner.hear("support", word(copy=True))
    clock.now += 61
    assert counts(joiner.render()) == {"stable_missing": 1}


def test_a_request_that_nobody_copied_counts_as_nothing(joiner, clock):
    joiner.hear("support", word())
    clock.now += 61
    assert counts(joiner.render()) == {}


def test_what_one_side_does_not_judge_by_is_unmatched_and_not_good(joiner):
    joiner.hear("support", word(bad={"completion": False}, copy=True))
    joiner.hear("support", word())
    assert counts(joiner.render()) == {"both_good": 1}
    assert counts(joiner.render(), "violation") == {"candidate_missing": 1}


def test_a_request_is_joined_within_its_agent_only(joiner, clock):
    joiner.hear("support", word("other"))
    joiner.hear("sales", word())
    joiner.hear("support", word(bad=BAD, copy=True))
    clock.now += 61
    assert counts(joiner.render()) == {"stable_missing": 1}


def test_a_word_said_again_or_late_changes_nothing(joiner, clock):
    for _ in range(3):
        joiner.hear("support", word(bad=BAD, copy=True))
        joiner.hear("support", word())
    joiner.hear("support", word(bad=GOOD, copy=True))
    clock.now += 61
    assert counts(joiner.render()) == {"candidate_only_bad": 1}


def test_a_copy_to_the_same_revision_compares_nothing(joiner, clock):
    joiner.hear("support", word(copy=True, release="v1"))
    joiner.hear("support", word())
    clock.now += 61
    assert counts(joiner.render()) == {}


def test_when_there_is_no_room_the_oldest_are_given_up_and_counted(clock):
    joiner = Joiner(capacity=10, clock=clock)
    joiner.hear("support", word("live"))
    for number in range(30):
        joiner.hear("support", word(f"r{number}", None, copy=True))
    assert counts(joiner.render()) == {"candidate_missing": 20}


def test_revisions_without_number_do_not_fill_the_page(joiner):
    for number in range(3 * MAX_REVISIONS):
        joiner.hear("support", word(f"a{number}"))
        joiner.hear("support", word(f"a{number}", copy=True, release=f"c{number}"))
    page = joiner.render()
    series = len(OUTCOMES) * len(JUDGED + UNMATCHED) * 8
    assert page.count(COUNTER.encode() + b"{") == MAX_REVISIONS * series
    assert counts(page, release=f"c{3 * MAX_REVISIONS - 1}") == {"both_good": 1}


def test_an_undeclared_stratum_goes_where_the_careful_one_is(joiner):
    joiner.hear("support", word())
    joiner.hear("support", word(copy=True, stratum=("x" * 100, "unknown", "")))
    assert counts(joiner.render(), risk_tier="high", workflow_class="general") == {"both_good": 1}


said = st.tuples(
    st.integers(0, 4), st.booleans(), st.sampled_from([None, GOOD, BAD]), st.sampled_from([0, 1, 30])
)


@given(st.lists(said, max_size=40))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_every_copy_counts_once_in_whatever_order_words_come(words):
    clock = Clock()
    joiner = Joiner(window=1000.0, clock=clock)
    joiner.hear("support", word("first"))
    copied = set()
    for request, copy, bad, later in words:
        clock.now += later / 10
        if bad is None and not copy:
            continue
        joiner.hear("support", word(str(request), bad, copy=copy))
        copied |= {request} if copy else set()
    clock.now += 1001
    for metric in OUTCOMES:
        assert sum(counts(joiner.render(), metric).values()) == len(copied)


# ---- the process and the agent's side ------------------------------------------------------------------


@pytest.fixture
def served(tmp_path):
    with (tmp_path / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "agentrelease.sdk.pairing"],
            env={"PYTHONPATH": ":".join(sys.path), "HOST": "127.0.0.1", "PORT": "0"},
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    port = json.loads(process.stdout.readline())["port"]
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    assert process.wait(timeout=20) == 0
    process.stdout.close()
    assert (tmp_path / "errors").read_text() == ""


def metrics_of(release, url):
    reporter = PairReporter(url, "support", release, pause=0.01)
    identity = Identity("support", release, "sha256:" + "0" * 64)
    return AgentMetrics(identity, pairing=reporter), reporter


def test_tasks_of_two_agents_become_pairs_in_a_joiner_of_its_own(served):
    stable, first = metrics_of("v1", served)
    candidate, second = metrics_of("v2", served)
    for number in range(40):
        with stable.task(*STRATUM, request=f"r{number}") as task:
            task.completed()
        with candidate.task(*STRATUM, request=f"r{number}", mirrored=True) as task:
            if number % 4:
                task.completed()
            if number % 10 == 0:
                task.violation("high", "policy")
    with candidate.task(*STRATUM, mirrored=True) as task:
        task.completed()  # nobody gave it an id: nothing to join
    first.close()
    second.close()
    page = httpx.get(f"{served}/metrics", trust_env=False).content
    assert counts(page) == {"both_good": 30, "candidate_only_bad": 10}
    assert counts(page, "violation") == {"both_good": 36, "candidate_only_bad": 4}
    assert first.dropped == second.dropped == 0


WORD = {"request": "r1", "copy": True, "stratum": list(STRATUM), "bad": {"completion": True}}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{", "body"),
        ({"release": "v2", "told": []}, "agent"),
        ({"agent": "Support!", "release": "v2", "told": []}, "agent"),
        ({"agent": "support", "release": "v2", "told": [WORD | {"request": "x" * 129}]}, "told.0.request"),
        ({"agent": "support", "release": "v2", "told": [WORD | {"stratum": ["a"]}]}, "told.0.stratum"),
        ({"agent": "support", "release": "v2", "told": [WORD | {"bad": {"completion": "no"}}]}, "told.0.bad"),
        ({"agent": "support", "release": "v2", "told": [WORD] * 1001}, "told"),
    ],
)
def test_what_is_no_report_is_refused_by_field(served, body, field):
    text = body if isinstance(body, str) else json.dumps(body)
    answer = httpx.post(f"{served}/outcomes", content=text, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(field)


def test_a_body_without_end_is_refused(served):
    assert httpx.post(f"{served}/outcomes", content=b"x" * 2_000_000, trust_env=False).status_code == 413


@pytest.mark.parametrize(
    ("name", "value"), [("WINDOW", "0"), ("CAPACITY", "many"), ("OUTCOMES", " , "), ("WINDOW", "-3")]
)
def test_an_environment_that_makes_no_sense_is_told_and_ends_it(name, value):
    ended = subprocess.run(
        [sys.executable, "-m", "agentrelease.sdk.pairing"],
        env={"PYTHONPATH": ":".join(sys.path), f"AGENTRELEASE_PAIRING_{name}": value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("pairing: bad environment: ")


def test_a_joiner_that_is_away_costs_words_and_no_task():
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        metrics, reporter = metrics_of("v2", f"http://127.0.0.1:{taken.getsockname()[1]}")
        for number in range(10):
            with metrics.task(*STRATUM, request=str(number), mirrored=True) as task:
                task.completed()
        reporter.close()
    assert reporter.dropped == 20
    assert b'outcome="completed"' in metrics.render()


def test_words_that_find_no_room_are_dropped_and_nobody_waits():
    held, entered = threading.Event(), threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self):
            entered.set()
            held.wait(30)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Nobody reads it."""

    server = HTTPServer(("127.0.0.1", 0), Slow)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    reporter = PairReporter(
        f"http://127.0.0.1:{server.server_port}", "support", "v2", pause=0.01, timeout=30, capacity=5
    )
    reporter.began("r0", STRATUM)
    assert entered.wait(30)
    for number in range(12):
        reporter.began(f"r{number}", STRATUM)
    assert reporter.dropped == 7
    held.set()
    reporter.close()
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.mark.parametrize("url", ["joiner:8090", "ftp://joiner", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(ValueError, match="is no http or https address"):
        PairReporter(url, "support", "v2")


def test_every_label_of_the_page_is_declared(joiner):
    names = {
        key
        for stratum in product(("billing", "x"), ("low", "high", "y"), ("internal", "z"))
        for key in [joiner._bound(word(stratum=stratum))]
    }
    assert names <= set(product(("billing", "general"), ("low", "high"), ("internal", "external")))
