"""What may never happen, checked after every single write: exposure above committed intent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.stage import AGENT, KEY, NAMESPACE, Behaviour, Stage

from agentrelease.api.status import Stage as CandidateStage
from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref, Unavailable

if TYPE_CHECKING:
    from agentrelease.api.release import AgentRelease

PHASES = ["shadow", "internal", "canary-10", "half", "all", "full"]
RELEASE = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
ROUTE = Ref(kinds.HTTP_ROUTE, NAMESPACE, AGENT)
FLAGS = Ref(kinds.CONFIG_MAP, NAMESPACE, "support-flags")
LEASE = 20
PARTS = 4
"""Tests among which the points to be killed at are divided, so that several workers may take them."""


class Killed(BaseException):
    """The process is gone."""


def allowed(release: AgentRelease, revision: str) -> tuple[float, Autonomy]:
    """What committed intent allows a revision: share of ordinary traffic, level."""
    status = release.status
    for serving in (status.stable, status.previous):
        if serving is not None and serving.revision == revision:
            return 1.0, serving.autonomy
    candidate = status.candidate
    if candidate is None or candidate.revision != revision or candidate.stage is not CandidateStage.RUNNING:
        return 0.0, Autonomy.OBSERVE
    return status.exposure.intended.weight / 100, status.exposure.intended.autonomy


class Guard:
    """Looks at what is stored after every write, and kills the process after the chosen one."""

    def __init__(self, stage: Stage, kill_at: int | None = None, *, reply_lost: bool = True) -> None:
        self.stage = stage
        self.writes = 0
        self.kill_at = kill_at
        self.seen: list[tuple[str, str, str]] = []
        stage.cluster.after = self.after
        stage.cluster.before = self.before
        self.reply_lost = reply_lost

    async def before(self, verb: str, _ref: Ref) -> None:
        if verb not in ("get", "list") and not self.reply_lost and self.writes + 1 == self.kill_at:
            self.kill_at = None
            raise Killed

    async def after(self, verb: str, ref: Ref) -> None:
        if verb in ("get", "list"):
            return
        self.writes += 1
        release = await self._release()
        phase = release.status.phase if release else ""
        self.seen.append((verb, ref.kind.name, phase))
        if release is not None:
            for revision, (share, _) in self.stage.reach().items():
                if revision:
                    most, level = allowed(release, revision)
                    assert share <= most + 1e-9, (
                        f"{revision} gets {share:.2%} after {verb} {ref}, intent is {most:.2%}"
                    )
                    assert self.stage.level(revision) <= level, (
                        f"{revision} may {self.stage.level(revision)} after {ref}"
                    )
        if self.reply_lost and self.writes == self.kill_at:
            self.kill_at = None
            raise Killed

    async def _release(self) -> AgentRelease | None:
        hooks = self.stage.cluster.before, self.stage.cluster.after
        self.stage.cluster.before = self.stage.cluster.after = _none
        try:
            return await self.stage.release()
        finally:
            self.stage.cluster.before, self.stage.cluster.after = hooks


async def _none(_verb: str, _ref: Ref) -> None:
    return


async def serving() -> tuple[Stage, str]:
    stage = Stage(rate=60)
    await stage.install()
    v1 = await stage.apply("v1")
    await stage.run(20, until="Promoted")
    return stage, v1


async def go_on(stage: Stage, until: str, stable: str, seconds: int = 300) -> None:
    """Run until a revision is stable in a phase, and start a new process whenever one is killed."""
    for _ in range(seconds):
        try:
            await stage.step()
        except Killed:
            stage.operator = stage.new_operator()
        status = (await stage.release()).status
        if status.phase == until and status.stable is not None and status.stable.revision == stable:
            return
    raise AssertionError(f"still {status.phase}: {status.verdict}: {status.reason}")


def telling(seen: list[tuple[str, str, str]]) -> list[int]:
    """Numbers of the writes that are the first of their sort in their phase, and the ones after them."""
    known: set[tuple[str, str, str]] = set()
    points = set()
    for number, write in enumerate(seen, start=1):
        if write not in known:
            known.add(write)
            points |= {number, number + 1}
    return sorted(p for p in points if p <= len(seen))


async def _reference(behaviour: Behaviour, until: str) -> list[int]:
    stage, v1 = await serving()
    v2 = await stage.apply("v2", behaviour)
    guard = Guard(stage)
    await go_on(stage, until, v2 if until == "Promoted" else v1)
    return telling(guard.seen)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("reply_lost", [True, False], ids=["after-the-write", "before-the-write"])
@pytest.mark.parametrize(
    ("behaviour", "until"),
    [(Behaviour(completion=0.94, violations=0.005), "Promoted"), (Behaviour(violations=0.4), "RolledBack")],
    ids=["good", "bad"],
)
async def test_killed_at_any_telling_write_the_next_process_ends_the_same_and_never_exposes_more(
    behaviour: Behaviour, until: str, reply_lost: bool, part: int
) -> None:
    points = await _reference(behaviour, until)
    assert len(points) >= 12
    for point in points[part::PARTS]:
        stage, v1 = await serving()
        v2 = await stage.apply("v2", behaviour)
        Guard(stage, kill_at=point, reply_lost=reply_lost)
        winner, loser = (v2, v1) if until == "Promoted" else (v1, v2)
        await go_on(stage, until, winner)
        await stage.step()
        assert stage.reach()[winner][0] == 1.0
        assert stage.level(winner) is Autonomy.FULL_ACTION
        assert stage.reach()[loser] == (0.0, 0.0)
        assert stage.level(loser) is Autonomy.OBSERVE


@pytest.mark.parametrize("phase", PHASES)
async def test_a_weight_raised_from_outside_is_taken_back_by_the_next_look(phase: str) -> None:
    stage, _ = await serving()
    v2 = await stage.apply("v2")
    await stage.run(300, until=phase)
    wanted = stage.reach()[v2]
    if wanted[0] < 1.0:
        await _set_weights(stage, {f"{AGENT}-blue": 0, f"{AGENT}-green": 100})
        await stage.operator.reconcile(KEY)
        assert stage.reach()[v2] == wanted


async def test_a_weight_lowered_from_outside_is_left_and_stops_the_clock() -> None:
    stage, _ = await serving()
    v2 = await stage.apply("v2")
    await stage.run(300, until="half")
    await stage.step()
    await _set_weights(stage, {f"{AGENT}-blue": 99, f"{AGENT}-green": 1})
    for _ in range(30):
        await stage.step()
    assert stage.reach()[v2][0] == pytest.approx(0.01)
    release = await stage.release()
    assert (release.status.phase, release.status.verdict) == ("half", "LoweredFromOutside")


@pytest.mark.parametrize("broken", [FLAGS, ROUTE], ids=["flags", "route"])
async def test_while_one_lever_cannot_be_written_the_other_still_goes_down(broken: Ref) -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2", Behaviour(violations=0.0))
    await stage.run(300, until="half")
    for _ in range(2):
        await stage.step()

    async def refuse(verb: str, ref: Ref) -> None:
        if verb not in ("get", "list") and ref == broken:
            raise Unavailable(f"{ref}: 500")

    stage.cluster.before = refuse
    stage.behaviours[v2] = Behaviour(violations=0.9)
    for _ in range(8):
        await stage.step()
    if broken == FLAGS:
        assert stage.reach()[v2] == (0.0, 0.0)
        for _ in range(20):  # the lease is 20 s and can't be renewed
            await stage.step()
        assert stage.level(v2) is Autonomy.OBSERVE, "the lease ends what could not be written"
    else:
        assert stage.level(v2) is Autonomy.OBSERVE
    stage.cluster.before = _none
    await stage.run(20, until="RolledBack")
    assert stage.reach()[v2] == (0.0, 0.0)
    assert stage.reach()[v1][0] == 1.0


@pytest.mark.parametrize("phase", PHASES)
async def test_an_order_in_the_spec_rolls_back_without_prometheus_and_without_a_lease(phase: str) -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2")
    await stage.run(300, until=phase)
    stage.prometheus_up, stage.epoch = False, None
    await stage.cluster.merge(RELEASE, {"spec": {"rollback": {"to": v1, "of": v2}}} | await _version(stage))
    await stage.operator.reconcile(KEY)
    assert stage.reach()[v2] == (0.0, 0.0)
    assert stage.level(v2) is Autonomy.OBSERVE
    assert stage.reach()[v1][0] == 1.0


@pytest.mark.parametrize("phase", PHASES)
async def test_a_paused_release_goes_no_further_but_can_still_be_rolled_back(phase: str) -> None:
    stage, _ = await serving()
    v2 = await stage.apply("v2")
    await stage.run(300, until=phase)
    await stage.cluster.merge(RELEASE, {"spec": {"paused": True}} | await _version(stage))
    for _ in range(40):
        await stage.step()
    assert (await stage.release()).status.phase == phase
    stage.behaviours[v2] = Behaviour(violations=0.9)
    await stage.run(60, until="RolledBack")


@pytest.mark.parametrize("phase", PHASES)
async def test_deleting_a_release_in_mid_rollout_withdraws_the_candidate_first(phase: str) -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2")
    await stage.run(300, until=phase)
    await stage.cluster.delete(RELEASE)
    for _ in range(10):
        await stage.step()
    assert RELEASE not in stage.cluster.objects
    assert stage.reach()[v2] == (0.0, 0.0)
    assert stage.level(v2) is Autonomy.OBSERVE
    assert stage.reach()[v1][0] == 1.0


async def test_a_release_that_is_deleted_while_prometheus_is_gone_goes_when_no_grant_is_left() -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2")
    await stage.run(300, until="half")
    stage.prometheus_up = False
    await stage.cluster.delete(RELEASE)
    await stage.step()
    assert stage.reach()[v2] == (0.0, 0.0)
    assert stage.level(v2) is Autonomy.OBSERVE
    waited = 0
    while RELEASE in stage.cluster.objects:
        assert (await stage.release()).status.verdict == "RollbackIncomplete"
        await stage.step()
        waited += 1
        assert waited < 200, "a deletion does not wait for ever"
    assert waited > LEASE, "a grant may be in effect until then"
    assert stage.reach()[v1][0] == 1.0


async def test_after_a_promotion_an_order_brings_the_previous_revision_back() -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2")
    await stage.run(300, until="Promoted")
    await stage.cluster.merge(RELEASE, {"spec": {"rollback": {"to": v1, "of": v2}}} | await _version(stage))
    for _ in range(5):
        await stage.step()
    assert stage.reach()[v1][0] == 1.0
    assert stage.level(v1) is Autonomy.FULL_ACTION
    assert stage.level(v2) is Autonomy.OBSERVE
    release = await stage.release()
    assert (release.status.phase, release.status.refused[0].revision) == ("RolledBack", v2)


async def test_a_new_bundle_in_mid_rollout_starts_only_after_the_running_one_is_out() -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2")
    await stage.run(300, until="half")
    v3 = await stage.apply("v3")
    await stage.step(looks=1)
    assert stage.reach()[v2] == (0.0, 0.0)
    assert stage.reach()[v1][0] == 1.0
    release = await stage.run(300, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v3


async def test_without_a_lease_nothing_is_raised() -> None:
    stage, v1 = await serving()
    await stage.apply("v2")
    stage.epoch = None
    for _ in range(30):
        await stage.step()
    assert stage.reach()[v1][0] == 1.0
    assert (await stage.release()).status.candidate is None


async def test_a_route_that_is_never_accepted_is_not_served_and_its_clock_does_not_run() -> None:
    stage, _ = await serving()
    await stage.apply("v2")
    await stage.run(100, until="Loading")
    stage.accepts_routes = False
    for _ in range(60):
        await stage.step()
    release = await stage.release()
    assert release.status.phase == "shadow"
    assert release.status.verdict == "NotInSync"


async def _version(stage: Stage) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": stage.cluster.objects[RELEASE]["metadata"]["resourceVersion"]}}


async def _set_weights(stage: Stage, weights: dict[str, int]) -> None:
    route = await stage.cluster.get(ROUTE)
    assert route is not None
    for rule in route["spec"]["rules"]:
        for ref in rule["backendRefs"]:
            ref["weight"] = weights[ref["name"]]
    await stage.cluster.replace(route)


@pytest.mark.parametrize("phase", ["half", "all", "full"])
async def test_what_was_allowed_before_a_lowering_is_not_held_against_the_candidate(phase: str) -> None:
    stage, _ = await serving()
    v2 = await stage.apply("v2")
    await stage.run(300, until=phase)
    await stage.step(looks=1)
    stage.prometheus_up = False
    await stage.run(30, until="Loading")
    stage.prometheus_up = True
    release = await stage.run(600, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v2
    assert release.status.refused == []


@pytest.mark.parametrize("budget", ["10s", "10m"], ids=["hold-budget", "blind-after"])
async def test_one_guardrail_without_evidence_holds_then_ends_exposure_and_is_no_verdict(budget: str) -> None:
    stage, v1 = await serving()
    v2 = await stage.apply("v2", rollback={"holdBudget": budget})
    await stage.run(300, until="half")
    await stage.step(looks=1)
    stage.missing = {"agentrelease_policy_violations_total"}
    seen = set()
    for _ in range(40):
        await stage.step()
        seen.add((await stage.release()).status.phase)
    assert seen <= {"half", "Loading", "shadow"}, "nothing above a half was reached without it"
    assert stage.reach()[v2][0] == 0.0
    assert stage.reach()[v1][0] == 1.0
    stage.missing = set()
    release = await stage.run(400, until="Promoted")
    assert release.status.stable is not None
    assert release.status.stable.revision == v2
