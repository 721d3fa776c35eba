"""The operator dies between any two writes of a promotion: the old level or the new one, never above."""

from __future__ import annotations

import pytest
from tests.support.stage import AGENT, NAMESPACE, SPEC, Behaviour, Stage

from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

RELEASE = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
GOOD = Behaviour(completion=0.95, violations=0.005)
LEASE = 20
PHASES = [phase for phase in SPEC["phases"] if phase["name"] != "full"]
"""The last one is at limited action, below what v1 has."""


class Killed(BaseException):
    """The process is gone."""


class Killer:
    """Ends the process at a chosen write, before it is committed or after."""

    def __init__(self, stage: Stage, at: int, *, committed: bool) -> None:
        self.writes: list[tuple[str, str]] = []  # what was written, and the phase that is stored then
        self._stage = stage
        self._at, self._committed = at, committed
        stage.cluster.before, stage.cluster.after = self._before, self._after

    async def _before(self, verb: str, ref: object) -> None:
        if verb not in ("get", "list") and not self._committed and len(self.writes) + 1 == self._at:
            raise Killed

    async def _after(self, verb: str, ref: object) -> None:
        if verb in ("get", "list"):
            return
        stored = self._stage.cluster.objects[RELEASE]
        self.writes.append((f"{verb} {ref}", stored["status"]["phase"]))
        if self._committed and len(self.writes) == self._at:
            raise Killed


async def about_to_promote() -> tuple[Stage, str, str]:
    """A candidate in its last phase."""
    stage = Stage(rate=60)
    await stage.install()
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2", GOOD, phases=PHASES)
    await stage.run(400, until="all")
    return stage, v1, v2


async def look(stage: Stage, seconds: int) -> None:
    for _ in range(seconds):
        await stage.step(looks=1)


async def promotion() -> dict[int, str]:
    """The writes of a promotion, by number from the last phase on, and the last one before it."""
    stage, _, _ = await about_to_promote()
    killer = Killer(stage, 0, committed=True)
    await look(stage, 60)
    assert (await stage.release()).status.phase == "Promoted"
    first = next(n for n, (_, phase) in enumerate(killer.writes, 1) if phase == "Promoted")
    return {n: what for n, (what, _) in enumerate(killer.writes, 1) if first - 1 <= n < first + 5}


@pytest.mark.parametrize("committed", [True, False], ids=["after the write", "before the write"])
async def test_killed_at_any_write_of_a_promotion_nobody_has_more_than_before_or_after(
    committed: bool,
) -> None:
    writes = await promotion()
    assert all(any(kind in what for what in writes.values()) for kind in ("AgentRelease", "ConfigMap")), (
        writes
    )
    for number, what in writes.items():
        stage, v1, v2 = await about_to_promote()
        Killer(stage, number, committed=committed)
        with pytest.raises(Killed):
            await look(stage, 60)
        Killer(stage, 0, committed=True)
        seen = set()
        for _ in range(LEASE + 2):  # nobody comes for longer than a lease
            await stage.step(looks=0)
            seen.add(stage.level(v2))
            assert stage.level(v1) in (Autonomy.FULL_ACTION, Autonomy.OBSERVE)
            assert stage.reach()[v2][0] == 1.0
        assert seen <= {Autonomy.LIMITED_ACTION, Autonomy.OBSERVE}, what
        stage.operator = stage.new_operator()
        for _ in range(15):
            await stage.step()
            assert stage.level(v2) <= Autonomy.LIMITED_ACTION
        release = await stage.release()
        assert release.status.stable is not None
        assert release.status.stable.revision == v2, release.status.reason
        assert (stage.level(v2), stage.level(v1)) == (Autonomy.LIMITED_ACTION, Autonomy.OBSERVE)
