"""Levers under any sequence of writers: operators old and new, people, pipelines, and replies that get lost.

In memory, because a walk takes hundreds of writes; tests/edges/test_cluster.py holds the memory cluster to
the real API server's answers.
"""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.memory_cluster import MemoryCluster, no_fault

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.exposure import NOTHING, Cohort, Exposure
from agentrelease.edges.fence import epoch_of
from agentrelease.edges.flags.configmap import ConfigMapFlags
from agentrelease.edges.flags.document import halts, text, version_of
from agentrelease.edges.kinds import CONFIG_MAP, HTTP_ROUTE
from agentrelease.edges.traffic.httproute import HTTPRouteTraffic
from agentrelease.engine.levers import Arm, Placement
from agentrelease.engine.ports import Conflict, Missing, Ref, Refused, Unavailable

if TYPE_CHECKING:
    from agentrelease.engine.ports import Object

BLUE, GREEN, KEY = "support-blue", "support-green", "support.flagd.json"
FLAGS, ROUTE = Ref(CONFIG_MAP, "ns", "support-flags"), Ref(HTTP_ROUTE, "ns", "support")

exposures = st.builds(
    Exposure,
    mirror=st.sampled_from([0.0, 100.0]),
    cohort=st.none() | st.just(Cohort("x-audience", "internal")),
    weight=st.sampled_from([0.0, 0.5, 5.0, 100.0]),
    autonomy=st.sampled_from(Autonomy),
    tools=st.frozensets(st.sampled_from(["kb.search", "payments.refund"])),
)
STEPS = ("raise", "old raise", "lower", "halt", "unhalt", "scribble", "delete", "weight up", "lost reply")
walks = st.lists(st.tuples(st.sampled_from(STEPS), exposures, st.integers(0, 3)), max_size=12)


def placed(exposure: Exposure, serial: int) -> Placement:
    return Placement(
        namespace="ns",
        agent="support",
        route="support",
        config_map="support-flags",
        stable=Arm("support-3f9a0c11de", BLUE, Exposure(autonomy=Autonomy.FULL_ACTION)),
        candidate=Arm("support-77aa00bb12", GREEN, exposure, lease_until=2_000_000_000 + serial),
        services=(BLUE, GREEN),
        note=f"support-77aa00bb12: step {serial}",
    )


def route() -> Object:
    marked = {
        "timeouts": {"request": "9s"},
        "backendRefs": [{"name": BLUE, "port": 80, "weight": 1}, {"name": GREEN, "port": 80, "weight": 0}],
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "support", "namespace": "ns"},
        "spec": {"rules": [{"name": "docs", "backendRefs": [{"name": "docs", "port": 80}]}, marked]},
    }


