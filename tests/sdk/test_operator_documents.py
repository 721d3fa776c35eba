"""The documents that the operator writes, as an agent understands them."""

import time

import pytest

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.strata import Permission, Stratum
from agentrelease.edges.flags.document import FlagSet, Grant
from agentrelease.sdk import LOWEST, Permissions

READ, WRITE, REFUND = "kb.search", "tickets.comment", "payments.refund"
STABLE = Grant("support-aaaaaaaaaa", Autonomy.FULL_ACTION, frozenset({READ, WRITE, REFUND}))


def candidate(level, lease=None, allow=(READ,), asking=()):
    until = int(lease or time.time() + 3600)
    return Grant("support-bbbbbbbbbb", level, frozenset(allow), frozenset(asking), until)


@pytest.mark.parametrize("level", list(Autonomy))
def test_each_revision_gets_what_was_written_for_it(level, flag_file, read_flags):
    granted = candidate(level, allow=(READ, WRITE), asking=(REFUND,))
    flag_file.write(FlagSet("support", 7, STABLE, granted).document())
    for grant in (STABLE, granted):
        found = read_flags(grant.revision).permissions("s1", risk_tier="high", workflow_class="billing")
        assert found == Permissions(grant.autonomy, grant.allow, grant.asking, halted=False)


def test_a_revision_that_nobody_wrote_for_gets_nothing(flag_file, read_flags):
    flag_file.write(FlagSet("support", 7, STABLE, None).document())
    for stranger in ("support-bbbbbbbbbb", "support", ""):
        found = read_flags(stranger).permissions("s1")
        assert (found.autonomy, found.allow, found.require_approval) == (
            Autonomy.OBSERVE,
            frozenset(),
            frozenset(),
        )


def test_a_lapsed_lease_takes_level_and_tools_together(flag_file, read_flags):
    lapsed = candidate(Autonomy.LIMITED_ACTION, lease=time.time() - 1, allow=(READ, WRITE), asking=(REFUND,))
    flag_file.write(FlagSet("support", 7, STABLE, lapsed).document())
    found = read_flags(lapsed.revision).permissions("s1")
    assert found == Permissions(Autonomy.OBSERVE, frozenset(), frozenset(), halted=False)
    assert read_flags(STABLE.revision).permissions("s1").autonomy is Autonomy.FULL_ACTION


def test_a_session_that_does_not_say_its_risk_gets_the_lowest_level_of_all(flag_file, read_flags):
    held = Stratum((("risk_tier", "high"),), Permission(Autonomy.SUGGESTION_ONLY, frozenset({READ})))
    granted = Grant("support-bbbbbbbbbb", Autonomy.FULL_ACTION, frozenset({READ, WRITE}), strata=(held,))
    flag_file.write(FlagSet("support", 7, STABLE, granted).document())
    flags = read_flags(granted.revision)
    low = flags.permissions("s1", risk_tier="low")
    assert (low.autonomy, low.allow) == (Autonomy.FULL_ACTION, {READ, WRITE})
    for found in (flags.permissions("s1"), flags.permissions("s1", risk_tier="high")):
        assert (found.autonomy, found.allow) == (Autonomy.SUGGESTION_ONLY, {READ})


def test_a_fallback_model_outlives_the_lease(flag_file, read_flags):
    fallen = Grant(
        "support-bbbbbbbbbb", Autonomy.FULL_ACTION, lease_until=int(time.time()) - 1, model="provider/w@2026"
    )
    flag_file.write(FlagSet("support", 7, STABLE, fallen).document())
    found = read_flags(fallen.revision).permissions("s1")
    assert (found.autonomy, found.model) == (Autonomy.OBSERVE, "provider/w@2026")
    assert read_flags(STABLE.revision).permissions("s1").model == ""


def test_the_kill_switch_stops_every_revision(flag_file, read_flags):
    written = FlagSet("support", 8, STABLE, candidate(Autonomy.FULL_ACTION), halted=True, halted_by="person")
    flag_file.write(written.document())
    assert read_flags(STABLE.revision).permissions("s1") == LOWEST
    assert read_flags("support-bbbbbbbbbb").permissions("s1") == LOWEST


def test_from_lease_to_lease_the_level_never_drops_and_after_the_last_it_does(
    flag_file, read_flags, eventually
):
    """Renewal rewrites the file while the agent reads it; no read may see less, or more."""
    lease, version = int(time.time()) + 2, 1
    flags = None
    seen = set()
    while version <= 40:
        written = FlagSet("support", version, STABLE, candidate(Autonomy.LIMITED_ACTION, lease + 2))
        flag_file.write(written.document())
        lease, version = int(time.time()) + 2, version + 1
        flags = flags or read_flags("support-bbbbbbbbbb")
        seen |= {flags.permissions("s1").autonomy for _ in range(50)}
    assert seen == {Autonomy.LIMITED_ACTION}
    eventually(lambda: flags.permissions("s1").autonomy is Autonomy.OBSERVE)
