"""The flag document: written and read by us, and answered alike by two evaluators that aren't ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from tests.support.flag_documents import FAR, NOW, javascript, paths, placements, put, support

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import Exposure, Permission, Stratum
from agentrelease.core.strata import permission
from agentrelease.edges.flags.document import (
    FlagSet,
    Grant,
    Unreadable,
    build,
    flag_set,
    halts,
    kept_halt,
    parse,
    text,
    version_of,
)
from agentrelease.engine.levers import Arm, Placement

HERE = Path(__file__).parent
GOLDEN = HERE / "support.flagd.golden.json"

Answer = tuple[str, list[str], list[str], str, bool]


def contexts(placement: Placement) -> list[dict[str, Any]]:
    """Everybody who may ask: both revisions, strangers, and callers who try to move the clock."""
    known = [arm.revision for arm in (placement.stable, placement.candidate) if arm]
    spoofs: list[dict[str, Any]] = [
        {"$flagd": {"timestamp": 1, "flagKey": "x"}},
        {"$flagd.timestamp": 1, "timestamp": 1},
    ]
    asked: list[dict[str, Any]] = [{"release": name} for name in known]
    asked += [{"release": name} | spoof for name in known for spoof in spoofs]
    asked += [{"release": name} | told for name in known for told in _TOLD]
    asked += [{"release": [name]} for name in known] + [{"release": f"{name}x"} for name in known]
    return [*asked, {}, {"release": None}, {"release": 0}, {"release": True}, {"release": {}}]


def expected(found: FlagSet, context: dict[str, Any]) -> Answer:
    release = context.get("release")
    grant = found.grant(release) if isinstance(release, str) else Grant("")
    model = grant.model
    if grant.lease_until is not None and grant.lease_until <= NOW:
        grant = Grant(grant.revision)
    said = {name: value for name, value in context.items() if isinstance(value, str)}
    may = permission(grant.strata, grant.rest, said)
    return str(may.autonomy), sorted(may.tools), sorted(may.asking), model, found.halted


def asked_python(document: str, agent: str, context: dict[str, Any]) -> Answer:
    core = FlagdCore()
    core.set_flags(document)
    ctx = EvaluationContext("session", context)
    policy = core.resolve_object_value(f"{agent}.tool-policy", {}, ctx).value
    return (
        core.resolve_string_value(f"{agent}.autonomy-level", "code default", ctx).value,
        policy["allow"],
        policy["requireApproval"],
        core.resolve_string_value(f"{agent}.model", "code default", ctx).value,
        core.resolve_boolean_value(f"{agent}.halt", True, ctx).value,
    )


@settings(deadline=None)
@given(placements(), st.integers(0, 2**50))
def test_what_is_built_is_read_back(placement: Placement, version: int) -> None:
    document = build(placement, version)
    assert parse(json.loads(text(document)), placement.agent) == flag_set(placement, version)
    assert version_of(document) == version


@settings(deadline=None)
@given(placements())
def test_only_keys_that_every_evaluator_knows_are_written(placement: Placement) -> None:
    document = build(placement, 1)
    assert document.keys() == {"metadata", "flags"}
    assert all(isinstance(value, str) for value in document["metadata"].values())
    for flag in document["flags"].values():
        assert flag.keys() <= {"state", "variants", "defaultVariant", "targeting", "metadata"}
        assert flag["defaultVariant"] in flag["variants"]
        assert len({type(value) for value in flag["variants"].values()}) == 1


@settings(deadline=None)
@given(placements())
def test_the_python_evaluator_gives_the_answers_that_we_read(placement: Placement) -> None:
    document = text(build(placement, 7))
    found = parse(json.loads(document), placement.agent)
    for context in contexts(placement):
        assert asked_python(document, placement.agent, context) == expected(found, context), context


@settings(deadline=None)
@given(placements(), st.data())
def test_a_changed_document_is_never_read_as_ours_unless_it_says_so_in_full(
    placement: Placement, data: st.DataObject
) -> None:
    document = json.loads(text(build(placement, 3)))
    path = data.draw(st.sampled_from(list(paths(document))))
    value = data.draw(st.sampled_from([None, True, 1, 0, "on", "full", "observe", [], {}, 2.5]))
    put(document, path, value)
    try:
        found = parse(document, placement.agent)
    except Unreadable:
        return
    assert json.loads(text(found.document())) == document


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        "",
        {"flags": {}},
        {"flags": {"support.halt": {}}},
        build(support(), 1) | {"$evaluators": {}},
        build(support(), 1) | {"metadata": {"version": "1"}},
    ],
)
def test_what_we_did_not_write_is_a_problem(document: object) -> None:
    with pytest.raises(Unreadable):
        parse(document, "support")


def test_another_agents_document_is_a_problem() -> None:
    with pytest.raises(Unreadable):
        parse(build(support(), 1), "billing")


def test_a_number_that_only_equals_a_boolean_is_a_problem() -> None:
    document = build(support(), 1)
    document["flags"]["support.halt"]["variants"] = {"on": 1, "off": 0}
    with pytest.raises(Unreadable):
        parse(document, "support")


def test_a_persons_halt_is_read_and_told_from_the_operators() -> None:
    document = build(support(), 1)
    assert (halts(document, "support"), kept_halt(document, "support")) == (False, "")
    document["flags"]["support.halt"]["defaultVariant"] = "on"
    assert (halts(document, "support"), kept_halt(document, "support")) == (True, "person")
    assert parse(document, "support").halted
    ours = FlagSet("support", 1, halted=True, halted_by="operator").document()
    assert (halts(ours, "support"), kept_halt(ours, "support")) == (True, "")


def test_a_short_document_with_nothing_but_the_kill_switch_is_a_halt() -> None:
    short = {
        "flags": {"support.halt": {"state": "ENABLED", "defaultVariant": "on", "variants": {"on": True}}}
    }
    assert kept_halt(short, "support") == "person"
    assert kept_halt(short, "billing") == ""


@pytest.mark.parametrize("by_hand", [{"state": "DISABLED"}, {"targeting": {"if": [True, "on", "off"]}}])
def test_a_switch_that_a_person_made_in_another_way_is_a_halt_too(by_hand: dict[str, Any]) -> None:
    document = build(support(), 1)
    document["flags"]["support.halt"] |= by_hand
    assert kept_halt(document, "support") == "person"


@pytest.mark.parametrize("silent", [{}, {"risk_tier": None}, {"risk_tier": ""}, {"risk_tier": ["low"]}])
def test_a_request_that_does_not_say_its_risk_gets_the_lowest_level(silent: dict[str, Any]) -> None:
    arm = _arm("c", None)
    document = text(build(replace(support(), candidate=arm), 1))
    assert asked_python(document, "support", {"release": "c"} | silent)[0] == "observe"
    said = {"release": "c", "risk_tier": "low", "workflow_class": "billing"}
    assert asked_python(document, "support", said)[0] == "limited-action"


def test_the_document_is_the_golden_one() -> None:
    assert text(build(support(), 42)) == GOLDEN.read_text()


def test_flagds_own_schema_accepts_every_document_and_its_javascript_agrees_on_every_answer() -> None:
    table = [
        Placement(
            "ns", agent, None, "flags", stable, candidate, ("blue", "green"), halted=agent.endswith("9")
        )
        for agent in ("support", "a-9")
        for stable in (None, _arm("stable", None), _arm("stable", NOW - FAR))
        for candidate in (
            None,
            *(_arm(name, lease) for name in ("c", "null", '{"var":"x"}') for lease in _LEASES),
        )
    ]
    cases = [_case(placement) for placement in table]
    answers = javascript(cases)
    for placement, answer in zip(table, answers, strict=True):
        assert answer["valid"], answer
        found, agent = flag_set(placement, 5), placement.agent
        for context, values in zip(contexts(placement), answer["answers"], strict=True):
            policy = values[f"{agent}.tool-policy"]
            told = (
                values[f"{agent}.autonomy-level"],
                policy["allow"],
                policy["requireApproval"],
                values[f"{agent}.model"],
                values[f"{agent}.halt"],
            )
            assert told == expected(found, context), (placement, context)


def test_the_schema_check_can_say_no() -> None:
    document = build(support(), 1)
    document["flags"]["support.tool-policy"]["variants"]["deny-all"] = []
    case = {"document": text(document), "keys": {}, "contexts": []}
    assert [answer["valid"] for answer in javascript([case])] == [False]


_SAID: tuple[Any, ...] = ("high", "low", "High", "billing", "", "0", "null", None, 0, 5, True, False)
_SAID = (*_SAID, ["high"], ["low"], {}, {"low": "low"})
_TOLD: list[dict[str, Any]] = [{"risk_tier": one, "workflow_class": "general"} for one in _SAID]
_TOLD += [{"risk_tier": "high", "workflow_class": one} for one in _SAID]
_TOLD += [{name: value} for name in ("risk_tier", "workflow_class") for value in ("high", "low", "billing")]
_LEASES = (None, NOW - FAR, NOW + FAR)


def _arm(revision: str, lease: int | None) -> Arm:
    held = (
        Stratum((("risk_tier", "high"), ("workflow_class", "billing")), Permission()),
        Stratum((("risk_tier", "high"),), Permission(Autonomy.SUGGESTION_ONLY, frozenset({"kb.search"}))),
    )
    exposure = Exposure(
        autonomy=Autonomy.LIMITED_ACTION, tools=frozenset({"kb.search", "ticket.comment"}), strata=held
    )
    asking, model = frozenset({"payments.refund"}), "provider/model-w@2026-07-02"
    return Arm(revision, "a-service", exposure, asking, lease, model if lease else "")


def _case(placement: Placement) -> dict[str, Any]:
    agent = placement.agent
    keys = {
        f"{agent}.autonomy-level": ["string", "code default"],
        f"{agent}.tool-policy": ["object", {}],
        f"{agent}.model": ["string", "code default"],
        f"{agent}.halt": ["boolean", True],
    }
    return {"document": text(build(placement, 5)), "keys": keys, "contexts": contexts(placement)}
