"""Manifests by the thousand: valid ones from the models' bounds, and the same with one thing wrong."""

from __future__ import annotations

import copy
import string
from typing import Any

from hypothesis import strategies as st

from agentrelease.api.vocabulary import API_VERSION, Action, Autonomy, Effect, MetricClass, OnDeadline

LEVELS = [level.value for level in Autonomy]
LOWER = string.ascii_lowercase + string.digits


def words(alphabet: str, longest: int, first: str = "") -> st.SearchStrategy[str]:
    edge = st.sampled_from(first or alphabet)
    return st.builds(str.__add__, edge, st.text(alphabet, max_size=longest - 1))


NAMES = st.builds(
    lambda first, middle, last: f"{first}{middle}{last}",
    st.sampled_from(LOWER),
    st.text(LOWER + "-", max_size=20),
    st.sampled_from(LOWER),
)
DIGESTS = st.integers(0, 2**256 - 1).map("sha256:{:064x}".format)
VERSIONS = st.one_of(
    st.integers(0, 9999).map("v{}".format), st.dates().map(str), st.sampled_from(["3.2.1", "1.0.0-rc1+x86"])
)
LAYER_NAMES = words(string.ascii_letters + string.digits + "._/-", 40, string.ascii_letters).filter(
    lambda name: not name.lower().endswith("latest")
)
DURATIONS = st.builds(lambda n, unit: f"{n}{unit}", st.integers(1, 999), st.sampled_from(["s", "m", "h"]))
PARAMETERS = st.dictionaries(
    words(string.ascii_letters + "_", 20, string.ascii_letters),
    st.one_of(
        st.booleans(),
        st.integers(-(2**53) + 1, 2**53 - 1),
        st.floats(-1e9, 1e9, allow_nan=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    ),
    max_size=6,
)


def listed(item: st.SearchStrategy[dict[str, Any]], least: int = 0, most: int = 4) -> st.SearchStrategy:
    return st.lists(item, min_size=least, max_size=most, unique_by=lambda entry: entry["name"])


@st.composite
def bundles(draw) -> dict[str, Any]:
    pinned = st.fixed_dictionaries({"name": LAYER_NAMES, "version": VERSIONS})
    texts = st.fixed_dictionaries({"name": LAYER_NAMES, "version": VERSIONS, "digest": DIGESTS})
    component = st.fixed_dictionaries({"version": VERSIONS}, optional={"digest": DIGESTS})
    connectors = draw(listed(pinned))
    through = {"connector": st.sampled_from([c["name"] for c in connectors])} if connectors else {}
    effects = {"effect": st.sampled_from([effect.value for effect in Effect])}
    return {
        "model": draw(
            st.fixed_dictionaries(
                {"name": LAYER_NAMES, "version": VERSIONS},
                optional={"parameters": PARAMETERS, "fallback": pinned},
            )
        ),
        "prompts": draw(listed(texts, 1)),
        "retrieval": draw(
            listed(st.fixed_dictionaries({"name": LAYER_NAMES, "snapshot": VERSIONS, "digest": DIGESTS}))
        ),
        "tools": draw(
            listed(
                st.fixed_dictionaries(
                    {"name": LAYER_NAMES, "schema": DIGESTS}, optional={**effects, **through}
                )
            )
        ),
        "connectors": connectors,
        "policies": draw(listed(texts)),
        **{layer: draw(component) for layer in ("routing", "postProcessing", "memory", "workflow")},
    }


@st.composite
def phases(draw, *, routed: bool) -> list[dict[str, Any]]:
    names = draw(st.lists(NAMES, min_size=1, max_size=8, unique=True))
    mirrors = draw(st.integers(0, (len(names) - 1) // 2)) if routed else 0
    cohorts = draw(st.integers(0, (len(names) - 1) // 2))
    levels = sorted(draw(st.lists(st.sampled_from(Autonomy), min_size=len(names), max_size=len(names))))
    shares = draw(st.lists(st.floats(0.01, 100), min_size=len(names), max_size=len(names)).map(sorted))
    made = []
    for place, name in enumerate(names):
        phase: dict[str, Any] = {"name": name, "autonomy": levels[place].value}
        if place < mirrors:
            phase |= {"mirror": shares[place], "autonomy": "observe"}
        elif place < mirrors + cohorts:
            known = {"header": "x-audience"} if routed else {"attribute": "audience"}
            phase["cohort"] = {by: {"name": name, "value": draw(NAMES)} for by, name in known.items()}
            phase["cohort"] |= draw(st.sampled_from([{}, {"evidence": "required"}, {"evidence": "optional"}]))
        else:
            phase["weight"] = 100 if place == len(names) - 1 else shares[place]
        phase |= draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "minSamples": st.integers(0, 10_000_000),
                    "minDuration": DURATIONS.map(lambda span: span.replace("h", "s")),
                    "approval": st.sampled_from(["none", "required"]),
                },
            )
        )
        if draw(st.booleans()):
            phase |= {
                "deadline": f"{draw(st.integers(1000, 99_999))}h",
                "onDeadline": draw(st.sampled_from([action.value for action in OnDeadline])),
            }
        made.append(phase)
    return made


@st.composite
def releases(draw) -> dict[str, Any]:
    slots = draw(st.lists(words(LOWER, 10), min_size=2, max_size=2, unique=True))
    services = draw(st.lists(NAMES, min_size=2, max_size=2, unique=True))
    reference = st.one_of(
        st.fixed_dictionaries({"policy": NAMES}), st.fixed_dictionaries({"clusterPolicy": NAMES})
    )
    routed, split = draw(st.booleans()), {}
    if routed or draw(st.booleans()):
        split["slots"] = {
            slot: {"service": service, "deployment": service}
            for slot, service in zip(slots, services, strict=True)
        }
    if routed:
        split["route"] = {draw(st.sampled_from(["httpRoute", "virtualService"])): draw(NAMES)}
    spec = {
        "bundle": draw(bundles()),
        "delivery": {
            **split,
            "flags": draw(
                st.fixed_dictionaries({"configMap": NAMES}, optional={"leaseSeconds": st.integers(5, 3600)})
            ),
        },
        "phases": draw(phases(routed=routed)),
        "guardrails": draw(st.lists(reference, min_size=1, max_size=8)),
        **draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "firstRelease": st.sampled_from(["promote", "phases"]),
                    "rollback": st.fixed_dictionaries({}, optional={"holdBudget": DURATIONS, "to": NAMES}),
                    "paused": st.booleans(),
                },
            )
        ),
    }
    return {"apiVersion": API_VERSION, "kind": "AgentRelease", "metadata": {"name": "x"}, "spec": spec}


