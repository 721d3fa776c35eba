"""The watch after promotion: the same bundle, a provider that changed its model, and what becomes of it."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.stage import AGENT, NAMESPACE, POLICY, Behaviour, Stage

from agentrelease.api.vocabulary import REVISION_ANNOTATION, Autonomy
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease

RELEASE = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)

GOOD, BAD = Behaviour(completion=0.92, violations=0.01), Behaviour(completion=0.92, violations=0.2)


def with_ceiling() -> dict[str, Any]:
    policy = deepcopy(POLICY)
    for metric in policy["metrics"]:
        if metric["name"] == "policy-violations":
            metric["ceiling"] = 0.05
    return policy


async def promoted(**spec: Any) -> tuple[Stage, str, str]:
    stage = Stage(seed=7)
    await stage.install()
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2", GOOD, **spec)
    await stage.run(600, until="Promoted")
    return stage, v1, v2


async def test_a_regression_ten_minutes_after_promotion_returns_to_the_revision_before() -> None:
    stage, v1, v2 = await promoted()
    for _ in range(600):
        await stage.step(looks=1)
    assert (await stage.release()).status.phase == "Promoted"
    stage.behaviours[v2] = BAD
    release = await stage.run(60, until="RolledBack")
    assert release.status.stable is not None
    assert release.status.stable.revision == v1
    assert "policy-violations" in release.status.refused[-1].reason
    await stage.step()
    assert stage.reach()[v1][0] == 1.0
    assert stage.level(v2) is Autonomy.OBSERVE


def condition(release: AgentRelease) -> tuple[str, str]:
    (one,) = (c for c in release.status.conditions if c.type == "EvidenceKept")
    return one.status, one.reason


async def test_what_serves_well_is_left_alone() -> None:
    stage, _, v2 = await promoted()
    for _ in range(900):
        await stage.step(looks=1)
    release = await stage.release()
    assert release.status.stable is not None
    assert (release.status.stable.revision, release.status.phase) == (v2, "Promoted")
    assert stage.level(v2) is Autonomy.FULL_ACTION


async def test_a_first_release_has_nothing_to_return_to_so_its_autonomy_goes() -> None:
    stage = Stage(seed=7)
    await stage.install(with_ceiling())
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    stage.behaviours[v1] = BAD
    for _ in range(120):
        await stage.step(looks=1)
    assert stage.level(v1) is Autonomy.OBSERVE
    assert stage.reach()[v1][0] == 1.0
    assert "AutonomyLowered" in stage.told.causes


async def test_the_watch_ends_after_its_duration() -> None:
    stage, _, v2 = await promoted(watch={"duration": "30s"})
    for _ in range(40):
        await stage.step(looks=1)
    assert (await stage.release()).status.watch is None
    stage.behaviours[v2] = BAD
    for _ in range(60):
        await stage.step(looks=1)
    assert (await stage.release()).status.phase == "Promoted"


async def test_what_was_judged_of_the_revision_that_serves_is_not_said_of_the_next_candidate() -> None:
    stage, _, _ = await promoted()
    await stage.run(3)
    assert (await stage.release()).status.metrics
    await stage.apply("v3", GOOD)
    release = await stage.run(5, until="Loading")
    assert release.status.metrics == []


async def test_a_prometheus_that_is_gone_is_no_reason_to_touch_what_serves() -> None:
    stage, _, v2 = await promoted()
    stage.prometheus_up = False
    for _ in range(120):
        await stage.step(looks=1)
    release = await stage.release()
    assert release.status.stable is not None
    assert release.status.stable.revision == v2
    assert stage.level(v2) is Autonomy.FULL_ACTION


async def test_a_new_operator_goes_on_with_the_watch_where_the_old_one_was() -> None:
    stage, v1, v2 = await promoted()
    for _ in range(30):
        await stage.step(looks=1)
    stage.operator = stage.new_operator()
    stage.behaviours[v2] = BAD
    release = await stage.run(60, until="RolledBack")
    assert release.status.stable is not None
    assert release.status.stable.revision == v1


def mild() -> dict[str, Any]:
    policy = deepcopy(POLICY)
    for metric in policy["metrics"]:
        if metric["name"] == "policy-violations":
            metric["onBreach"] = "lowerAutonomy"
    return policy


async def lowered(then: Behaviour) -> tuple[Stage, str]:
    """A revision whose autonomy went down after its promotion; ``then`` is what it does six seconds later."""
    stage = Stage(seed=7)
    await stage.install(mild())
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2", GOOD)
    await stage.run(600, until="Promoted")
    stage.behaviours[v2] = BAD
    for _ in range(120):
        await stage.step(looks=1)
        if stage.level(v2) < Autonomy.FULL_ACTION:
            break
    for _ in range(6):
        await stage.step(looks=1)
    stage.behaviours[v2] = then
    return stage, v2


async def test_what_agents_do_before_they_take_up_a_lower_level_costs_no_other_level() -> None:
    stage, v2 = await lowered(GOOD)
    levels = set()
    for _ in range(400):
        await stage.step(looks=1)
        levels.add(stage.level(v2))
    assert min(levels) is Autonomy.LIMITED_ACTION
    assert stage.level(v2) is Autonomy.FULL_ACTION  # earned back


async def test_a_regression_that_goes_on_at_the_lower_level_costs_the_next_one() -> None:
    stage, v2 = await lowered(BAD)
    assert stage.level(v2) is Autonomy.LIMITED_ACTION
    for _ in range(120):
        await stage.step(looks=1)
    assert stage.level(v2) is Autonomy.OBSERVE


@pytest.mark.parametrize("left", ["", "cut"])
async def test_a_watch_whose_evidence_is_lost_begins_anew_says_so_and_goes_on(left: str) -> None:
    stage, v1, v2 = await promoted()
    for _ in range(10):
        await stage.step(looks=1)
    assert condition(await stage.release()) == ("True", "Kept")
    assert stage.told.regains == []
    stored = await stage.cluster.get(RELEASE)
    assert stored is not None
    whole = stored["status"]["watch"]["evidence"]
    lost = stored["status"]["watch"] | {"evidence": left and whole.replace('"t":[', '"t": [')}
    await stage.cluster.replace(stored | {"status": stored["status"] | {"watch": lost}}, subresource="status")
    for _ in range(10):
        await stage.step(looks=1)
        assert condition(await stage.release()) == ("False", "BegunAnew")
    assert [said.partition(":")[0] for said in stage.told.regains] == ["BegunAnew"]
    assert "the watch after promotion was lost" in stage.told.regains[0]
    stage.behaviours[v2] = BAD
    release = await stage.run(60, until="RolledBack")
    assert release.status.stable is not None
    assert release.status.stable.revision == v1


async def put_aside(stage: Stage, revision: str) -> None:
    """Put something else where the revision before is loaded, as a person's ``kubectl apply`` would."""
    previous = (await stage.release()).status.previous
    assert previous is not None
    assert previous.revision == revision
    ref = Ref(kinds.DEPLOYMENT, NAMESPACE, f"{AGENT}-{previous.slot}")
    stored = await stage.cluster.get(ref)
    assert stored is not None
    stored["spec"]["template"]["metadata"]["annotations"][REVISION_ANNOTATION] = "support-ffffffffff"
    await stage.cluster.replace(stored)


