"""One run of a command: connect, work, print; every expected failure becomes one line on stderr."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from agentrelease.cli.frame import Frame
from agentrelease.cli.glyphs import ASCII, UNICODE
from agentrelease.cli.orders import Impossible
from agentrelease.cli.target import Target, choose
from agentrelease.edges.cluster import ApiServer
from agentrelease.edges.credentials import CredentialsError
from agentrelease.engine.ports import ClusterError, Missing, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agentrelease.engine.ports import Cluster

_PIPE_COLUMNS = 140
USER_AGENT = "kubectl-agent_release"


@dataclass(frozen=True, slots=True)
class Where:
    """The options that say which cluster and namespace, as kubectl has them."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None

    def or_else(self, other: Where) -> Where:
        """Return these options, and the others' where these are not given."""
        return Where(
            self.kubeconfig or other.kubeconfig,
            self.context or other.context,
            self.namespace or other.namespace,
        )


@dataclass(frozen=True, slots=True)
class Printer:
    """Where to print, and how wide."""

    console: Console

    def frame(self) -> Frame:
        """The space a table may take: the terminal's width, or what it needs where there is none."""
        options = self.console.options
        return Frame(options.max_width, None, ASCII if options.ascii_only else UNICODE, time.time())

    def say(self, sentence: str) -> None:
        """Print one sentence as it is, never wrapped and never taken for markup."""
        self.console.print(
            self.frame().glyphs.legible(sentence), markup=False, highlight=False, soft_wrap=True
        )

    def dump(self, value: Any) -> None:
        """Print JSON and nothing else."""
        self.console.file.write(json.dumps(value, indent=2) + "\n")


@dataclass(frozen=True, slots=True)
class Session(Printer):
    """A connected cluster, where we are in it, and where to print."""

    cluster: Cluster
    target: Target

    @property
    def namespace(self) -> str:
        """The namespace a name is looked up in."""
        return self.target.namespace


def run(where: Where, work: Callable[[Session], Awaitable[int | None]]) -> int:
    """Run a command to its end; returns the exit code."""
    try:
        return asyncio.run(_connected(where, work)) or 0
    except KeyboardInterrupt:
        return 130
    except (Impossible, CredentialsError) as error:
        return _fail(str(error))
    except Missing as error:
        return _fail(f"{error}. Are the AgentRelease kinds installed? See: kubectl api-resources")
    except Unavailable as error:
        return _fail(f"The API server can't be asked: {error}. Check --context and --kubeconfig.")
    except ClusterError as error:
        return _fail(f"{error}{_way_out(str(error))}")


def _way_out(refusal: str) -> str:
    """Return what helps a person whom RBAC refuses; what admission refuses says so itself."""
    if "forbidden: User" not in refusal or " cannot " not in refusal:
        return ""
    return ". Ask who administers the namespace for that verb; see what you may: kubectl auth can-i --list"


def run_offline(work: Callable[[Printer], int | None]) -> int:
    """Run a command that needs no cluster; returns the exit code."""
    try:
        return work(Printer(_console())) or 0
    except Impossible as error:
        return _fail(str(error))


async def _connected(where: Where, work: Callable[[Session], Awaitable[int | None]]) -> int | None:
    target = choose(where.kubeconfig, where.context, where.namespace)
    async with await ApiServer.connect(target.credentials, user_agent=USER_AGENT) as cluster:
        return await work(Session(_console(), cluster, target))


def _console() -> Console:
    """A terminal's own width; a pipe gets whole columns, for whoever reads them."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_COLUMNS
    return console


def _fail(sentence: str) -> int:
    line = " ".join(UNICODE.legible(sentence).split())
    sys.stderr.write(f"Error: {line}\n")
    return 1
