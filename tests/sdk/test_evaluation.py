"""The page of an evaluation: what the results file says, and never more cases than somebody else declared."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentrelease.core import offline
from agentrelease.sdk.evaluation import Results

ENV = {
    "AGENT_NAME": "support",
    "AGENT_RELEASE": "support-3f9a0c11de",
    "EVALUATOR": "gold-incidents",
    "DATASET": "2026-11",
    "CASES": "120",
}


def case(label, **more):
    return json.dumps({"label": label, **more})


@pytest.mark.parametrize(
    ("line", "label"),
    [
        (case("pass"), "pass"),
        (case("fail", score=0.0), "fail"),
        (case("partly"), "partly"),
        (case(""), "error"),
        (case(3), "error"),
        (case("pass", score=7), "error"),
        (case("pass", score="nan"), "error"),
        ("{}", "error"),
        ("[]", "error"),
        ("Traceback (most recent call last):", "error"),
    ],
)
def test_a_line_is_one_case_and_one_that_cannot_be_read_is_an_error(line, label):
    found = Results.of([line]).labels
    assert found == {"pass": 0, "fail": 0, "error": 0} | {label: 1}


def test_a_score_is_there_only_when_every_case_has_one():
    assert Results.of([case("pass", score=1), "", case("fail", score=0.25)]).score == 1.25
    assert Results.of([case("pass", score=1), case("fail")]).score is None
    assert Results.of([]).score is None


def run(*arguments, **env):
    return subprocess.Popen(
        [sys.executable, "-m", "agentrelease.sdk.evaluation", *arguments],
        env={"PYTHONPATH": ":".join(sys.path), **ENV, "PORT": "0", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def served(tmp_path):
    """Start the process on a file and give its page; it is ended when the page was read."""

    def start(text: str | None):
        path = tmp_path / "results.jsonl"
        if text is not None:
            path.write_text(text)
        process = run("--results", str(path), "--serve", "600")
        port = json.loads(process.stdout.readline())["port"]
        page = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        process.terminate()
        process.communicate(timeout=30)
        samples = [s for family in text_string_to_metric_families(page) for s in family.samples]
        return {(s.name, s.labels.get("label", "")): s for s in samples}

    return start


def test_the_page_has_what_the_operator_reads(served):
    page = served("\n".join([case("pass", score=0.9)] * 100 + [case("fail", score=0.1)] * 20))
    assert page[offline.EVALUATIONS, "pass"].value == 100
    assert page[offline.EVALUATIONS, "fail"].value == 20
    assert page[offline.EVALUATIONS, "error"].value == 0
    assert page[offline.CASES, ""].value == 120
    assert page[offline.SCORE, ""].value == pytest.approx(92)
    labels = {"agent", "release", "evaluator", "dataset"}
    assert all(set(sample.labels) - {"label"} == labels for sample in page.values())


def test_a_run_that_left_nothing_or_half_is_no_whole_run(served):
    assert served(None)[offline.CASES, ""].value == 120
    half = served("\n".join([case("pass")] * 60))
    assert (half[offline.EVALUATIONS, "pass"].value, half[offline.CASES, ""].value) == (60, 120)


def test_an_end_comes_by_itself_and_says_nothing_about_the_results(tmp_path):
    (tmp_path / "r").write_text(case("fail"))
    process = run("--results", str(tmp_path / "r"), "--serve", "0")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(("name", "value"), [("AGENT_RELEASE", ""), ("CASES", "many"), ("DATASET", "")])
def test_an_environment_that_names_nothing_is_told(tmp_path, name, value):
    process = run("--results", str(tmp_path / "r"), "--serve", "0", **{name: value})
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith("evaluation: set ")
    assert name in errors
