"""Windows, freezes and approvals: what keeps a release from being raised, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agentrelease.api.calendar import FreezeDates, Window
from agentrelease.engine.calendars import calendar_of

ZURICH = ZoneInfo("Europe/Zurich")


def at(text: str, zone: ZoneInfo = ZURICH) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def window(**fields: Any) -> Window:
    given = {
        "days": ["Mon", "Tue", "Wed", "Thu"],
        "from": "09:00",
        "to": "16:00",
        "timeZone": "Europe/Zurich",
    }
    return Window.model_validate(given | fields)


def test_without_windows_it_is_always_open() -> None:
    assert calendar_of([], []).closed(at("2026-11-22T03:00")) == ""


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-23T09:00", True),  # a Monday
        ("2026-11-23T08:59", False),
        ("2026-11-23T15:59", True),
        ("2026-11-23T16:00", False),
        ("2026-11-27T12:00", False),  # a Friday
    ],
)
def test_a_window_opens_at_its_first_minute_and_closes_at_its_last(moment: str, is_open: bool) -> None:
    assert (calendar_of([window()], []).closed(at(moment)) == "") is is_open


def test_a_window_follows_the_local_clock_through_a_change_of_daylight_saving_time() -> None:
    calendar = calendar_of([window(days=["Sun", "Mon"])], [])
    # Switzerland left summer time on 2026-10-25: nine o'clock local is 7:00 UTC before and 8:00 UTC after
    before = datetime(2026, 10, 19, 7, 0, tzinfo=UTC).timestamp()
    after = datetime(2026, 10, 26, 7, 0, tzinfo=UTC).timestamp()
    assert calendar.closed(before) == ""
    assert calendar.closed(after) != ""
    assert calendar.closed(after + 3600) == ""


def test_a_window_over_midnight_belongs_to_the_day_it_began_on() -> None:
    calendar = calendar_of([window(days=["Thu"], **{"from": "22:00", "to": "02:00"})], [])
    assert calendar.closed(at("2026-11-26T23:00")) == ""  # Thursday night
    assert calendar.closed(at("2026-11-27T01:59")) == ""  # still that night
    assert calendar.closed(at("2026-11-27T23:00")) != ""  # Friday night
    assert calendar.closed(at("2026-11-26T01:00")) != ""  # Wednesday night


def test_a_freeze_closes_both_its_dates_in_its_own_zone_whatever_the_windows_say() -> None:
    freeze = FreezeDates.model_validate(
        {"first": "2026-12-20", "last": "2027-01-03", "timeZone": "Asia/Tokyo"}
    )
    calendar = calendar_of([], [freeze])
    tokyo = ZoneInfo("Asia/Tokyo")
    assert calendar.closed(at("2026-12-19T23:59", tokyo)) == ""
    assert "2026-12-20" in calendar.closed(at("2026-12-20T00:00", tokyo))
    assert calendar.closed(at("2027-01-03T23:59", tokyo)) != ""
    assert calendar.closed(at("2027-01-04T00:00", tokyo)) == ""


def test_a_zone_that_nobody_knows_keeps_the_gate_closed_and_is_named() -> None:
    assert "Europe/Atlantis" in calendar_of([window(timeZone="Europe/Atlantis")], []).closed(0.0)


def test_any_of_several_windows_opens_and_a_closed_one_says_so() -> None:
    both = calendar_of([window(), window(days=["Sat"], **{"from": "22:00", "to": "02:00"})], [])
    assert both.closed(at("2026-11-23T10:00")) == ""
    assert both.closed(at("2026-11-28T22:00")) == "", "its first minute, at night"
    assert both.closed(at("2026-11-29T02:00")) == "outside the release windows"
    assert both.closed(at("2026-11-29T01:59")) == ""
