"""Stable's history: read once for a candidate, in the background, and recorded with the evidence."""

from __future__ import annotations

from tests.support.stage import Behaviour, Stage

from agentrelease.core.ledger import Ledger


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
