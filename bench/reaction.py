"""How long a bad candidate keeps its exposure, from the first bad sample in Prometheus to safety.

Each trial releases a new bundle to half of the traffic, waits until it is confirmed there, and then makes it
misbehave at once. The clock starts at the scrape time of the first bad sample and stops when the route with
weight 0 and the flags with `observe` are stored: a watch of its own tells the bench, so nothing is polled.

What is judged by statistics can't be faster than its samples and its blocks, so how often Prometheus scrapes
and how long a block is are part of every result.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml
from tests.support.world import AGENT, EXAMPLES, world

from agentrelease.local.demo_measuring import increases
from agentrelease.local.demo_observer import Observer

if TYPE_CHECKING:
    from tests.support.world import World

    from agentrelease.local.controlplane import ControlPlane

LASTING = 30.0
"""Seconds of requests for each trial; they take less than half of it."""
PHASES = [
    {"name": "half", "weight": 50, "autonomy": "suggestion-only", "minDuration": "1h"},
    {"name": "all", "weight": 100, "autonomy": "suggestion-only"},
]
FAULTS = {
    "overwhelming breach": ({"violations": 0.95}, "agentrelease_policy_violations_total"),
    "forbidden action": ({"rogue": True}, "agentrelease_actions_total"),
}


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two scrapes of an agent, and of a block of evidence."""

    scrape: float = 0.5
    block: float = 0.5

    @property
    def settings(self) -> dict[str, str]:
        """The operator's settings; twenty samples of each series are read, however often they come."""
        lookback = max(1.0, 20 * self.scrape)
        return {
            "AGENTRELEASE_EVALUATION_INTERVAL": f"{self.block:g}",
            "AGENTRELEASE_EVIDENCE_LOOKBACK": f"{lookback:g}",
        }


USUAL = Pace()


@dataclass(frozen=True, slots=True)
class Reaction:
    """Seconds from the first bad sample until each lever was safe."""

    fault: str
    flags: float
    route: float

    @property
    def safe(self) -> float:
        """When both were."""
        return max(self.flags, self.route)


async def reactions(
    plane: ControlPlane, namespace: str, logs: Path, trials: int, pace: Pace
) -> tuple[list[Reaction], list[float]]:
    """Run trials, half of each fault; also return the operator's memory in MiB, sampled at each."""
    found: list[Reaction] = []
    memory: list[float] = []
    async with (
        world(
            plane,
            namespace,
            logs,
            rate=80,
            settings=pace.settings,
            scrape=pace.scrape,
            lasting=LASTING * (trials + 5),
        ) as here,
        aiohttp.ClientSession(trust_env=False) as session,
        Observer(plane.kubeconfig, namespace, AGENT) as observer,
    ):
        await here.promoted(await here.apply("v1.yaml", phases=PHASES))
        for number in range(trials):
            fault = list(FAULTS)[number % len(FAULTS)]
            found.append(await _trial(here, session, observer, fault, number))
            memory.append(_resident(here.operators[-1].pid))
    return found, memory


async def _trial(
    here: World, session: aiohttp.ClientSession, observer: Observer, fault: str, number: int
) -> Reaction:
    revision = await here.apply("v2.yaml", phases=PHASES, bundle=_bundle(number))
    await here.until(
        lambda r: r.status.verdict in ("Collecting", "Soaking") and r.status.phase == "half", "half"
    )
    faults, metric = FAULTS[fault]
    injected = time.time()
    await here.misbehave(revision, **faults)
    await here.in_phase("RolledBack")
    seen = await _first_bad(here, session, metric, revision, injected)
    exposed = observer.exposed(revision)
    if exposed.flags_safe is None or exposed.route_safe is None:
        raise RuntimeError(f"{revision} is said to be rolled back, but still has {observer.sightings[-1]}")
    return Reaction(fault, exposed.flags_safe - seen, exposed.route_safe - seen)


def _resident(pid: int) -> float:
    """Return a process's resident memory in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def _bundle(number: int) -> dict[str, Any]:
    bundle = yaml.safe_load((EXAMPLES / "v2.yaml").read_text())["spec"]["bundle"]
    bundle["memory"] = {"version": f"bench-{number}"}
    return bundle


async def _first_bad(
    here: World, session: aiohttp.ClientSession, metric: str, revision: str, since: float
) -> float:
    query = f'{metric}{{namespace="{here.namespace}",release="{revision}"}}[10m]'
    if metric == "agentrelease_actions_total":
        query = query.replace("}[", ',disposition="executed"}[')
    async with session.get(f"{here.prometheus_url}/api/v1/query", params={"query": query}) as reply:
        result = (await reply.json())["data"]["result"]
    series = [[(float(at), float(value)) for at, value in one["values"]] for one in result]
    return min(at for values in series for at in increases(values) if at >= since)
