"""No document is written that flagd would refuse: our schema is at least as strict as flagd's own."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.support.flag_documents import javascript, paths, placements, put, splitting, support
from tests.support.memory_cluster import MemoryCluster

from agentrelease.core.exposure import Cohort
from agentrelease.edges.flags.configmap import ConfigMapFlags
from agentrelease.edges.flags.document import FlagSet, build, parse, text
from agentrelease.edges.flags.schema import problem
from agentrelease.edges.kinds import CONFIG_MAP
from agentrelease.engine.ports import Ref, Refused

if TYPE_CHECKING:
    from agentrelease.engine.levers import Placement

KEY = "support.flagd.json"
REF = Ref(CONFIG_MAP, "support", "support-flags")
BATCH = 80
WRONG: list[Any] = [None, True, 0, 1, -1, 2.5, 2**53, "", "on", "stable", "candidate", "observe", [], {}]
WRONG += [{"var": ""}, {"var": "$flagd.x"}, {"var": "a"}, {"if": [True, "on"]}, {"fractional": []}, ["a"]]
WRONG += [{"cat": []}, {"===": [1, 2, 3]}, {"!": [1, 2]}, {"a": 1, "b": 2}, {"or": [1]}]
WRONG += [{"fractional": [["stable", 1], ["candidate", 2]]}, {"fractional": [{"var": "a"}, ["stable", 1]]}]


@settings(deadline=None)
@given(placements(), st.integers(0, 2**50))
def test_every_document_that_we_build_is_valid(placement: Placement, version: int) -> None:
    assert problem(build(placement, version)) == ""


def test_what_ours_accepts_flagds_own_accepts_too() -> None:
    """Documents with one or two places changed: a few hundred that pass ours, and all pass flagd's."""
    accepted: dict[str, None] = {}
    refused = 0

    @settings(
        deadline=None,
        database=None,
        derandomize=True,
        max_examples=15 * BATCH,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(placements(), st.data())
    def mutate(placement: Placement, data: st.DataObject) -> None:
        nonlocal refused
        document = json.loads(text(build(placement, 3)))
        for _ in range(data.draw(st.integers(1, 2))):
            path = data.draw(st.sampled_from(list(paths(document))))
            put(document, path, deepcopy(data.draw(st.sampled_from(WRONG) | st.text(max_size=3))))
            if not isinstance(document.get("flags"), dict):
                break
        if problem(document):
            refused += 1
        else:
            accepted[json.dumps(document)] = None

    mutate()
    assert len(accepted) > BATCH
    assert refused > BATCH
    verdicts = javascript([{"document": one, "keys": {}, "contexts": []} for one in accepted])
    wrong = [one for one, said in zip(accepted, verdicts, strict=True) if not said["valid"]]
    assert wrong == []


BROKEN: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "a sixth key": (("flags", "support.halt", "source"), "x", "not a key that every evaluator knows"),
    "shared evaluators": (("$evaluators",), {}, "'$evaluators' is not a key"),
    "an array as a variant": (("flags", "support.tool-policy", "variants", "deny-all"), [], "several types"),
    "a number as a variant": (("flags", "support.halt", "variants"), {"off": 0}, "not a boolean, a text or"),
    "no variants": (("flags", "support.halt", "variants"), {}, "there is none"),
    "a default that is none": (("flags", "support.halt", "defaultVariant"), "maybe", "not a variant"),
    "another state": (("flags", "support.halt", "state"), "HALTED", "neither ENABLED nor DISABLED"),
    "nested metadata": (("metadata", "version"), {"n": 1}, "metadata.version: not a text"),
    "half a weight": (("flags", "support.release", "targeting"), 0.5, "a whole number, not 0.5"),
    "a negative weight": (("flags", "support.release", "targeting"), -1, "a whole number, not -1"),
    "too much weight": (("flags", "support.release", "targeting"), 2**31, "is not between 1 and 2147483647"),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_is_named(case: tuple[tuple[Any, ...], Any, str]) -> None:
    path, value, said = case
    document = deepcopy(build(splitting(5, Cohort("audience", "internal", attribute=True)), 1))
    if path[-1] == "targeting":
        (share,) = [at for at in paths(document) if at[-3:] == ("fractional", 1, 1)]
        put(document, share, value)
    else:
        put(document, path, value)
    assert said in problem(document)


def test_a_rule_may_only_come_to_a_variant() -> None:
    document = build(support(), 1)
    document["flags"]["support.autonomy-level"]["targeting"]["if"][1] = "everything"
    assert "'everything' is not a variant" in problem(document)
    document["flags"]["support.autonomy-level"]["targeting"]["if"][1] = {"cat": ["full"]}
    assert "cat doesn't come to a variant" in problem(document)


def test_nesting_has_an_end() -> None:
    rule: Any = None
    for _ in range(5000):
        rule = {"if": [True, rule, None]}
    document = build(support(), 1)
    document["flags"]["support.halt"]["targeting"] = rule
    assert "nested too deeply" in problem(document)


# ---- before every write ----------------------------------------------------------------------------

BAD = 2**60
"""The end of a lease that not every evaluator can hold."""


async def stored(cluster: MemoryCluster) -> dict[str, Any]:
    obj = await cluster.get(REF)
    assert obj is not None
    found: dict[str, Any] = json.loads(obj["data"][KEY])
    return found


async def test_a_raise_that_flagd_would_refuse_is_not_written_and_says_why() -> None:
    cluster = MemoryCluster()
    lever = ConfigMapFlags(cluster)
    await lever.read(support())
    await lever.raise_(support(), 1)
    before = await stored(cluster)
    assert support().candidate is not None
    bad = replace(support(), candidate=replace(support().candidate, lease_until=BAD))
    await lever.read(bad)
    with pytest.raises(Refused, match="flagd would refuse the flags that were asked for"):
        await lever.raise_(bad, 1)
    assert await stored(cluster) == before
    said = await lever.confirm(bad)
    assert said is None or "flagd would refuse" in said


async def test_a_lowering_that_flagd_would_refuse_ends_at_the_lowest_document() -> None:
    cluster = MemoryCluster()
    lever = ConfigMapFlags(cluster)
    await lever.read(support())
    await lever.raise_(support(), 1)
    obj = await cluster.get(REF)
    assert obj is not None
    document = json.loads(obj["data"][KEY])
    document["flags"]["support.halt"]["defaultVariant"] = "on"
    await cluster.replace(obj | {"data": {KEY: json.dumps(document)}})
    assert support().candidate is not None
    await lever.lower(replace(support(), candidate=replace(support().candidate, lease_until=BAD)))
    found = parse(await stored(cluster), "support")
    assert (found.stable, found.candidate, found.halted) == (None, None, True)
    assert found.version == 2


@settings(deadline=None)
@given(placements())
def test_the_lowest_document_is_always_valid(placement: Placement) -> None:
    for splits in (False, True):
        for halted in (False, True):
            assert problem(FlagSet(placement.agent, 1, halted=halted, splits=splits).document()) == ""
