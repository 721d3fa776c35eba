"""The demo agent without slots, a real process: the flags name the revision that serves a session."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.local.conftest import bundle_of

from agentrelease.api.vocabulary import Autonomy
from agentrelease.core.bundle import canonical, digest_of, revision_name
from agentrelease.core.exposure import Cohort
from agentrelease.edges.flags.document import FlagSet, Grant, text
from agentrelease.edges.flags.share import Share

if TYPE_CHECKING:
    from pathlib import Path

INTERNAL = Cohort("audience", "internal", attribute=True)
TOOLS = frozenset({"kb.search", "tickets.comment"})


class Shared:
    """One pod, its directory of bundles and its flags."""

    def __init__(self, start_agent, folder: Path):
        self.bundles = folder
        self.agent = start_agent(release="", wait=False, BUNDLES_PATH=str(folder))

    def load(self, prompts: str) -> str:
        bundle = bundle_of(prompts)
        revision = revision_name("support", digest_of(bundle))
        (self.bundles / f"{revision}.json").write_bytes(canonical(bundle))
        self.agent.wait(lambda: revision in self.agent.whoami()["releases"])
        return revision

    def say(self, stable: str, candidate: str = "", weight: int = 0, version: int = 1) -> None:
        until = int(time.time() + 3600)
        told = FlagSet(
            "support",
            version,
            Grant(stable, Autonomy.FULL_ACTION, TOOLS),
            Grant(candidate, Autonomy.OBSERVE, lease_until=until) if candidate else None,
            splits=True,
            share=Share(weight, 100, INTERNAL) if candidate else None,
        )
        beside = self.agent.root / "beside"
        beside.write_text(text(told.document()))
        beside.rename(self.agent.root / "support.flagd.json")

    def served(self, sessions: int = 200, **headers: str) -> Counter[str]:
        return Counter(
            answer.get("release", answer.get("error"))
            for n in range(sessions)
            for answer in self.agent.ask(1, session=f"session-{n}", **headers)
        )


@pytest.fixture
def shared(start_agent, tmp_path) -> Shared:
    (tmp_path / "bundles").mkdir()
    return Shared(start_agent, tmp_path / "bundles")


def test_without_a_document_nobody_serves_and_says_why(shared):
    shared.load("v1")
    reply = shared.agent.client.post("/task", headers={"x-session": "s1"})
    assert (reply.status_code, reply.json()) == (503, {"error": "the flags name no revision"})


def test_sessions_are_served_and_counted_under_the_revision_that_the_flags_name(shared):
    v1, v2 = shared.load("v1"), shared.load("v2")
    shared.say(v1, v2, weight=25)
    shared.agent.wait(lambda: set(shared.served(60)) == {v1, v2})
    shared.agent.forget()
    served = shared.served()
    assert 0.1 < served[v2] / 200 < 0.4
    for revision in (v1, v2):
        assert shared.agent.grown("agentrelease_tasks_total", release=revision) == served[revision]
    assert shared.served(20, audience="internal") == {v2: 20}


def test_each_revision_does_what_it_may_and_no_more(shared):
    v1, v2 = shared.load("v1"), shared.load("v2")
    shared.say(v1, v2)
    shared.agent.wait(lambda: set(shared.served(3)) == {v1})
    stable = [action for answer in shared.agent.ask(20, session="s") for action in answer["actions"]]
    tested = shared.agent.ask(20, session="s", audience="internal")
    assert {action["disposition"] for action in stable} == {"executed"}
    assert {a["disposition"] for answer in tested for a in answer["actions"]} == {"simulated"}
    assert {answer["autonomy"] for answer in tested} == {"observe"}


def test_a_bundle_that_comes_later_is_served_without_a_restart(shared):
    v1 = shared.load("v1")
    shared.say(v1)
    shared.agent.wait(lambda: set(shared.served(3)) == {v1})
    v2 = shared.load("v2")
    assert shared.agent.value("agentrelease_info", release=v2) == 1
    shared.say(v2, version=2)
    shared.agent.wait(lambda: set(shared.served(3)) == {v2})


def test_a_revision_whose_bundle_is_not_there_is_refused_and_named(shared):
    shared.load("v1")
    shared.say("support-ffffffffff")
    shared.agent.wait(lambda: "support-ffffffffff is not loaded" in json.dumps(dict(shared.served(1))))


def test_a_file_that_is_not_what_its_name_says_is_not_served(shared):
    (shared.bundles / "support-0123456789.json").write_bytes(canonical(bundle_of("v1")))
    shared.say("support-0123456789")
    shared.agent.wait(lambda: "is not release support-0123456789" in json.dumps(dict(shared.served(1))))
