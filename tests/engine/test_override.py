"""A bundle that was rolled back stays out, until a person lets it in again: once, by name, on record."""

from __future__ import annotations

from tests.support.stage import AGENT, NAMESPACE, Behaviour, Stage

from agentrelease.api.vocabulary import OVERRIDE_ANNOTATION
from agentrelease.core.record import replay
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

GOOD, BAD = Behaviour(completion=0.94, violations=0.005), Behaviour(violations=0.3)


async def rolled_back() -> tuple[Stage, str, str]:
    stage = Stage()
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    bad = await stage.apply("v2", BAD)
    await stage.run(200, until="RolledBack")
    return stage, bad, (await stage.release()).status.refused[-1].digest


async def allow(stage: Stage, word: str) -> None:
    """As ``kubectl annotate --overwrite`` would."""
    ref = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
    version = stage.cluster.objects[ref]["metadata"]["resourceVersion"]
    meta = {"resourceVersion": version, "annotations": {OVERRIDE_ANNOTATION: word}}
    await stage.cluster.merge(ref, {"metadata": meta})


def starts(stage: Stage, revision: str) -> list[str]:
    """Why the rollouts of a revision began, as the decision log says."""
    entries = [entry.content for entry in stage.entries]
    return [
        entry["outcome"]["reason"]
        for entry in entries
        if entry["revision"] == revision and entry["outcome"]["move"] == "Start"
    ]


async def test_without_an_override_it_stays_out_and_says_how_to_let_it_in() -> None:
    stage, bad, digest = await rolled_back()
    await stage.run(20)
    status = (await stage.release()).status
    assert (status.verdict, status.candidate) == ("Refused", None)
    why, _, way_out = status.reason.partition("; to let it in again: ")
    assert why.startswith(f"{bad} was rolled back before: {status.refused[0].reason}"), "why comes first"
    assert way_out == f"annotation {OVERRIDE_ANNOTATION}={digest}"
    assert len(starts(stage, bad)) == 1


async def test_an_override_of_another_digest_lets_nothing_in() -> None:
    stage, bad, _ = await rolled_back()
    await allow(stage, "sha256:" + "0" * 64)
    await stage.run(20)
    assert len(starts(stage, bad)) == 1


async def test_an_override_lets_it_in_and_the_log_and_the_history_say_so() -> None:
    stage, bad, digest = await rolled_back()
    stage.behaviours[bad] = GOOD
    await allow(stage, digest)
    await stage.run(5)
    release = await stage.run(400, until="Promoted")
    first, second = starts(stage, bad)
    assert OVERRIDE_ANNOTATION not in first
    assert f"although it was rolled back: {OVERRIDE_ANNOTATION} allows it" in second
    assert any(OVERRIDE_ANNOTATION in one.reason for one in release.status.history)
    assert release.status.refused == []
    entry = next(e.content for e in stage.entries if e.content["outcome"]["reason"] == second)
    assert entry["inputs"]["release"]["metadata"]["annotations"] == {OVERRIDE_ANNOTATION: digest}
    assert replay(entry["inputs"]) == entry["outcome"]


async def test_an_override_counts_once_so_that_what_fails_again_stays_out() -> None:
    stage, bad, digest = await rolled_back()
    await allow(stage, digest)
    await stage.run(5)
    await stage.run(200, until="RolledBack")
    release = await stage.run(60)
    assert len(starts(stage, bad)) == 2
    assert release.status.verdict == "Refused"
    assert f"{OVERRIDE_ANNOTATION}={digest}/2" in release.status.reason
    await allow(stage, f"{digest}/2")
    await stage.run(5)
    assert len(starts(stage, bad)) == 3


async def test_an_override_is_spent_although_the_bundle_was_promoted_in_between() -> None:
    stage, bad, digest = await rolled_back()
    stage.behaviours[bad] = GOOD
    await allow(stage, digest)
    await stage.run(5)
    await stage.run(400, until="Promoted")
    stage.behaviours[bad] = BAD
    await stage.run(100, until="RolledBack")
    release = await stage.run(30)
    assert len(starts(stage, bad)) == 2
    assert release.status.refused[-1].times == 2
    assert release.status.verdict == "Refused"
