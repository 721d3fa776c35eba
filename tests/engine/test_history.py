"""Stable's history: read once for a candidate, in the background, and recorded with the evidence."""

from __future__ import annotations

import json

import pytest
from tests.support.stage import SPEC, Behaviour, Stage

from agentrelease.core.ledger import Ledger
from agentrelease.core.reference import read_reference


async def serving() -> Stage:
    stage = Stage(seed=7)
    await stage.install()
    await stage.apply("v1")
    await stage.run(60, until="Promoted")
    await stage.run(30)
    return stage


async def test_evidence_begins_with_stables_rates_and_dispersion() -> None:
    stage = await serving()
    await stage.apply("v2", Behaviour(completion=0.94))
    await stage.run(30, until="shadow")
    await stage.step()
    ledger = Ledger.from_json((await stage.release()).status.evidence)
    assert "blocks of stable's history" in ledger.origin
    state = ledger.metrics["task-completion"]
    assert state.scatter.pairs > ledger.blocks
    assert sum(s.past.n for s in state.strata.values()) > 5 * stage.rate
    assert ledger.blocks == ledger.phase_blocks == 1, "another revision's evidence is not this one's"


async def test_who_serves_alone_is_held_to_what_stables_past_days_came_back_to() -> None:
    """Evenings are hard for everybody: four times as many tasks fail, every day, whoever serves."""
    stage = await serving()
    stage.days = [0.96] * 18 + [0.76] * 6
    v2 = await stage.apply("v2", Behaviour(completion=0.94, violations=0.005))
    release = await stage.run(600, until="Promoted")
    assert "168 hours" in Ledger.from_json(release.status.watch.evidence).recalled
    (said,) = {one.reason for one in release.status.history if "stable's record" in one.reason}
    assert "168 hours of its past days" in said
    record = read_reference(release.status.reference)["task-completion"].values()
    assert [one.highest for one in record] == [pytest.approx(0.24, rel=0.05)] * len(record)
    stage.behaviours[v2] = Behaviour(completion=0.76, violations=0.005)
    for _ in range(200):
        await stage.step(looks=1)
    assert (await stage.release()).status.phase == "Promoted"
    stage.behaviours[v2] = Behaviour(completion=0.66, violations=0.005)
    await stage.run(200, until="RolledBack")


async def test_where_nothing_is_known_of_days_an_evening_is_harm() -> None:
    stage = await serving()
    v2 = await stage.apply("v2", Behaviour(completion=0.94, violations=0.005))
    release = await stage.run(600, until="Promoted")
    assert Ledger.from_json(release.status.watch.evidence).recalled == "its past days are not known"
    stage.behaviours[v2] = Behaviour(completion=0.76, violations=0.005)
    await stage.run(200, until="RolledBack")


async def test_days_are_part_of_the_course_by_which_lost_evidence_comes_back() -> None:
    stage = await serving()
    stage.days = [0.96] * 18 + [0.76] * 6
    await stage.apply("v2", Behaviour(completion=0.94, violations=0.005))
    await stage.run(30, until="shadow")
    await stage.step()
    release = await stage.release()
    ledger = Ledger.from_json(release.status.evidence)
    assert ledger.recalled.startswith("168 hours")
    assert "days" in [step[0] for step in json.loads(release.status.course)["s"]]


async def test_without_history_the_release_goes_on_and_says_so() -> None:
    stage = await serving()
    stage.forgets = True
    await stage.apply("v2", Behaviour(completion=0.94, violations=0.005))
    await stage.run(30, until="shadow")
    await stage.step()
    ledger = Ledger.from_json((await stage.release()).status.evidence)
    assert ledger.origin.startswith("0 blocks")
    assert "no memory" in ledger.origin
    await stage.run(400, until="Promoted")


async def test_days_that_could_not_be_read_are_asked_for_again() -> None:
    stage = await serving()
    stage.days = [0.96] * 18 + [0.76] * 6
    stage.forgets = True
    phases = [SPEC["phases"][0] | {"minDuration": "3m"}, *SPEC["phases"][1:]]
    await stage.apply("v2", Behaviour(completion=0.94, violations=0.005), phases=phases)
    await stage.run(50, until="shadow")
    await stage.run(40)
    stage.forgets = False
    before = Ledger.from_json((await stage.release()).status.evidence)
    after = Ledger.from_json((await stage.run(60)).status.evidence)
    assert (before.recalled, after.recalled) == ("", "168 hours of its past days are known")
    assert after.origin == before.origin, "the history that a ledger began with stays what it was"


async def test_where_days_are_never_read_the_release_goes_on_and_says_so() -> None:
    stage = await serving()
    stage.forgets = True
    await stage.apply("v2", Behaviour(completion=0.94, violations=0.005))
    release = await stage.run(600, until="Promoted")
    (said,) = {one.reason for one in release.status.history if "stable's record" in one.reason}
    assert "its past days were not read" in said
