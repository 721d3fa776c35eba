"""What the operator measures of a release, and what it tells beside decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families
from tests.support.stage import AGENT, NAMESPACE, SPEC, Stage

from agentrelease.edges import kinds
from agentrelease.edges.events import Severity
from agentrelease.edges.metrics import Metrics
from agentrelease.edges.recorder import DecisionRecorder
from agentrelease.engine.ports import Ref, Unavailable

if TYPE_CHECKING:
    from agentrelease.edges.events import Told


def incomplete(metrics: Metrics) -> float:
    name, labels = "agentrelease_operator_rollback_incomplete_seconds", {"namespace": NAMESPACE}
    (found,) = (
        sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
    return float(found)


async def test_an_incomplete_rollback_shows_as_a_number_that_rises_until_it_is_complete() -> None:
    stage, metrics = Stage(), Metrics()
    recorder = DecisionRecorder(None, metrics, clock=lambda: stage.now)  # type: ignore[arg-type]
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    await stage.apply("v2")
    await stage.run(400, until="half")
    recorder.stands(await stage.release())
    assert incomplete(metrics) == 0

    async def broken(verb: str, about: Ref) -> None:
        if about.kind == kinds.HTTP_ROUTE and verb == "replace":
            raise Unavailable("500")

    healthy, stage.cluster.before = stage.cluster.before, broken
    release = await stage.release()
    assert release.status.stable is not None
    await stage.apply("v2", rollback={"to": release.status.stable.revision})
    await stage.run(5)
    recorder.stands(await stage.release())
    first = incomplete(metrics)
    stage.now += 30.0  # nobody looks, and the time goes on
    assert incomplete(metrics) == first + 30.0 > 30.0
    stage.cluster.before = healthy
    release = await stage.run(30, until="RolledBack")
    recorder.stands(release)
    assert incomplete(metrics) == 0
    recorder.gone(f"{NAMESPACE}/{AGENT}")
    assert b"rollback_incomplete_seconds{" not in metrics.exposition()


class Kept:
    """Keeps Events instead of writing them."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def tell(self, told: Told) -> None:
        self.told.append(told)


def slow(kept: Kept) -> list[Told]:
    return [one for one in kept.told if one.reason == "PlanTooSlow"]


async def test_a_phase_that_cannot_end_before_its_deadline_is_told_once_as_the_rollout_begins() -> None:
    stage, kept = Stage(), Kept()
    recorder = DecisionRecorder(kept, Metrics(), clock=lambda: stage.now)  # type: ignore[arg-type]
    stage.told.decided = recorder.decided  # type: ignore[method-assign]
    late = {"deadline": "5s", "onDeadline": "hold", "minSamples": 5000}
    phases = [one | (late if one["name"] == "canary-10" else {}) for one in SPEC["phases"]]
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    await stage.run(20)
    await stage.apply("v2", phases=phases)
    await stage.run(60, until="shadow")
    (warned,) = (one for one in slow(kept) if one.note.startswith("canary-10 "))
    assert warned.severity is Severity.WARNING
    assert warned.note.startswith("canary-10 needs about 5,000 tasks of the candidate, ")
    assert "its deadline is 5s" in warned.note
    await stage.run(60, until="canary-10")
    await stage.run(20)
    assert len([one for one in slow(kept) if one.note.startswith("canary-10 ")]) == 1
