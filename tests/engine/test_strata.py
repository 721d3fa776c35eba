"""A stratum of high risk stays lower through a whole rollout, and after it."""

from __future__ import annotations

import json

import pytest
from tests.support.stage import SPEC, Behaviour, Stage

from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

HELD = [{"match": {"risk_tier": "high"}, "autonomy": "suggestion-only"}]
PHASES = [
    phase | ({"strata": HELD} if phase["autonomy"] in ("limited-action", "full-action") else {})
    for phase in SPEC["phases"]
]
SLOW = [phase | ({"minDuration": "10m"} if phase["name"] == "half" else {}) for phase in PHASES]
FLAGS = Ref(kinds.CONFIG_MAP, "shop", "support-flags")


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.install()
    await stage.apply("v1", phases=PHASES)
    await stage.run(60, until="Promoted")
    return stage


async def test_high_risk_stays_at_suggestions_while_all_else_rises(stage):
    revision = await stage.apply("v2", phases=PHASES)
    await stage.run(400, until="half")
    await stage.run(3)
    assert (stage.level(revision), stage.level(revision, "high")) == ("limited-action", "suggestion-only")
    assert stage.level(revision, "") is Autonomy.SUGGESTION_ONLY


async def test_a_promoted_revision_keeps_the_strata_of_the_last_phase(stage):
    revision = await stage.apply("v2", phases=PHASES)
    release = await stage.run(1500, until="Promoted")
    assert [dict(one.match) for one in release.status.stable.strata] == [{"risk_tier": "high"}]
    await stage.run(3)
    assert (stage.level(revision), stage.level(revision, "high")) == ("full-action", "suggestion-only")


async def test_agents_that_do_not_hold_a_stratum_down_stop_the_clock(stage):
    revision = await stage.apply("v2", phases=PHASES)
    await stage.run(400, until="half")
    stored = stage.cluster.objects[FLAGS]
    document = json.loads(stored["data"]["support.flagd.json"])
    assert "risk_tier" in json.dumps(document)
    level = stage.level
    stage.level = lambda revision, _tier="low": level(revision)  # agents that know no strata
    release = await stage.run(5)
    assert release.status.verdict == "NotMeasured"
    assert "for risk_tier=high, intended is suggestion-only" in release.status.reason
    assert revision == release.status.candidate.revision


@pytest.mark.parametrize("served", [False, True])
async def test_an_action_in_a_stratum_that_may_only_suggest_is_forbidden_although_the_rest_may_act(
    stage, served
):
    stable = (await stage.release()).status.stable.revision
    revision = await stage.apply("v2", phases=PHASES if served else SLOW)
    await stage.run(1500, until="Promoted" if served else "half")
    await stage.run(30)
    assert not (await stage.release()).status.refused
    stage.behaviours[revision] = Behaviour(oversteps=0.02)
    release = await stage.run(30, until="RolledBack")
    assert "forbidden-action" in release.status.refused[-1].reason
    assert release.status.stable.revision == stable


async def test_what_agents_do_until_they_take_up_a_lower_stratum_is_not_forbidden(stage):
    phases = [phase | {"strata": []} for phase in SLOW]
    revision = await stage.apply("v2", phases=phases)
    await stage.run(400, until="half")
    await stage.run(5)
    stage.behaviours[revision] = Behaviour(oversteps=0.02)
    await stage.run(5)
    await stage.apply("v2", phases=SLOW)
    await stage.run(SPEC["delivery"]["flags"]["leaseSeconds"] - 5)
    assert (await stage.release()).status.candidate.revision == revision
    release = await stage.run(60, until="RolledBack")
    assert "forbidden-action" in release.status.refused[-1].reason
