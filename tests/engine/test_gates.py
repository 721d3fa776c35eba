"""Phases behind a gate, over the closed loop: nothing is raised before it opens, lowering never waits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.stage import AGENT, NAMESPACE, SPEC, Behaviour, Stage

from agentrelease.api.vocabulary import API_VERSION, AUTHOR_ANNOTATION
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

PHASES = [
    {**phase, **({"approval": "required"} if phase["name"] == "half" else {})} for phase in SPEC["phases"]
]


async def waiting() -> tuple[Stage, str]:
    """A candidate that has everything but the approval to enter `half`."""
    stage = Stage(rate=60)
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    v2 = await stage.apply("v2", phases=PHASES)
    for _ in range(200):
        await stage.step()
        if (await stage.release()).status.verdict == "AwaitingApproval":
            return stage, v2
    raise AssertionError("never waited for the approval")


async def consent(stage: Stage, name: str = "yes", **changes: Any) -> None:
    candidate = (await stage.release()).status.candidate
    assert candidate is not None
    expires = datetime.fromtimestamp(stage.now + 3600, UTC).isoformat()
    spec = {
        "release": AGENT,
        "digest": candidate.digest,
        "from": "canary-10",
        "to": "half",
        "approver": "ann@example.com",
        "expires": expires,
    } | changes
    metadata = {"name": name, "namespace": NAMESPACE}
    await stage.cluster.create(
        {"apiVersion": API_VERSION, "kind": "AgentApproval", "metadata": metadata, "spec": spec}
    )


async def test_a_phase_that_wants_an_approval_is_entered_only_with_it() -> None:
    stage, _ = await waiting()
    for _ in range(20):
        await stage.step()
    release = await stage.release()
    assert release.status.phase == "canary-10"
    conditions = {c.type: c.status for c in release.status.conditions}
    assert conditions["AwaitingApproval"] == "True"
    await consent(stage)
    await stage.run(5, until="half")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"digest": "sha256:" + "e" * 64}, "is for another bundle"),
        ({"from": "internal"}, "is for leaving internal"),
        ({"expires": "2020-01-01T00:00:00Z"}, "expired at 2020-01-01"),
        ({"to": "all", "from": "half"}, ""),
        ({"release": "billing"}, ""),
    ],
    ids=["digest", "from", "expired", "to", "release"],
)
async def test_consent_to_anything_else_is_no_consent_and_is_named(
    changes: dict[str, Any], said: str
) -> None:
    stage, _ = await waiting()
    await consent(stage, **changes)
    for _ in range(10):
        await stage.step()
    release = await stage.release()
    assert release.status.phase == "canary-10"
    assert said in release.status.reason


async def test_the_authors_own_consent_is_none_and_somebody_elses_is() -> None:
    stage, _ = await waiting()
    ref = Ref(kinds.AGENT_RELEASE, NAMESPACE, AGENT)
    stored = await stage.cluster.get(ref)
    assert stored is not None
    version = stored["metadata"]["resourceVersion"]
    author = {"annotations": {AUTHOR_ANNOTATION: "ann@example.com"}, "resourceVersion": version}
    await stage.cluster.merge(ref, {"metadata": author})
    await consent(stage)
    for _ in range(10):
        await stage.step()
    release = await stage.release()
    assert release.status.phase == "canary-10"
    assert "yes by ann@example.com wrote the bundle" in release.status.reason
    await consent(stage, "second", approver="bob@example.com")
    await stage.run(5, until="half")


async def test_while_an_approval_is_missing_a_breach_still_rolls_back() -> None:
    stage, v2 = await waiting()
    stage.behaviours[v2] = Behaviour(violations=0.9)
    await stage.run(60, until="RolledBack")
    assert stage.reach()[v2] == (0.0, 0.0)


async def test_outside_of_the_windows_a_release_waits_and_can_still_be_rolled_back() -> None:
    stage = Stage(rate=60)
    await stage.install()
    await stage.apply("v1")
    await stage.run(20, until="Promoted")
    frozen = datetime.fromtimestamp(stage.now, UTC).date().isoformat()
    v2 = await stage.apply("v2", freezes=[{"first": frozen, "last": frozen}])
    for _ in range(30):
        await stage.step()
    release = await stage.release()
    assert (release.status.phase, release.status.verdict) == ("Loading", "WindowClosed")
    await stage.apply("v2")
    await stage.run(60, until="canary-10")
    await stage.apply("v2", freezes=[{"first": frozen, "last": frozen}])
    stage.behaviours[v2] = Behaviour(violations=0.9)
    await stage.run(60, until="RolledBack")
