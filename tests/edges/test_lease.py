"""A grant without its operator ends by itself, in every trial, and stable's does not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges.flags.document import Grant, parse
from agentrelease.sdk import AgentFlags, FlagSource

if TYPE_CHECKING:
    from pathlib import Path

TRIALS, TTL = 50, 3
STABLE, CANDIDATE = "support-3f9a0c11de", "support-77aa00bb12"

# Renews one lease after the other, each a TTL from the moment of its writing, until it is killed.
OPERATOR = """
import sys, time
from pathlib import Path
from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges.flags.document import FlagSet, Grant, text
folder, stable, candidate, trials, ttl = Path(sys.argv[1]), *sys.argv[2:4], *map(int, sys.argv[4:6])
version = 0
while True:
    for trial in range(trials):
        version += 1
        tools = frozenset({"kb.search"})
        granted = Grant(candidate, Autonomy.LIMITED_ACTION, tools, frozenset(), int(time.time()) + ttl)
        written = FlagSet("support", version, Grant(stable, Autonomy.FULL_ACTION, tools), granted)
        fresh = folder / f"{trial}.fresh"
        fresh.write_text(text(written.document()))
        fresh.rename(folder / f"{trial}.flagd.json")
        time.sleep(0.01)
"""


def until(condition, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_fifty_candidates_fall_to_observe_when_their_operator_is_killed(tmp_path: Path) -> None:
    files = [tmp_path / f"{trial}.flagd.json" for trial in range(TRIALS)]
    arguments = [sys.executable, "-c", OPERATOR, tmp_path, STABLE, CANDIDATE, str(TRIALS), str(TTL)]
    with ExitStack() as stack:
        operator = stack.enter_context(subprocess.Popen(arguments))
        stack.callback(operator.kill)
        until(lambda: all(file.exists() for file in files), "the operator writes all flags")
        sources = [FlagSource(str(file)) for file in files]
        candidates = [stack.enter_context(closing(AgentFlags("support", CANDIDATE, s))) for s in sources]
        stable = stack.enter_context(closing(AgentFlags("support", STABLE, sources[0])))
        for flags in candidates:
            until(lambda flags=flags: level(flags) is Autonomy.LIMITED_ACTION, "the lease is renewed")
        operator.kill()
        operator.wait()
        killed = time.time()
        grants = [parse(json.loads(file.read_text()), "support").grant(CANDIDATE) for file in files]
        assert all(ends(grant) <= killed + TTL for grant in grants)
        for flags, grant in zip(candidates, grants, strict=True):
            until(lambda grant=grant: time.time() >= ends(grant), "the lease ends")
            assert flags.permissions("session").autonomy is Autonomy.OBSERVE
            assert flags.permissions("session").allow == frozenset()
        assert level(stable) is Autonomy.FULL_ACTION


def level(flags: AgentFlags) -> Autonomy:
    return flags.permissions("session").autonomy


def ends(grant: Grant) -> int:
    assert grant.lease_until is not None
    return grant.lease_until