LABELS = words(string.ascii_letters + "_", 12, string.ascii_letters).filter(
    lambda label: label not in ("agent", "namespace", "release")
)
METRIC_NAMES = words(string.ascii_letters + string.digits + "_:", 40, string.ascii_letters)
SELECTORS = st.fixed_dictionaries(
    {"metric": METRIC_NAMES},
    optional={"match": st.dictionaries(LABELS, st.text(max_size=20), max_size=3)},
)
SHARES = st.floats(0.001, 0.5)


@st.composite
def margins(draw) -> dict[str, Any]:
    relative, absolute = draw(st.floats(0.5, 4)), draw(st.floats(0, 0.4))
    beyond = {"relative": max(relative, 1.0) * 1.1, "absolute": absolute + draw(SHARES)}
    made = {"tolerance": {"relative": relative, "absolute": absolute}, "maxHarm": beyond}
    if draw(st.booleans()):
        made["maxHarmStratum"] = {"relative": beyond["relative"] * 2, "absolute": beyond["absolute"]}
    return made


@st.composite
def metrics(draw) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": draw(NAMES),
        "class": draw(st.sampled_from([c.value for c in MetricClass])),
        "onBreach": draw(st.sampled_from([action.value for action in Action])),
    }
    measure = draw(st.sampled_from(["good", "bad", "event", "latency", "cost", "offline"]))
    if measure in ("good", "bad"):
        made["ratio"] = {measure: draw(SELECTORS), "of": draw(SELECTORS)}
        if draw(st.booleans()):
            made["worseWhen"] = {"good": "lower", "bad": "higher"}[measure]
    elif measure == "latency":
        made["latency"] = {"histogram": draw(METRIC_NAMES), "slowerThan": draw(DURATIONS)}
    elif measure == "cost":
        made["cost"] = {"metric": draw(METRIC_NAMES), "of": draw(SELECTORS), "cap": draw(SHARES)}
    elif measure == "offline":
        run = {"evaluator": draw(NAMES), "cases": draw(st.integers(1, 10_000_000))}
        run |= draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "dataset": NAMES,
                    "passing": st.just(["pass", "good"]),
                    "measure": st.sampled_from(["passed", "score"]),
                },
            )
        )
        optional = {"ceiling": SHARES, "tolerance": st.fixed_dictionaries({"absolute": SHARES})}
        bounds = st.fixed_dictionaries({"floor": SHARES}, optional=optional)
        return made | {"offline": run} | draw(bounds)
    else:
        return made | {"event": draw(SELECTORS)}
    bounds = draw(st.fixed_dictionaries({}, optional={"ceiling": SHARES, "floor": SHARES}))
    if not bounds or draw(st.booleans()):
        made |= draw(margins())
    if draw(st.booleans()):
        made |= {"weight": draw(st.floats(0.001, 0.1)), "alpha": draw(st.floats(0.001, 0.2))}
    if measure in ("good", "bad", "latency") and draw(st.booleans()):
        made["pairs"] = draw(NAMES)
    levels = st.lists(st.sampled_from(LEVELS), unique=True, max_size=4)
    return made | bounds | draw(st.fixed_dictionaries({}, optional={"whenAutonomy": levels}))


