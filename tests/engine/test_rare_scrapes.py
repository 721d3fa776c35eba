"""Agents that are scraped less often than blocks end: evidence is all there, only in larger pieces."""

from __future__ import annotations

import pytest
from tests.support.stage import POLICY, Behaviour, Stage, lasting

from agentrelease.core.course import Course, runs
from agentrelease.core.ledger import Ledger

RARELY = [3, 10]
GOOD = Behaviour(completion=0.94, violations=0.005)


async def serving(scrape: int) -> tuple[Stage, str]:
    stage = Stage()
    stage.scrape = scrape
    await stage.install(POLICY | {"staleAfter": f"{3 * scrape}s", "blindAfter": f"{6 * scrape}s"})
    v1 = await stage.apply("v1")
    await stage.run(20 * scrape, until="Promoted")
    return stage, v1


@pytest.mark.parametrize("scrape", RARELY)
async def test_a_good_release_is_promoted(scrape: int) -> None:
    stage, _ = await serving(scrape)
    v2 = await stage.apply("v2", GOOD)
    await stage.run(100 * scrape, until="Promoted")
    assert stage.reach()[v2][0] == 1.0


@pytest.mark.parametrize("scrape", RARELY)
async def test_a_bad_release_is_rolled_back(scrape: int) -> None:
    stage, v1 = await serving(scrape)
    await stage.apply("v3", Behaviour(completion=0.99, violations=0.15))
    release = await stage.run(60 * scrape, until="RolledBack")
    assert "policy-violations" in release.status.refused[0].reason
    assert stage.reach()[v1][0] == 1.0


async def test_every_block_compares_both_arms_and_none_is_longer_than_it_takes() -> None:
    stage, _ = await serving(7)
    await stage.apply("v2", GOOD, phases=lasting("canary-10"))
    await stage.run(700, until="canary-10")
    await stage.run(70)
    status = (await stage.release()).status
    course, ledger = Course.from_json(status.course), Ledger.from_json(status.evidence)
    assert course is not None
    lengths = [length for step in course.steps if step[0] == "to" for _, length, _ in runs(*step[1:])]
    assert max(lengths) <= 8.0
    completion = ledger.metrics["task-completion"].strata[""]
    assert ledger.through - ledger.metrics["task-completion"].known_at < 8.0
    assert 0.08 < completion.candidate.n / (completion.candidate.n + completion.stable.n) < 0.12


@pytest.mark.parametrize("later", [0, 5])
async def test_a_forbidden_action_is_counted_though_its_block_waits_for_the_other_arm(later: int) -> None:
    stage, _ = await serving(10)
    await stage.run(later)
    v2 = await stage.apply("v2", GOOD, phases=lasting("shadow"))
    await stage.run(700, until="shadow")
    await stage.run(30)
    stage.behaviours[v2] = Behaviour(rogue=1.0)
    for _ in range(11):
        await stage.step()
        actions = stage._series()["agentrelease_actions_total"]
        if any(one.samples[-1].value for one in actions if one.labels["release"] == v2):
            break
    assert stage.reach()[v2] == (0.0, 0.0), "at once when its agent was scraped"
    release = await stage.run(80, until="RolledBack")
    assert "forbidden-action" in release.status.refused[0].reason


async def test_what_was_done_before_a_phase_is_no_evidence_that_it_may_be_left() -> None:
    stage, _ = await serving(10)
    await stage.apply("v2", GOOD, phases=lasting("canary-10"))
    entered = Ledger.from_json((await stage.run(2000, until="canary-10")).status.evidence)
    found = []
    for _ in range(40):
        ledger = Ledger.from_json((await stage.run(1)).status.evidence)
        if ledger.blocks > entered.blocks + len(found):
            found.append(ledger.metrics["task-completion"].strata[""].candidate.n)
    assert found[0] == 0, "its tasks go back to before the phase"
    assert 0 < found[-1] < 1.3 * 10 * 40, "and no burst of the cohort's"


async def test_a_share_is_measured_over_as_many_scrapes_as_it_takes() -> None:
    stage, _ = await serving(10)
    await stage.apply("v2", GOOD, phases=lasting("half"))
    await stage.run(2000, until="half")
    measured = (await stage.run(40)).status.exposure.measured
    assert measured is not None
    assert measured.weight is not None
    assert 45 < measured.weight < 55
    assert measured.seconds == 20.0


async def test_scrapes_rarer_than_evidence_may_be_old_are_named_with_the_way_out() -> None:
    stage = Stage()
    stage.scrape = 7
    await stage.install(POLICY | {"staleAfter": "5s", "blindAfter": "60s"})
    await stage.apply("v1")
    await stage.run(60, until="Promoted")
    await stage.apply("v2", GOOD)
    seen = set()
    for _ in range(120):
        await stage.step()
        seen.add((await stage.release()).status.reason)
    assert any("scraped every 7 s and staleAfter is 5 s" in reason for reason in seen), seen
