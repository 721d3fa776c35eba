"""A line of the decision log leaves as it was hashed, whatever the log hides in others."""

from __future__ import annotations

import io
import json

import pytest
from tests.support.logging import logging_to

from agentrelease.core.chain import Entry
from agentrelease.core.record import digest
from agentrelease.edges import logs, recorder


@pytest.fixture
def out():
    stream = io.StringIO()
    with logging_to(stream):
        yield stream


def entry(**content):
    whole = {"namespace": "shop", "release": "support", "id": "d-000001", "sequence": 1, "previous": ""}
    return Entry(whole | content, digest(whole | content))


def test_a_line_is_one_line_told_from_others_and_its_hash_is_that_of_its_content(out):
    told = entry(outcome={"reason": "line one\nline two → 3 %", "weight": 12.5})
    recorder.stream(told)
    (line,) = out.getvalue().splitlines()
    record = json.loads(line)
    assert (record["event"], record["release"], record["id"]) == (recorder.STREAM, "shop/support", "d-000001")
    assert record["hash"] == digest(record["entry"])


def test_words_that_look_like_credentials_are_hidden_beside_an_entry_but_never_inside(out):
    told = entry(max_tokens=512, outcome={"reason": "a basic classification agent"})
    recorder.stream(told)
    recorder.log.info("other", max_tokens=512, reason="a basic classification agent")
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert digest(first["entry"]) == told.hash
    assert second["max_tokens"] == logs.HIDDEN
