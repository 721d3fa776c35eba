"""Values of the core survive JSON exactly, whatever is in them."""

from __future__ import annotations

import json
from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrelease.api.status import Refused, Serving
from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.assess import Requirements
from agentrelease.core.exposure import Cohort, Exposure
from agentrelease.core.notation import read, written
from agentrelease.core.record import NAMES
from agentrelease.core.recovery import Former
from agentrelease.core.situation import Live, Measured, SlotState

EXPOSURES = st.builds(
    Exposure,
    mirror=st.floats(0, 100),
    cohort=st.none() | st.builds(Cohort, st.text(), st.text()),
    weight=st.floats(0, 100),
    autonomy=st.sampled_from(Autonomy),
    tools=st.frozensets(st.text(), max_size=4),
)
LIVES = st.builds(
    Live,
    exposure=st.none() | EXPOSURES,
    flags=st.text(),
    halted=st.booleans(),
    lease_until=st.none() | st.integers(0, 2**40),
)


@given(LIVES)
def test_what_was_written_is_read_back_equal(live):
    assert read(Live, json.loads(json.dumps(written(live))), NAMES) == live


@given(st.frozensets(st.text(), min_size=2))
def test_sets_have_one_order(tools):
    assert written(Exposure(tools=tools))["tools"] == sorted(tools)


def test_numbers_that_json_lacks_are_words():
    assert written(Measured(weight=inf))["weight"] == "inf"
    assert read(Measured, written(Measured(weight=-inf)), NAMES).weight == -inf
    assert isnan(read(Measured, written(Measured(weight=nan)), NAMES).weight)


def test_a_field_that_an_older_record_lacks_takes_its_default():
    assert read(Measured, {"tasks": 3.0}, NAMES) == Measured(tasks=3.0)
    assert read(Requirements, {}, NAMES) == Requirements(), "also one that is made anew each time"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SlotState, {}),
        (Exposure, {"autonomy": "much"}),
        (Live, {"exposure": None, "halted": "no"}),
        (Live, 3),
    ],
)
def test_what_is_not_of_a_type_is_refused(kind, value):
    with pytest.raises(ValueError):
        read(kind, value, NAMES)


def recorded_types():
    """Every dataclass that a record is made of, found by the annotations."""
    from dataclasses import is_dataclass
    from typing import get_args, get_type_hints

    from agentrelease.core.guardrails import Plan
    from agentrelease.core.record import _SITUATION

    waiting, found = [Plan, Requirements, *_SITUATION.values()], set()
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if is_dataclass(kind) and kind not in found:
            found.add(kind)
            waiting += get_type_hints(kind, localns=dict(NAMES)).values()
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", recorded_types(), ids=lambda kind: kind.__name__)
def test_every_field_of_what_is_recorded_has_a_type_that_can_be_read(kind):
    from types import NoneType, UnionType
    from typing import Union, get_args, get_origin, get_type_hints

    for name, hint in get_type_hints(kind, localns=dict(NAMES)).items():
        if get_origin(hint) in (Union, UnionType):
            assert len([one for one in get_args(hint) if one is not NoneType]) == 1, name


def test_every_part_of_a_situation_is_text_or_truth_or_has_a_form():
    from dataclasses import fields

    from agentrelease.core.record import _SITUATION
    from agentrelease.core.situation import Situation

    plain = {field.name for field in fields(Situation) if field.type in ("str", "bool", "float", "int")}
    assert {field.name for field in fields(Situation)} == plain | set(_SITUATION) | {"release", "assessment"}


def test_what_a_release_was_is_read_back_with_the_models_in_it():
    serving = Serving(revision="r", digest="d", slot="blue", autonomy=Autonomy.OBSERVE, since="then")
    out = Refused(digest="e", revision="q", reason="it failed", at="then", times=2)
    for one in (Former(serving, "it served", (out,)), Former(None, "nobody knows")):
        assert read(Former, json.loads(json.dumps(written(one))), NAMES) == one
