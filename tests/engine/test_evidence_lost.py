"""Evidence that is gone from a status is read again from Prometheus: bit for bit, or told to be lost."""

from __future__ import annotations

import pytest
from tests.support import stage as staging
from tests.support.stage import AGENT, KEY, NAMESPACE, POLICY, SPEC, Behaviour, Stage

from agentrelease.core.course import Course
from agentrelease.core.ledger import Ledger
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

RELEASE = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
PHASES = ("shadow", "internal", "canary-10", "half", "all", "full")
GOOD = Behaviour(completion=0.94, violations=0.005)


@pytest.fixture(autouse=True)
def remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus keeps everything."""
    monkeypatch.setattr(staging, "HOLD", 10_000)


async def rolling(phase: str, policy: dict | None = None, behaviour: Behaviour = GOOD) -> Stage:  # type: ignore[type-arg]
    stage = Stage(seed=7)
    stage.days = [0.9] * 18 + [0.8] * 6
    await stage.install(policy)
    await stage.apply("v1")
    await stage.run(40, until="Promoted")
    await stage.run(20)
    phases = [one | {"minDuration": "8s"} for one in SPEC["phases"]]
    await stage.apply("v2", behaviour, phases=phases)
    await stage.run(400, until=phase)
    for _ in range(3):
        await stage.step()
    return stage


async def lose(stage: Stage, **changed: str) -> str:
    """Take the evidence out of the stored status, and return it."""
    stored = await stage.cluster.get(RELEASE)
    assert stored is not None
    status = stored["status"]
    lost = status["evidence"]
    await stage.cluster.replace(
        stored | {"status": {**status, "evidence": "", **changed}}, subresource="status"
    )
    stage.operator = stage.new_operator()
    return str(lost)


async def looks(stage: Stage, count: int = 2) -> None:
    await stage.lookout.look()
    for _ in range(count):
        await stage.operator.reconcile(KEY)
        await stage.rebuilder.settled()


def said(conditions: list, kind: str = "EvidenceKept") -> tuple[str, str, str]:  # type: ignore[type-arg]
    (one,) = (c for c in conditions if c.type == kind)
    return one.status, one.reason, one.message


@pytest.mark.parametrize("phase", PHASES)
async def test_in_every_phase_the_ledger_comes_back_bit_for_bit(phase: str) -> None:
    stage = await rolling(phase)
    before = await stage.release()
    lost = await lose(stage)
    await looks(stage, 1)
    held = await stage.release()
    assert held.status.evidence == ""
    assert held.status.phase == phase
    assert said(held.status.conditions)[:2] == ("False", "Rebuilding")
    assert "being rebuilt from Prometheus" in said(held.status.conditions)[2]
    await looks(stage, 1)
    release = await stage.release()
    assert release.status.evidence == lost
    assert release.status.course == before.status.course
    assert said(release.status.conditions)[:2] == ("True", "Rebuilt")
    assert [one.partition(":")[0] for one in stage.told.regains] == ["Rebuilt"]
    await stage.run(400, until="Promoted")


@pytest.mark.parametrize("scrape", [3, 7])
async def test_where_scrapes_are_rare_it_comes_back_in_the_blocks_that_it_was_made_of(scrape: int) -> None:
    stage = Stage()
    stage.scrape = scrape
    await stage.install(POLICY | {"staleAfter": "30s", "blindAfter": "90s"})
    await stage.apply("v1")
    await stage.run(100, until="Promoted")
    await stage.apply("v2", GOOD)
    await stage.run(600, until="half")
    await stage.run(4 * scrape)
    lost = await lose(stage)
    await looks(stage)
    assert (await stage.release()).status.evidence == lost


async def test_it_comes_back_after_interventions_and_blind_times_too() -> None:
    policy = POLICY | {
        "metrics": [
            metric | ({"onBreach": "lowerAutonomy"} if metric["name"] == "policy-violations" else {})
            for metric in POLICY["metrics"]
        ]
    }
    stage = await rolling("canary-10", policy)
    candidate = (await stage.release()).status.candidate
    assert candidate is not None
    stage.behaviours[candidate.revision] = Behaviour(completion=0.94, violations=0.2)
    for _ in range(40):
        await stage.step()
        candidate = (await stage.release()).status.candidate
        assert candidate is not None
        if candidate.interventions:
            break
    stage.behaviours[candidate.revision] = GOOD
    stage.prometheus_up = False
    for _ in range(4):
        await stage.step()
    stage.prometheus_up = True
    for _ in range(6):
        await stage.step()
    status = (await stage.release()).status
    assert status.candidate is not None
    assert status.candidate.interventions, "an intervention happened"
    course = Course.from_json(status.course)
    assert course is not None
    assert {"forgive", "enter", "past", "to"} <= {step[0] for step in course.steps}
    lost = await lose(stage)
    await looks(stage)
    assert (await stage.release()).status.evidence == lost


async def test_evidence_that_somebody_changed_is_not_believed() -> None:
    stage = await rolling("canary-10")
    lost = Ledger.from_json(await lose(stage))
    before = await stage.release()
    forged = lost.to_json().replace('"t":[', '"t": [')
    await lose(stage, evidence=forged)
    await looks(stage)
    assert (await stage.release()).status.evidence == lost.to_json()
    assert before.status.phase == (await stage.release()).status.phase


async def test_while_it_is_read_nothing_is_raised() -> None:
    stage = await rolling("half")
    await lose(stage)
    stage.forgets = True
    reached = stage.reach()

    async def never() -> None:
        """The reading does not end."""

    stage.rebuilder.settled = never  # type: ignore[method-assign]
    for _ in range(3):
        await stage.operator.reconcile(KEY)
    assert stage.reach() == reached


async def test_what_retention_took_is_earned_anew_and_said_so() -> None:
    stage = await rolling("canary-10")
    await lose(stage)
    for tally in stage.tallies.values():
        del tally.samples[:-10]
    await looks(stage)
    release = await stage.release()
    status, reason, message = said(release.status.conditions)
    assert (status, reason) == ("False", "BegunAnew")
    assert "no longer has all" in message
    assert stage.told.regains[0].startswith("BegunAnew: ")
    ledger = Ledger.from_json(release.status.evidence)
    assert ledger.phase_blocks == 0
    await stage.run(3)
    assert said((await stage.release()).status.conditions)[1] == "BegunAnew", "it stays told"
    await stage.run(400, until="Promoted")


async def test_after_a_change_of_the_guardrails_it_is_earned_anew() -> None:
    stage = await rolling("canary-10")
    ref = Ref(kinds.GUARDRAIL_POLICY, NAMESPACE, "defaults")
    stored = await stage.cluster.get(ref)
    assert stored is not None
    await stage.cluster.replace(stored | {"spec": stored["spec"] | {"falseRollback": 0.04}})
    await lose(stage)
    await looks(stage)
    assert "guardrails were changed" in said((await stage.release()).status.conditions)[2]


async def test_a_loss_while_the_candidate_is_drained_is_made_good_before_its_next_phase() -> None:
    stage = await rolling("canary-10")
    stage.prometheus_up = False
    await stage.run(60, until="Loading")
    lost = await lose(stage)
    assert lost
    stage.prometheus_up = True
    await stage.step()
    await stage.step()
    release = await stage.release()
    assert said(release.status.conditions)[1] in ("Rebuilding", "Rebuilt")
    await stage.run(60, until="shadow")
    assert [one.partition(":")[0] for one in stage.told.regains] == ["Rebuilt"]
    assert Ledger.from_json((await stage.release()).status.evidence).blocks >= Ledger.from_json(lost).blocks
    await stage.run(400, until="Promoted")


async def test_what_was_heard_between_two_looks_comes_back_too() -> None:
    policy = POLICY | {
        "metrics": [m | ({"onBreach": "pause"} if "event" in m else {}) for m in POLICY["metrics"]]
    }
    stage = await rolling("canary-10", policy)
    await stage.lookout.listen()
    candidate = (await stage.release()).status.candidate
    assert candidate is not None
    stage.behaviours[candidate.revision] = Behaviour(rogue=1.0)
    stage._traffic()
    assert await stage.lookout.listen() == {KEY}
    await stage.operator.reconcile(KEY)
    course = Course.from_json((await stage.release()).status.course)
    assert course is not None
    assert "alarm" in {step[0] for step in course.steps}
    stage.now += 1.0
    for _ in range(3):
        await stage.step()
    lost = await lose(stage)
    await looks(stage)
    assert (await stage.release()).status.evidence == lost
