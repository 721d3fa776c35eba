"""A return to any revision that was promoted once and is kept, though no slot has it any more."""

from __future__ import annotations

from tests.support.stage import Behaviour, Stage

GOOD = Behaviour(completion=0.94, violations=0.005)


async def thrice_promoted() -> tuple[Stage, str, str, str]:
    stage = Stage(seed=7)
    await stage.install()
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2", GOOD)
    await stage.run(600, until="Promoted")
    v3 = await stage.apply("v3", GOOD)
    await stage.run(5)
    await stage.run(600, until="Promoted")
    return stage, v1, v2, v3


async def test_an_order_brings_back_a_revision_that_is_in_no_slot() -> None:
    stage, v1, _, v3 = await thrice_promoted()
    await stage.apply("v3", rollback={"to": v1, "of": v3, "holdBudget": "10s"})
    for _ in range(20):
        await stage.step()
    release = await stage.release()
    assert release.status.stable is not None
    assert release.status.stable.revision == v1
    assert release.status.candidate is None
    assert stage.reach()[v1][0] == 1.0
    assert release.status.phase == "RolledBack"
    assert [one.revision for one in release.status.refused] == [v3]


async def test_an_order_to_a_revision_that_was_never_promoted_is_refused_in_words() -> None:
    stage, _, _, v3 = await thrice_promoted()
    v4 = await stage.apply("v4", Behaviour(violations=0.3))
    await stage.run(200, until="RolledBack")
    await stage.apply("v3", rollback={"to": v4, "of": v3, "holdBudget": "10s"})
    for _ in range(10):
        await stage.step()
    status = (await stage.release()).status
    assert status.verdict == "RollbackImpossible"
    assert v4 in status.reason
    assert stage.reach()[v3][0] == 1.0


async def test_a_return_goes_on_after_the_operator_was_killed_at_any_moment_of_it() -> None:
    for moment in (1, 3):
        stage, v1, _, v3 = await thrice_promoted()
        await stage.apply("v3", rollback={"to": v1, "of": v3, "holdBudget": "10s"})
        for _ in range(moment):
            await stage.step(looks=1)
        stage.operator = stage.new_operator()
        for _ in range(20):
            await stage.step()
        assert stage.reach()[v1][0] == 1.0
