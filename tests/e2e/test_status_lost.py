"""Somebody wipes a status in mid-canary: evidence is read again, and nobody is given what wasn't earned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import yaml
from tests.support.onlooker import looking_on, nothing
from tests.support.world import AGENT, EXAMPLES

from agentrelease.core.course import Course, digest_of
from agentrelease.core.ledger import Ledger
from agentrelease.edges import kinds
from agentrelease.engine.ports import Conflict, Ref

if TYPE_CHECKING:
    from tests.support.world import World

    from agentrelease.api.release import AgentRelease
    from agentrelease.api.status import Condition

CANARY = "canary-10"
PHASES = ["shadow", "internal", CANARY, "half", "all", "full"]


def phases(stay: str = "") -> list[dict[str, Any]]:
    """The example's phases, as short as a world's; one of them is not left for an hour."""
    found = yaml.safe_load((EXAMPLES / "v2.yaml").read_text())["spec"]["phases"]
    short = {"minSamples": 20, "minDuration": "1s", "deadline": "2h"}
    return [one | short | ({"minDuration": "1h"} if one["name"] == stay else {}) for one in found]


async def wipe(here: World, *fields: str) -> dict[str, Any]:
    """Empty fields of the stored status, or all of it, and return the status as it was just before."""
    ref = Ref(kinds.AGENT_RELEASE, here.namespace, AGENT)
    while True:
        stored = await here.cluster.get(ref)
        assert stored is not None
        status = stored["status"]
        left = {**status, **dict.fromkeys(fields, "")} if fields else {}
        try:
            await here.cluster.replace(stored | {"status": left}, subresource="status")
        except Conflict:
            continue
        return dict(status)


def kept(release: AgentRelease) -> Condition:
    return next(one for one in release.status.conditions if one.type == "EvidenceKept")


async def recounted(here: World, revision: str, start: float, end: float) -> float:
    """Tasks of external users that a revision finished in ``(start, end]``, as Prometheus' counters say."""
    query = f'sum(agentrelease_tasks_total{{release="{revision}",audience!="internal"}})'
    values = []
    async with httpx.AsyncClient(base_url=here.prometheus_url, trust_env=False) as client:
        for at in (start, end):
            answer = await client.get("/api/v1/query", params={"query": query, "time": f"{at:.3f}"})
            found = answer.raise_for_status().json()["data"]["result"]
            values.append(float(found[0]["value"][1]) if found else 0.0)
    return values[1] - values[0]


async def test_wiped_evidence_is_read_again_and_after_a_wiped_status_the_rollout_begins_anew(
    here: World,
) -> None:
    v1 = await here.apply("v1.yaml")
    await here.promoted(v1)
    async with looking_on(here) as onlooker:
        v2 = await here.apply("v2.yaml", phases=phases(CANARY))
        await here.until(lambda r: r.status.phase == CANARY and r.status.verdict == "Soaking", "it soaks")
        here.seen.clear()
        before = await wipe(here, "evidence")
        release = await here.until(lambda r: kept(r).reason not in ("Kept", "Rebuilding"), "it is told")
        assert set(here.seen) == {CANARY}
        _goes_on_from(release, before)
        await _counts_what_prometheus_counts(here, release, v2, v1)

        await here.patch({"phases": phases("half")})
        await here.until(lambda r: r.status.phase == "half" and r.status.verdict == "Soaking", "it goes on")
        await wipe(here)
        await onlooker.until(lambda: nothing(onlooker.given(v2)), "nothing is left to the candidate")
    release = await here.until(lambda r: r.status.candidate is not None, "it begins anew")
    assert release.status.stable is not None
    assert release.status.stable.revision == v1
    here.seen.clear()
    await here.in_phase("half")
    await here.patch({"phases": phases()})
    await here.promoted(v2)
    assert [phase for phase in here.seen if phase in PHASES] == PHASES


def _goes_on_from(release: AgentRelease, before: dict[str, Any]) -> None:
    """What was lost was proven to be what was rebuilt, and the ledger goes on from there."""
    assert kept(release).reason == "Rebuilt", kept(release).message
    lost, now = Ledger.from_json(before["evidence"]), Ledger.from_json(release.status.evidence)
    told, course = Course.from_json(before["course"]), Course.from_json(release.status.course)
    assert told is not None
    assert course is not None
    assert told.proof == digest_of(before["evidence"])
    assert course.steps[: len(told.open.steps) - 1] == told.open.steps[:-1]
    assert (now.phase_at, now.origin) == (lost.phase_at, lost.origin)
    assert now.phase_blocks >= lost.phase_blocks


async def _counts_what_prometheus_counts(here: World, release: AgentRelease, *arms: str) -> None:
    """The phase's totals are what the counters grew by in that time, read by a query of another kind."""
    now = Ledger.from_json(release.status.evidence)
    (whole,) = now.metrics["task-completion"].strata.values()
    counted = [await recounted(here, one, now.phase_at, now.through) for one in arms]
    assert [whole.candidate.n, whole.stable.n] == counted
    assert min(counted) > 0
