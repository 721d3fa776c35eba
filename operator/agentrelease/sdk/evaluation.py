"""``python -m agentrelease.sdk.evaluation``: show the results of an evaluation to Prometheus.

Reads one JSON object a line, ``{"label": "pass" | "fail" | …, "score": 0.0 to 1.0}`` for each case, from
``--results`` and serves, for ``--serve`` seconds, what the operator reads::

    agentrelease_evaluations_total{agent, release, evaluator, dataset, label}
    agentrelease_evaluation_cases{agent, release, evaluator, dataset}
    agentrelease_evaluation_score_total{agent, release, evaluator, dataset}    where every case has a score

The number of cases comes from whoever knows the set, never from the results: a run that lost half of its
cases must look like half a run. A line that can't be read, or has no label, is a case that ended in an error.
Exit codes of evaluation tools are not asked; some end with 0 when every case failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

ERROR = "error"
_LABELS = ("agent", "release", "evaluator", "dataset")
_ALWAYS = ("pass", "fail", ERROR)


@dataclass(frozen=True, slots=True)
class Results:
    """Cases by label, and the sum of their scores; ``None`` where a case has none."""

    labels: Mapping[str, int]
    score: float | None

    @classmethod
    def of(cls, lines: Iterable[str]) -> Results:
        """Count the lines of a results file; empty ones are none."""
        counted: Counter[str] = Counter(dict.fromkeys(_ALWAYS, 0))
        score, scored = 0.0, True
        for line in lines:
            if not line.strip():
                continue
            label, points = _case(line)
            counted[label] += 1
            scored = scored and points is not None
            score += points or 0.0
        return cls(dict(counted), score if scored and counted.total() else None)


class Page(Collector):
    """The page of one run; ``who`` is agent, release, evaluator and dataset, ``cases`` how many there are."""

    def __init__(self, who: tuple[str, str, str, str], cases: int, results: Results) -> None:
        self._who, self._cases, self._results = who, cases, results

    def collect(self) -> Iterator[Metric]:
        judged = CounterMetricFamily(
            "agentrelease_evaluations", "Cases of an evaluation by result", labels=(*_LABELS, "label")
        )
        for label, count in sorted(self._results.labels.items()):
            judged.add_metric((*self._who, label), count)
        yield judged
        cases = GaugeMetricFamily(
            "agentrelease_evaluation_cases", "Cases that the whole run has", labels=_LABELS
        )
        cases.add_metric(self._who, self._cases)
        yield cases
        if self._results.score is not None:
            score = CounterMetricFamily(
                "agentrelease_evaluation_score", "Sum of the scores of its cases", labels=_LABELS
            )
            score.add_metric(self._who, self._results.score)
            yield score


def _case(line: str) -> tuple[str, float | None]:
    """Return a case's label and score; what can't be read ended in an error."""
    try:
        case = json.loads(line)
        label, score = case["label"], case.get("score")
        if not isinstance(label, str) or not label:
            return ERROR, None
        if score is None:
            return label, None
        points = float(score)
    except (ValueError, TypeError, KeyError, AttributeError):
        return ERROR, None
    return (label, points) if 0.0 <= points <= 1.0 else (ERROR, None)


def main(arguments: list[str] | None = None) -> int:
    """Serve, whatever the results say, and return 0; 2 for an environment that names nothing."""
    parser = argparse.ArgumentParser(prog="agentrelease.sdk.evaluation")
    parser.add_argument("--results", type=Path, required=True, help="one JSON object a line, one line a case")
    parser.add_argument("--serve", type=float, required=True, help="seconds; longer than two scrapes apart")
    given, env = parser.parse_args(arguments), os.environ
    names = ("AGENT_NAME", "AGENT_RELEASE", "EVALUATOR", "DATASET", "CASES")
    missing = [name for name in names if not env.get(name)]
    if missing or not env["CASES"].isdecimal():
        sys.stderr.write(f"evaluation: set {', '.join(missing) or 'CASES to a whole number'}\n")
        return 2
    try:
        lines = given.results.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:  # a run that left nothing behind is an empty one, and holds
        sys.stderr.write(f"evaluation: no results: {error}\n")
        lines = []
    registry = CollectorRegistry(auto_describe=False)
    who = env["AGENT_NAME"], env["AGENT_RELEASE"], env["EVALUATOR"], env["DATASET"]
    registry.register(Page(who, int(env["CASES"]), Results.of(lines)))
    _serve(generate_latest(registry), env.get("HOST", "127.0.0.1"), int(env.get("PORT", "8091")), given.serve)
    return 0


def _serve(page: bytes, host: str, port: int, seconds: float) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer((host, port), Handler)
    sys.stdout.write(json.dumps({"event": "serving", "port": server.server_port}) + "\n")
    sys.stdout.flush()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    time.sleep(seconds)
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    sys.exit(main())
