"""How long a bad candidate keeps its exposure, from the first bad sample in Prometheus to safety.

Each trial releases a new bundle to half of the traffic, waits until it is confirmed there, and then makes it
misbehave at once. The clock starts at the scrape time of the first bad sample and stops when the route is
read with weight 0 and the flags with `observe`. The bench reads both itself, every ten milliseconds; that is
in the figures, and so is the load of its reads.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml
from tests.support.world import AGENT, EXAMPLES, world

from agentrelease.api.vocabulary import Autonomy
from agentrelease.edges import kinds
from agentrelease.edges.flags.document import parse
from agentrelease.engine.ports import Ref
from agentrelease.local.demo_measuring import increases

if TYPE_CHECKING:
    from tests.support.world import World

    from agentrelease.local.controlplane import ControlPlane

PHASES = [
    {"name": "half", "weight": 50, "autonomy": "suggestion-only", "minDuration": "1h"},
    {"name": "all", "weight": 100, "autonomy": "suggestion-only"},
]
FAULTS = {
    "overwhelming breach": ({"violations": 0.95}, "agentrelease_policy_violations_total"),
    "forbidden action": ({"rogue": True}, "agentrelease_actions_total"),
}


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
    plane: ControlPlane, namespace: str, logs: Path, trials: int
) -> tuple[list[Reaction], list[float]]:
    """Run trials, half of each fault; also return the operator's memory in MiB, sampled at each."""
    found: list[Reaction] = []
    memory: list[float] = []
    async with (
        world(plane, namespace, logs, rate=80) as here,
        aiohttp.ClientSession(trust_env=False) as session,
    ):
        await here.promoted(await here.apply("v1.yaml", phases=PHASES))
        for number in range(trials):
            fault = list(FAULTS)[number % len(FAULTS)]
            found.append(await _trial(here, session, fault, number))
            memory.append(_resident(here.operators[-1].pid))
    return found, memory


async def _trial(here: World, session: aiohttp.ClientSession, fault: str, number: int) -> Reaction:
    revision = await here.apply("v2.yaml", phases=PHASES, bundle=_bundle(number))
    await here.until(
        lambda r: r.status.verdict in ("Collecting", "Soaking") and r.status.phase == "half", "half"
    )
    watching = asyncio.create_task(_levers_safe(here, revision))
    faults, metric = FAULTS[fault]
    injected = time.time()
    await here.misbehave(revision, **faults)
    flags, route = await watching
    await here.in_phase("RolledBack")
    seen = await _first_bad(here, session, metric, revision, injected)
    return Reaction(fault, flags - seen, route - seen)


def _resident(pid: int) -> float:
    """Return a process's resident memory in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def _bundle(number: int) -> dict[str, Any]:
    bundle = yaml.safe_load((EXAMPLES / "v2.yaml").read_text())["spec"]["bundle"]
    bundle["memory"] = {"version": f"bench-{number}"}
    return bundle


async def _levers_safe(here: World, revision: str) -> tuple[float, float]:
    """Return when the flags and the route were first seen safe; looks every few milliseconds."""
    flags = route = 0.0
    while not (flags and route):
        if not flags and await _grants_nothing(here, revision):
            flags = time.time()
        if not route and 0 in (await here.route_weights()).values():
            route = time.time()
        await asyncio.sleep(0.01)
    return flags, route


async def _grants_nothing(here: World, revision: str) -> bool:
    stored = await here.cluster.get(Ref(kinds.CONFIG_MAP, here.namespace, "support-flags"))
    document = json.loads((stored or {})["data"][f"{AGENT}.flagd.json"])
    return parse(document, AGENT).grant(revision).autonomy is Autonomy.OBSERVE


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
