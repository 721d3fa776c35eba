"""What the operator measures of a release beside what it tells."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from tests.support.stage import AGENT, NAMESPACE, Stage

from agentrelease.edges import kinds
from agentrelease.edges.metrics import Metrics
from agentrelease.edges.recorder import DecisionRecorder
from agentrelease.engine.ports import Ref, Unavailable


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