@st.composite
def guardrail_policies(draw) -> dict[str, Any]:
    measured = draw(listed(metrics(), 1, 6))
    if all("weight" in metric for metric in measured if not {"event", "offline"} & metric.keys()):
        for metric in measured:
            metric.pop("weight", None)
    labels = draw(st.lists(LABELS, max_size=3, unique=True))
    spec: dict[str, Any] = {"metrics": measured}
    if labels:
        required = st.dictionaries(st.sampled_from(labels), st.text(max_size=10), min_size=1, max_size=3)
        spec["strata"] = {"labels": labels, "required": draw(st.lists(required, max_size=3))}
    spec |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "falseRollback": st.floats(0.001, 0.2),
                "unit": st.sampled_from(["task", "session"]),
                "staleAfter": st.integers(1, 60).map("{}s".format),
                "blindAfter": st.integers(1, 60).map("{}m".format),
            },
        )
    )
    kind = draw(st.sampled_from(["GuardrailPolicy", "ClusterGuardrailPolicy"]))
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "x"}, "spec": spec}


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        [
            "latest",
            "",
            "*",
            "1.x",
            "../etc",
            "{{ .Values }}",
            "x" * 5000,
            "sha256:",
            "\u202e",
            "-1h",
            "0s",
            "101",
        ]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.none(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


BATCH = 6
"""Broken manifests that are made of one valid one; drawing a valid one takes most of the time."""


@st.composite
def broken(draw, manifests: st.SearchStrategy[dict[str, Any]]) -> list[dict[str, Any]]:
    """One manifest, several times, with one to three places removed, replaced by junk, doubled, added to."""
    valid = draw(manifests)
    return [_broken(draw, copy.deepcopy(valid)) for _ in range(BATCH)]


def _broken(draw, made: dict[str, Any]) -> dict[str, Any]:
    for _ in range(draw(st.integers(1, 3))):
        if "spec" not in made:  # an earlier round took it away, and nothing is left to break
            break
        places = list(_places(made["spec"])) or [(made, "spec")]
        place, step = places[draw(st.integers(0, len(places) - 1))]
        how = draw(st.sampled_from(["remove", "replace", "replace", "double", "add"]))
        if how == "remove":
            del place[step]
        elif how == "double" and isinstance(place, list):
            place.append(copy.deepcopy(place[step]))
        elif how == "add" and isinstance(place, dict):
            place[draw(st.text(min_size=1, max_size=8))] = draw(JUNK)
        else:
            place[step] = draw(JUNK)
    return made


def _places(value: Any):
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in steps:
        yield value, step
        yield from _places(below)
