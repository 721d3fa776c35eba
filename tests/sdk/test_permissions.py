"""What a grant lets a tool layer do."""

import pytest

from agentrelease.api.vocabulary import Autonomy
from agentrelease.sdk import LOWEST, Permissions

READ, WRITE, REFUND, OTHER = "kb.search", "tickets.comment", "payments.refund", "crm.erase"


def grant(level, allow=(READ, WRITE), ask=(REFUND,), halted=False):
    return Permissions(Autonomy(level), frozenset(allow), frozenset(ask), halted)


@pytest.mark.parametrize(
    ("level", "tool", "effect", "verdict"),
    [
        ("observe", READ, "read", "simulate"),
        ("observe", REFUND, "irreversible", "simulate"),
        ("suggestion-only", READ, "read", "suggest"),
        ("suggestion-only", REFUND, "irreversible", "suggest"),
        ("limited-action", READ, "read", "execute"),
        ("limited-action", WRITE, "write", "execute"),
        ("limited-action", REFUND, "irreversible", "ask"),
        ("limited-action", OTHER, "read", "block"),
        ("full-action", WRITE, "write", "execute"),
        ("full-action", REFUND, "irreversible", "ask"),
        ("full-action", OTHER, "write", "block"),
    ],
)
def test_a_level_and_the_tool_lists_decide_together(level, tool, effect, verdict):
    assert grant(level).may(tool, effect) == verdict


@pytest.mark.parametrize("effect", [None, "", "harmless", "READ"])
def test_a_tool_without_a_known_effect_counts_as_irreversible(effect):
    assert grant("limited-action", allow=(OTHER,)).may(OTHER, effect) == "ask"
    assert grant("full-action", allow=(OTHER,)).may(OTHER, effect) == "execute"


def test_a_tool_in_both_lists_is_asked_for():
    assert grant("full-action", allow=(REFUND,), ask=(REFUND,)).may(REFUND, "write") == "ask"


@pytest.mark.parametrize("level", list(Autonomy))
def test_halt_beats_every_level(level):
    assert grant(level, halted=True).may(READ, "read") == "block"


def test_the_code_alone_grants_nothing():
    assert Permissions(Autonomy.OBSERVE, frozenset(), frozenset(), halted=True) == LOWEST