@dataclass
class Walk:
    """One cluster, the two levers, and what must be true of it whatever came before."""

    cluster: MemoryCluster = field(default_factory=MemoryCluster)
    epoch: int = 5
    version: int = 0
    said: Any = None
    halted: bool = False

    def __post_init__(self) -> None:
        self.levers = (ConfigMapFlags(self.cluster), HTTPRouteTraffic(self.cluster))

    async def run(self, steps: list[tuple[str, Exposure, int]]) -> None:
        await self.cluster.create(route())
        for serial, (step, exposure, number) in enumerate(steps):
            stored = {ref: epoch_of(obj) for ref, obj in self.cluster.objects.items()}
            await self.step(step, placed(exposure, serial), number)
            self.holds(stored)
        down = placed(NOTHING, len(steps))
        for lever in self.levers:
            await lever.lower(down)
            reading = await lever.read(down)
            assert reading.candidate in (None, NOTHING)
            assert not reading.problem

    async def step(self, step: str, placement: Placement, number: int) -> None:
        match step:
            case "raise":
                self.epoch += number
                await self.up(placement, self.epoch)
            case "old raise":
                await self.up(placement, self.epoch - 1 - number)
            case "lower":
                await self.down(placement)
            case "halt" | "unhalt":
                await self.person(on=step == "halt")
            case "scribble" if FLAGS in self.cluster.objects:
                data = {KEY: ("{", "null", '{"flags": {}}', "[]")[number], "notes": str(number)}
                await self.cluster.merge(FLAGS, {"data": data})
                self.halted = False
            case "delete" if FLAGS in self.cluster.objects and number == 0:
                await self.cluster.delete(FLAGS)
                self.halted = False
            case "weight up":
                rules = deepcopy(self.cluster.objects[ROUTE]["spec"]["rules"])
                rules[-1]["backendRefs"][1]["weight"] = 10_000 * number
                await self.cluster.merge(ROUTE, {"spec": {"rules": rules}})
            case "lost reply":
                await self.lose(placement)

    async def up(self, placement: Placement, epoch: int) -> None:
        for lever in reversed(self.levers):
            before = deepcopy(self.cluster.objects)
            newest = max(map(epoch_of, before.values()), default=0)
            reading = await lever.read(placement)
            try:
                await lever.raise_(placement, epoch)
            except (Conflict, Refused, Missing):
                assert self.cluster.objects == before, "a raise that is refused has written nothing"
                assert epoch < newest
                return
            said = await lever.read(placement)
            assert said.in_sync, (reading, said)
            assert not said.lowered

    async def down(self, placement: Placement) -> None:
        bound = placement.candidate.exposure if placement.candidate else NOTHING
        for lever in self.levers:
            await lever.lower(placement)
            reading = await lever.read(placement)
            assert reading.in_sync
            assert reading.candidate is not None
            assert reading.candidate.within(bound)

    async def person(self, *, on: bool) -> None:
        stored = self.cluster.objects.get(FLAGS)
        found = document(stored)
        if not isinstance(found, dict) or "support.halt" not in found.get("flags", {}):
            return
        found["flags"]["support.halt"]["defaultVariant"] = "on" if on else "off"
        await self.cluster.merge(FLAGS, {"data": {KEY: text(found)}})
        self.halted = on

    async def lose(self, placement: Placement) -> None:
        """Commit one lowering write and lose its reply; doing it again must change nothing more."""
        lost: list[Ref] = []

        async def fault(verb: str, ref: Ref) -> None:
            if not lost:
                lost.append(ref)
                raise Unavailable("the reply was lost")

        for lever in self.levers:
            lost.clear()
            self.cluster.after = fault
            try:
                await lever.lower(placement)
            except Unavailable:
                pass
            finally:
                self.cluster.after = no_fault
            committed = deepcopy(self.cluster.objects)
            await lever.lower(placement)
            assert self.cluster.objects == committed

    def holds(self, before: dict[Ref, int]) -> None:
        """Check what no step may break."""
        for ref, obj in self.cluster.objects.items():
            assert epoch_of(obj) >= before.get(ref, 0), "an epoch never goes back"
        rules = self.cluster.objects[ROUTE]["spec"]["rules"]
        assert rules[0] == route()["spec"]["rules"][0]
        assert rules[-1]["timeouts"] == {"request": "9s"}
        stored = self.cluster.objects.get(FLAGS)
        found = document(stored)
        if self.halted:
            assert halts(found, "support"), "nobody but a person ends a person's halt"
        if stored and isinstance(found, dict) and found.get("metadata"):
            said = {key: flag for key, flag in found["flags"].items() if key != "support.halt"}
            assert version_of(found) >= self.version + (said != self.said), (
                "a version grows with what it says"
            )
            self.version, self.said = version_of(found), said


def document(stored: Object | None) -> Any:
    return json.loads(text_of) if (text_of := _kept(stored)) and text_of != "{" else None


def _kept(stored: Object | None) -> str:
    return str(((stored or {}).get("data") or {}).get(KEY, ""))


@settings(deadline=None, max_examples=150)
@given(walks)
def test_no_sequence_of_writers_breaks_what_a_lever_promises(steps: list[tuple[str, Exposure, int]]) -> None:
    asyncio.run(Walk().run(steps))


def test_a_neighbour_that_wins_every_race_is_beaten_by_the_last_try() -> None:
    async def run() -> None:
        cluster = MemoryCluster()
        await cluster.create(route())
        lever = HTTPRouteTraffic(cluster, jitter=lambda: 0.0)
        await lever.read(placed(Exposure(weight=50), 1))
        await lever.raise_(placed(Exposure(weight=50), 1), 1)
        races = 0

        async def neighbour(verb: str, ref: Ref) -> None:
            nonlocal races
            if verb == "replace":
                races += 1
                stored = cluster.objects[ROUTE]
                labels = {"metadata": stored["metadata"] | {"labels": {"n": str(races)}}}
                cluster.before = no_fault
                await cluster.replace(stored | labels)
                cluster.before = neighbour

        cluster.before = neighbour
        await lever.lower(placed(NOTHING, 2))
        cluster.before = no_fault
        assert races == 10
        assert (await lever.read(replace(placed(NOTHING, 2), note=""))).candidate == NOTHING
        assert cluster.objects[ROUTE]["metadata"]["labels"] == {"n": "10"}, "the neighbour's own part stays"

    asyncio.run(run())
