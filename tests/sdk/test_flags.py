"""Grants as an agent reads them, through every way in which the flags can go wrong."""

import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature import api
from openfeature.evaluation_context import EvaluationContext, clear_evaluation_context

from agentrelease.api.vocabulary import Autonomy
from agentrelease.sdk import LOWEST, FlagSource

CANDIDATE_TOOLS = {"kb.search", "tickets.comment"}


@pytest.fixture(autouse=True)
def quiet_provider(caplog):
    # The provider logs a traceback at every look at a broken file; these tests break it on purpose.
    caplog.set_level("CRITICAL", logger="openfeature")


def test_a_candidate_gets_its_level_and_its_tools(flag_file, read_flags):
    flag_file.write(flag_file.document())
    grant = read_flags().permissions("s1", risk_tier="low", workflow_class="billing")
    assert grant.autonomy is Autonomy.LIMITED_ACTION
    assert grant.allow == CANDIDATE_TOOLS
    assert grant.require_approval == {"payments.refund"}
    assert not grant.halted


def test_a_stratum_may_stay_lower(flag_file, read_flags):
    flag_file.write(flag_file.document())
    assert read_flags().permissions("s1", risk_tier="high").autonomy is Autonomy.SUGGESTION_ONLY


def test_a_release_that_the_document_does_not_name_observes_and_has_no_tools(flag_file, read_flags):
    flag_file.write(flag_file.document())
    for stranger in ("support-v8", "", "support-v", "SUPPORT-V6"):
        grant = read_flags(stranger).permissions("s1")
        assert (grant.autonomy, grant.allow) == (Autonomy.OBSERVE, frozenset())


def test_a_lease_ends_by_itself_and_only_for_the_candidate(flag_file, read_flags, eventually):
    lease = int(time.time()) + 2
    flag_file.write(flag_file.document(lease))
    candidate, stable = read_flags("support-v7"), read_flags("support-v6")
    eventually(lambda: candidate.permissions("s1").autonomy is Autonomy.OBSERVE)
    assert time.time() >= lease
    assert stable.permissions("s1").autonomy is Autonomy.FULL_ACTION


def test_a_caller_cannot_borrow_another_release_or_another_time(flag_file, read_flags):
    flag_file.write(flag_file.document(lease=time.time() - 1))
    lapsed = read_flags()
    api.set_evaluation_context(
        EvaluationContext("support-v6", {"release": "support-v6", "$flagd": {"timestamp": 0}})
    )
    try:
        grant = lapsed.permissions("support-v6", risk_tier="support-v6", workflow_class="support-v6")
    finally:
        clear_evaluation_context()
    assert grant.autonomy is Autonomy.OBSERVE
    assert "payments.refund" not in grant.allow


def test_halt_takes_everything_from_every_release(flag_file, read_flags, eventually):
    document = flag_file.document()
    flag_file.write(document)
    readers = [read_flags("support-v6"), read_flags("support-v7")]
    document["flags"]["support.halt"]["defaultVariant"] = "on"
    flag_file.write(document)
    eventually(lambda: all(flags.permissions("s1") == LOWEST for flags in readers))


def test_without_a_file_nothing_is_granted_until_it_comes(flag_file, read_flags, eventually):
    flags = read_flags()
    assert flags.permissions("s1") == LOWEST
    assert flags.age == float("inf")
    flag_file.write(flag_file.document())
    eventually(lambda: flags.permissions("s1").autonomy is Autonomy.LIMITED_ACTION)


