"""A cookie as a regular expression on the whole ``cookie`` header, and back.

A route has no word for a cookie; Gateway API and Istio have regular expressions on headers. Ours is plain
enough for RE2, Go and PCRE alike, and it is anchored, because some gateways search where others match
the whole value.
"""

from __future__ import annotations

import re

from agentrelease.core.exposure import Cohort

HEADER = "cookie"

_BEFORE, _AFTER = r"^(.*; ?)?", r"(;.*)?$"


def expression(cohort: Cohort) -> str:
    """Return the expression that finds exactly this cookie among others."""
    return f"{_BEFORE}{re.escape(cohort.name)}={re.escape(cohort.value)}{_AFTER}"


def cohort_of(text: str) -> Cohort | None:
    """Return the cohort that an expression of ours asks for; ``None`` for any other expression."""
    if not (text.startswith(_BEFORE) and text.endswith(_AFTER)):
        return None
    name, _, value = text[len(_BEFORE) : -len(_AFTER)].partition("=")
    found = Cohort(_plain(name), _plain(value), cookie=True)
    return found if expression(found) == text else None


def _plain(escaped: str) -> str:
    return re.sub(r"\\(.)", r"\1", escaped)
