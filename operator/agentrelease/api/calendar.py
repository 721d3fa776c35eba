"""When exposure may be raised: weekly windows and frozen dates."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from agentrelease.api.base import Model
from agentrelease.api.schema import rule, rules, unique


class Window(Model):
    """Hours in which exposure may be raised. Lowering is always allowed."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.from != self.to", "a window from and to the same time is never open", field=".to")
        )
    )

    days: list[Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]] = Field(
        min_length=1, max_length=7, json_schema_extra=unique()
    )
    """Weekdays. Example: `[Mon, Tue, Wed, Thu]`."""
    from_: str = Field(alias="from", max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    """The local time from which. Example: `"09:00"`."""
    to: str = Field(max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    """The local time until which; earlier than `from` means over midnight. Example: `"16:00"`."""
    time_zone: str = Field(
        default="UTC", max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"
    )
    """An IANA time zone. Example: `Europe/Zurich`."""


class FreezeDates(Model):
    """Dates on which nothing is raised, both included."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.first <= self.last", "a freeze ends before it begins", field=".last")
        )
    )

    first: str = Field(
        max_length=10, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={"format": "date"}
    )
    """The first date. Example: `"2026-12-20"`."""
    last: str = Field(
        max_length=10, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={"format": "date"}
    )
    """The last date. Example: `"2027-01-03"`."""
    time_zone: str = Field(
        default="UTC", max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"
    )
    """An IANA time zone. Example: `Europe/Zurich`."""
