"""Somebody keeps raising what the operator takes back: three times, and the candidate goes."""

from __future__ import annotations

import json
from copy import deepcopy

from tests.support.stage import AGENT, KEY, NAMESPACE, Stage

from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref, Unavailable

ROUTE = Ref(kinds.HTTP_ROUTE, NAMESPACE, AGENT)


async def in_half() -> tuple[Stage, str]:
    """A good candidate in the phase ``half``, at 50 %."""
    stage = Stage()
    await stage.install()
    await stage.apply("v1", firstRelease="promote")
    await stage.run(60, until="Promoted")
    v2 = await stage.apply("v2")
    await stage.run(300, until="half")
    await stage.apply("v2", paused=True)  # so that it stays in this phase
    for _ in range(3):
        await stage.step()
    return stage, v2


async def push(stage: Stage) -> None:
    """A pipeline puts Git's weights back: all to the candidate."""
    rules = deepcopy(stage.cluster.objects[ROUTE]["spec"]["rules"])
    for ref, weight in zip(rules[-1]["backendRefs"], _all_to_candidate(stage), strict=True):
        ref["weight"] = weight
    await stage.cluster.merge(ROUTE, {"spec": {"rules": rules}})


def _all_to_candidate(stage: Stage) -> list[int]:
    refs = stage.cluster.objects[ROUTE]["spec"]["rules"][-1]["backendRefs"]
    release = next(o for ref, o in stage.cluster.objects.items() if ref.kind == kinds.AGENT_RELEASE)
    slot = release["status"]["candidate"]["slot"]
    return [10_000 if ref["name"].endswith(slot) else 0 for ref in refs]


async def test_the_third_raise_from_outside_in_ten_minutes_ends_the_candidate() -> None:
    stage, v2 = await in_half()
    for fight in (1, 2):
        await push(stage)
        await stage.operator.reconcile(KEY)
        assert stage.reach()[v2][0] == 0.5, f"fight {fight} is won, and the release goes on"
        await stage.step()
        await stage.step()
    await push(stage)
    await stage.operator.reconcile(KEY)
    assert stage.reach()[v2][0] == 0.0
    assert stage.level(v2) is Autonomy.OBSERVE
    for _ in range(10):
        await stage.step()
    status = (await stage.release()).status
    assert [entry.to for entry in status.history if "Contended" in entry.to] == ["Withdraw: Contended"]
    assert [refused.revision for refused in status.refused] == [v2]
    assert "who writes the route" in status.refused[0].reason


async def test_fewer_than_three_raises_in_any_ten_minutes_are_no_fight() -> None:
    stage, v2 = await in_half()
    for _ in range(4):
        await push(stage)
        await stage.operator.reconcile(KEY)
        assert stage.reach()[v2][0] == 0.5
        release = await stage.release()
        assert release.status.candidate is not None
        stored = stage.cluster.objects[Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)]
        past = [at - 301.0 for at in stored["status"]["candidate"]["fights"]]
        stored["status"]["candidate"]["fights"] = past
        await stage.operator.reconcile(KEY)


async def test_a_raise_that_can_not_be_taken_back_at_once_counts_as_one() -> None:
    stage, v2 = await in_half()
    await push(stage)

    async def away(verb: str, ref: Ref) -> None:
        if ref == ROUTE and verb == "replace":
            raise Unavailable("the route can't be written")

    stage.cluster.before = away
    for _ in range(10):
        await stage.step()
    stage.cluster.before = _nothing
    await stage.operator.reconcile(KEY)
    assert stage.reach()[v2][0] == 0.5
    stored = stage.cluster.objects[Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)]
    assert len(stored["status"]["candidate"]["fights"]) == 1, json.dumps(stored["status"]["candidate"])


async def _nothing(verb: str, ref: Ref) -> None: ...