BROKEN = {
    "empty": "",
    "truncated": '{"flags": {"support.autonomy-level": {"state": "ENA',
    "no object": "[]",
    "no flags": '{"flags": []}',
    "unknown key": '{"flags": {"x": {"state": "ENABLED", "variants": {"a": "b"}, "surprise": 1}}}',
    "binary": "\x00\x01\x02",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_keeps_the_last_grant_for_its_ttl_and_no_longer(
    text, flag_file, read_flags, eventually, clock
):
    flag_file.write(flag_file.document())
    flags = read_flags(ttl=60)
    before = flags.permissions("s1")
    flag_file.write_text(text)
    eventually(lambda: flags.age > 0)
    assert flags.permissions("s1") == before
    clock.now += 61
    assert flags.permissions("s1") == LOWEST
    flag_file.write(flag_file.document())
    eventually(lambda: flags.permissions("s1") == before)


def test_a_deleted_file_keeps_the_last_grant_for_its_ttl_and_no_longer(
    flag_file, read_flags, eventually, clock
):
    flag_file.write(flag_file.document())
    flags = read_flags(ttl=60)
    before = flags.permissions("s1")
    flag_file.delete()
    eventually(lambda: flags.age > 0)
    assert flags.permissions("s1") == before
    clock.now += 61
    assert flags.permissions("s1") == LOWEST


def test_the_lease_ends_a_grant_whose_file_is_gone(flag_file, read_flags, eventually):
    lease = int(time.time()) + 2
    flag_file.write(flag_file.document(lease))
    flags = read_flags(ttl=3600)
    flag_file.delete()
    eventually(lambda: flags.permissions("s1").autonomy is Autonomy.OBSERVE)
    assert time.time() >= lease


def test_a_document_without_flags_grants_nothing(flag_file, read_flags, eventually):
    flag_file.write(flag_file.document())
    flags = read_flags()
    flag_file.write({"flags": {}})
    eventually(lambda: flags.permissions("s1") == LOWEST)


def test_a_disabled_flag_falls_to_what_the_code_grants(flag_file, read_flags):
    for key, expected in {
        "support.autonomy-level": (Autonomy.OBSERVE, CANDIDATE_TOOLS, False),
        "support.tool-policy": (Autonomy.LIMITED_ACTION, set(), False),
        "support.halt": (Autonomy.OBSERVE, set(), True),
    }.items():
        document = flag_file.document()
        document["flags"][key]["state"] = "DISABLED"
        flag_file.write(document)
        grant = read_flags().permissions("s1")
        assert (grant.autonomy, grant.allow, grant.halted) == expected


@pytest.mark.parametrize(
    ("key", "variants"),
    [
        ("support.autonomy-level", {"x": "omnipotent"}),
        ("support.autonomy-level", {"x": 3}),
        ("support.halt", {"x": "false"}),
        ("support.halt", {"x": 0}),
        ("support.tool-policy", {"x": {"allow": "payments.refund"}}),
        ("support.tool-policy", {"x": ["payments.refund"]}),
        ("support.tool-policy", {"x": "payments.refund"}),
    ],
)
def test_a_value_of_the_wrong_kind_grants_nothing_more(key, variants, flag_file, read_flags):
    document = flag_file.document()
    document["flags"][key] = {"state": "ENABLED", "variants": variants, "defaultVariant": "x"}
    flag_file.write(document)
    assert read_flags("support-v6").permissions("s1").may("payments.refund", "read") in ("simulate", "block")


def test_a_revocation_is_seen_though_the_clock_was_set_back(flag_file, read_flags, eventually):
    document = flag_file.document()
    flag_file.write(document)
    flags = read_flags()
    flags.permissions("s1")
    document["flags"]["support.halt"]["defaultVariant"] = "on"
    flag_file.write(document)
    os.utime(flag_file.target, (1, 1))
    eventually(lambda: flags.permissions("s1") == LOWEST)


def test_a_broken_file_from_the_past_does_not_take_a_grant_before_its_ttl(
    flag_file, read_flags, eventually, clock
):
    flag_file.write(flag_file.document())
    flags = read_flags(ttl=60)
    before = flags.permissions("s1")
    flag_file.write_text("{")
    os.utime(flag_file.target, (1, 1))
    eventually(lambda: flags.age > 0)
    assert flags.permissions("s1") == before
    clock.now += 61
    assert flags.permissions("s1") == LOWEST
    flag_file.write(flag_file.document())
    eventually(lambda: flags.permissions("s1") == before)


def test_a_level_of_one_write_never_meets_the_tools_of_another(flag_file, read_flags):
    few, many = flag_file.document(), flag_file.document()
    few["flags"]["support.tool-policy"]["targeting"] = None
    many["metadata"]["version"] = "43"
    many["flags"]["support.autonomy-level"]["targeting"] = None
    stop = threading.Event()

    def rewrite():
        while not stop.is_set():
            for document in (few, many):
                flag_file.write(document)

    flag_file.write(few)
    flags = read_flags("support-v6")
    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = set()
    try:
        for _ in range(3000):
            grant = flags.permissions("s1")
            seen.add((grant.autonomy, bool(grant.allow)))
    finally:
        stop.set()
        writer.join()
    assert (Autonomy.FULL_ACTION, True) not in seen


def test_closed_flags_grant_nothing(flag_file, read_flags):
    flag_file.write(flag_file.document())
    flags = read_flags()
    flags.close()
    assert flags.permissions("s1") == LOWEST


ANYTHING = st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["high", "low", "support-v6"]))
CONTEXTS = st.fixed_dictionaries({"risk_tier": ANYTHING, "workflow_class": ANYTHING, "cohort": ANYTHING})


def test_no_context_gets_more_than_the_document_grants(flag_file, read_flags):
    flag_file.write(flag_file.document())
    flags = read_flags()

    @settings(max_examples=200, deadline=None)
    @given(session=st.text(max_size=20), context=CONTEXTS)
    def any_context(session, context):
        grant = flags.permissions(session, **context)
        assert grant.autonomy <= Autonomy.LIMITED_ACTION
        assert grant.allow <= CANDIDATE_TOOLS

    any_context()


def test_where_the_flags_are_comes_from_the_environment():
    assert FlagSource.from_env({}) == FlagSource(path=None, ttl=60.0, poll=0.2)
    env = {"FLAGD_OFFLINE_FLAG_SOURCE_PATH": "/flags/x.flagd.json", "AGENTRELEASE_FLAGS_TTL": "5"}
    assert FlagSource.from_env(env) == FlagSource(path="/flags/x.flagd.json", ttl=5.0, poll=0.2)
    with pytest.raises(ValueError, match="soon"):
        FlagSource.from_env({"AGENTRELEASE_FLAGS_TTL": "soon"})