async def test_where_the_slot_has_something_else_autonomy_goes_first_and_the_kept_revision_is_loaded() -> (
    None
):
    stage, v1, v2 = await promoted()
    await put_aside(stage, v1)
    stage.behaviours[v2] = BAD
    lowered_at = 0
    for second in range(60):
        await stage.step()
        assert "support-ffffffffff" not in {r for r, (share, _) in stage.reach().items() if share}
        if not lowered_at and stage.level(v2) is Autonomy.OBSERVE:
            lowered_at = second
            assert stage.reach()[v2][0] == 1.0  # nobody else can take over yet
    release = await stage.release()
    assert lowered_at
    assert release.status.stable is not None
    assert release.status.stable.revision == v1
    assert stage.reach()[v1][0] == 1.0
    assert release.status.phase == "RolledBack"
    assert [one.revision for one in release.status.refused] == [v2]
    assert "policy-violations" in release.status.refused[-1].reason


async def test_an_order_to_a_revision_whose_slot_has_something_else_loads_it_again() -> None:
    stage, v1, v2 = await promoted()
    await put_aside(stage, v1)
    await stage.apply("v2", rollback={"to": v1, "of": v2, "holdBudget": "10s"})
    for _ in range(20):
        await stage.step()
        assert "support-ffffffffff" not in {r for r, (share, _) in stage.reach().items() if share}
    assert stage.reach()[v1][0] == 1.0
