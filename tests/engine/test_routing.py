"""The router knows which requests no agent ever began, and how traffic is really split."""

from __future__ import annotations

from tests.support.stage import POLICY, Behaviour, Stage

ROUTER = {"requests": {"metric": "sent"}, "service": {"to": "{namespace}/{service}"}}
MISSING = {
    "name": "unanswered",
    "class": "quality",
    "missing": {},
    "tolerance": {"absolute": 0.03},
    "maxHarm": {"absolute": 0.15},
    "onBreach": "rollback",
}
WITH_ROUTER = POLICY | {"router": ROUTER, "metrics": [*POLICY["metrics"], MISSING]}
GOOD = Behaviour(completion=0.94, violations=0.005)


async def serving(policy: dict[str, object]) -> Stage:
    stage = Stage(rate=60)
    await stage.install(policy)
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    return stage


async def test_a_good_candidate_is_promoted_by_the_routers_own_split():
    stage = await serving(WITH_ROUTER)
    v2 = await stage.apply("v2", GOOD)
    release = await stage.run(300, until="Promoted")
    while release.status.stable is None or release.status.stable.revision != v2:
        release = await stage.run(1)
    assert stage.now < 1_800_000_400


async def test_a_candidate_that_takes_up_only_half_of_its_requests_is_rolled_back():
    stage = await serving(WITH_ROUTER)
    v2 = await stage.apply("v2", GOOD)
    stage.refuses[v2] = 0.5
    release = await stage.run(120, until="RolledBack")
    assert release.status.refused[0].reason.startswith("unanswered is worse than")


async def test_without_the_router_nobody_would_know():
    stage = await serving(POLICY)
    v2 = await stage.apply("v2", GOOD)
    stage.refuses[v2] = 0.5
    release = await stage.run(20, until="internal")
    assert release.status.candidate is not None


async def test_an_absent_router_is_unknown_and_holds():
    stage = await serving(WITH_ROUTER)
    stage.routes = False
    await stage.apply("v2", GOOD)
    release = await stage.run(15)
    assert release.status.phase in ("Loading", "shadow")
    assert "the router has no series of the candidate's Service support-green" in release.status.reason
