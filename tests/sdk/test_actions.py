"""The log that compensations read."""

from datetime import UTC, datetime

from agentrelease.sdk import ActionLog
from agentrelease.sdk.actions import LONGEST_PAGE

MOMENT = datetime(2026, 11, 23, 7, 0, 0, 123456, tzinfo=UTC)


def filled(count, **options):
    log = ActionLog("support-v7", now=lambda: MOMENT, **options)
    for number in range(count):
        log.append("payments.refund", "irreversible", "s1", {"amount": number})
    return log


def test_a_record_names_the_effect_without_its_arguments():
    record = filled(1).page()["actions"][0]
    assert (
        record.items()
        >= {
            "tool": "payments.refund",
            "effect": "irreversible",
            "session": "s1",
            "release": "support-v7",
            "disposition": "executed",
            "at": "2026-11-23T07:00:00.123Z",
        }.items()
    )
    assert record["arguments"].startswith("sha256:")
    assert "amount" not in str(record)


def test_a_tool_without_a_known_effect_is_logged_as_irreversible():
    log = ActionLog("support-v7")
    assert log.append("crm.erase", None, "s1", {}).effect == "irreversible"


def test_reading_page_by_page_gets_each_effect_once_and_in_order():
    log, cursor, seen = filled(25), 0, []
    while page := log.page(cursor, limit=10)["actions"]:
        seen += [record["seq"] for record in page]
        cursor = page[-1]["seq"]
    assert seen == list(range(1, 26))


def test_keys_are_unique_across_logs():
    keys = [r["id"] for log in (filled(50), filled(50)) for r in log.page()["actions"]]
    assert len(set(keys)) == 100


def test_the_same_arguments_have_the_same_digest_whatever_their_order():
    log = ActionLog("support-v7")
    first = log.append("t", "write", "s", {"a": 1, "b": 2})
    second = log.append("t", "write", "s", {"b": 2, "a": 1})
    assert first.arguments == second.arguments != log.append("t", "write", "s", {"a": 2}).arguments


def test_a_reader_who_came_too_late_can_tell():
    page = filled(15, capacity=10).page(since=2)
    assert page["first"] == 6
    assert [r["seq"] for r in page["actions"]] == list(range(6, 16))


def test_an_empty_page_keeps_the_cursor():
    log = filled(3)
    assert log.page(since=3) == {"log": log.id, "first": 1, "next": 3, "actions": []}
    assert log.page(since=99)["next"] == 3
    assert filled(0).page()["next"] == 0


def test_a_page_is_never_longer_than_the_contract_says():
    assert len(filled(LONGEST_PAGE + 5).page(limit=10**6)["actions"]) == LONGEST_PAGE


def test_long_texts_are_cut_so_that_no_record_breaks_the_contract():
    record = ActionLog("support-v7").append("t" * 500, "write", "s" * 500, {})
    assert (len(record.tool), len(record.session)) == (128, 256)
