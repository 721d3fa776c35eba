"""Windows, freezes and approvals: what keeps a release from being raised, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.support.situations import HALF, NOW, standing
from tests.support.stage import AGENT, SPEC

from agentrelease.api.calendar import FreezeDates, Window
from agentrelease.core.gates import Consent, approval_missing, next_phase
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


def test_a_window_from_and_to_the_same_time_is_never_open() -> None:
    calendar = calendar_of([window(**{"from": "09:00", "to": "09:00"})], [])
    assert all(calendar.closed(at(f"2026-11-23T{hour:02}:00")) for hour in range(24))


# ---- approvals ---------------------------------------------------------------------------------------------

WANTED = {
    "phases": [
        phase | ({"approval": "required"} if phase["name"] == "all" else {}) for phase in SPEC["phases"]
    ]
}
"""Phases of which the one after `half` wants an approval."""


def consent(**changed: Any) -> Consent:
    digest = standing().desired.digest
    given = {
        "name": "yes", "release": AGENT, "digest": digest, "leaves": "half", "enters": "all",
        "approver": "ann@example.com", "expires": NOW + 60.0,
    }  # fmt: skip
    return Consent(**(given | changed))


def test_a_phase_that_wants_no_approval_waits_for_none_and_one_that_does_says_which() -> None:
    assert approval_missing(standing().release, [], NOW) == ""
    wants = standing(spec=WANTED).release
    assert approval_missing(wants, [], NOW) == "half → all needs an AgentApproval"
    assert not approval_missing(wants, [consent()], NOW)
    last = standing(phaseIndex=len(SPEC["phases"]) - 1, phaseName="full", granted=None, approvalAsked=True)
    assert approval_missing(last.release, [], NOW) == "", "there is no phase to enter"


def test_what_was_asked_for_by_a_breach_is_waited_for_where_no_phase_wants_it() -> None:
    asked = standing(approvalAsked=True).release
    assert approval_missing(asked, [], NOW) == "half → all needs an AgentApproval"
    assert not approval_missing(asked, [consent()], NOW)


@pytest.mark.parametrize("other", [{"release": "billing"}, {"enters": "half"}])
def test_consent_of_another_release_or_to_another_phase_is_passed_over(other: dict[str, Any]) -> None:
    wants = standing(spec=WANTED).release
    assert approval_missing(wants, [consent(**other)], NOW) == "half → all needs an AgentApproval"


def test_consent_ends_at_the_moment_that_it_names() -> None:
    wants = standing(spec=WANTED).release
    assert not approval_missing(wants, [consent(expires=NOW + 1.0)], NOW)
    assert "yes by ann@example.com expired at " in approval_missing(wants, [consent(expires=NOW)], NOW)


def test_a_phase_that_was_edited_to_expose_more_is_entered_once_more() -> None:
    def half(**edit: Any) -> list[dict[str, Any]]:
        return [phase | (edit if phase["name"] == "half" else {}) for phase in SPEC["phases"]]

    entered = standing().release
    assert next_phase(entered) == HALF + 1
    for edit, place in (({"weight": 70}, HALF), ({"weight": 20}, HALF + 1)):
        spec = standing(spec={"phases": half(**edit)}).release.spec
        assert next_phase(entered.model_copy(update={"spec": spec})) == place
