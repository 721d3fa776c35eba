"""Several operator processes over one release: one leads, and what the others still write does no harm.

The account is the operator's own, so that the admission policy that fences its writes is in force.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.support.breakage import rollback_write
from tests.support.fault_proxy import proxying
from tests.support.fault_rules import Point, Rule, crash
from tests.support.gateway import eventually
from tests.support.onlooker import looking_on, nothing
from tests.support.world import AGENT, EXAMPLES, MOMENT, World, kubectl, world

from agentrelease.api.admission import bound_to, policies
from agentrelease.edges import kinds
from agentrelease.edges.cluster import ApiServer
from agentrelease.edges.credentials import Credentials
from agentrelease.edges.recorder import STREAM
from agentrelease.engine.ports import Ref, Refused
from agentrelease.local.demo_exposure import reach

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.fault_proxy import FaultProxy
    from tests.support.fault_rules import Exchange, Seen
    from tests.support.onlooker import Onlooker

    from agentrelease.local.controlplane import ControlPlane
    from agentrelease.local.processes import Child

OPERATOR = "system:serviceaccount:agentrelease-system:agentrelease-operator"
PLUGIN = Path(sys.executable).parent / "kubectl-agent_release"
TENTH = {"name": "tenth", "weight": 10, "autonomy": "suggestion-only"}
HALF = {"name": "half", "weight": 50, "autonomy": "limited-action", "minDuration": "1h"}
ALL = {"name": "all", "weight": 100, "autonomy": "limited-action"}


@dataclass(frozen=True)
class Fenced:
    """A world whose first operator and whose second one reach the API server by a proxy each."""

    here: World
    account: Path
    first: FaultProxy
    second: FaultProxy
    onlooker: Onlooker

    async def operator(self, kubeconfig: Path) -> Child:
        """Start one more operator, which stands by."""
        self.here.settings["AGENTRELEASE_KUBECONFIG"] = str(kubeconfig)
        return await self.here.start_operator(leading=False)

    async def leads(self, child: Child) -> None:
        async def told() -> bool:
            return re.search(r'"event": ?"leading"', child.command.log.read_text()) is not None

        await eventually(told, f"{child.command.log.name}: leads", MOMENT)


@asynccontextmanager
async def fencing(plane: ControlPlane, name: str) -> AsyncIterator[None]:
    """The fence of the operator's account, in force in one namespace."""
    fence = [one for one in policies(OPERATOR) if one["metadata"]["name"] == "agentrelease-epoch-fence"]
    manifests = bound_to({"kubernetes.io/metadata.name": name}, f"{name}-", fence)
    await kubectl(plane, manifests, "apply", "-f", "-")
    try:
        yield
    finally:
        await kubectl(plane, manifests, "delete", "-f", "-")


@pytest.fixture
async def fenced(
    control_plane: ControlPlane, namespace: Callable[[], str], tmp_path: Path
) -> AsyncIterator[Fenced]:
    account = await asyncio.to_thread(control_plane.user, OPERATOR, "system:masters")
    name = namespace()
    for directory in ("first", "second"):
        (tmp_path / directory).mkdir()
    async with (
        fencing(control_plane, name),
        proxying(account, tmp_path / "first") as first,
        proxying(account, tmp_path / "second") as second,
        world(
            control_plane, name, tmp_path, settings={"AGENTRELEASE_KUBECONFIG": str(first.kubeconfig)}
        ) as here,
        looking_on(here) as onlooker,
    ):
        yield Fenced(here, account, first, second, onlooker)
        lines = here.operator_log()
    assert not [line for line in lines if "Traceback" in str(line)]
    assert not [line for line in lines if line.get("event") == "look broke"]
    assert here.traffic.totals.shadows == 0, "an answer of a mirror reached a user"


class Late:
    """A write that raises the candidate to half, on its way until ``goes_on`` is set."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.sent, self.goes_on = asyncio.Event(), asyncio.Event()
        self.seen: Seen | None = None
        proxy.add(Rule(self._raises, self._hold))

    def _raises(self, seen: Seen) -> bool:
        if not seen.mutating or "/httproutes/" not in seen.path:
            return False
        return reach(json.loads(seen.body), "support-green").weight == HALF["weight"]

    async def _hold(self, exchange: Exchange) -> None:
        self.seen = exchange.seen
        self.sent.set()
        await self.goes_on.wait()
        await exchange.reply()

    async def arrives(self) -> int:
        """Let the write go on, and return the API server's answer."""
        self.goes_on.set()
        seen = self.seen
        assert seen is not None

        async def answered() -> int:
            return seen.status

        return int(await eventually(answered, "the late write is answered", MOMENT))


async def test_a_leader_that_stood_still_and_one_that_is_killed_are_followed_by_the_next(
    fenced: Fenced,
) -> None:
    here, onlooker = fenced.here, fenced.onlooker
    first = here.operators[0]
    v1 = await here.apply("v1.yaml", phases=[HALF, ALL])
    await here.promoted(v1)
    second = await fenced.operator(fenced.second.kubeconfig)

    late = Late(fenced.first)
    v2 = await here.apply("v2.yaml", phases=[TENTH, HALF, ALL])
    async with asyncio.timeout(MOMENT):
        await late.sent.wait()
    os.killpg(first.pid, signal.SIGSTOP)
    onlooker.mark(v2)
    assert onlooker.given(v2).reach.weight == TENTH["weight"]
    await here.patch({"rollback": {"to": v1, "of": v2}})
    await onlooker.until(lambda: nothing(onlooker.given(v2)), "it goes down although its leader stands still")
    await fenced.leads(second)
    await here.in_phase("RolledBack")
    assert await late.arrives() in (403, 409), "what was on its way is refused"
    os.killpg(first.pid, signal.SIGCONT)
    async with asyncio.timeout(MOMENT):
        await first.process.wait()
    assert nothing(onlooker.given(v2))
    onlooker.fell_only(v2)

    third = await fenced.operator(fenced.account)
    v3 = await _exposed_at_half(here)
    onlooker.mark(v3)
    await _a_stale_epoch_is_refused(fenced, late)

    def kill() -> None:
        os.killpg(second.pid, signal.SIGKILL)

    fenced.second.add(Rule(lambda seen: rollback_write(seen) != "", crash(Point.BEFORE, kill), times=None))
    await here.patch({"rollback": {"to": v1, "of": v3}})
    async with asyncio.timeout(MOMENT):
        await second.process.wait()
    await fenced.leads(third)
    await here.in_phase("RolledBack")
    assert nothing(onlooker.given(v3))
    await onlooker.nobody_meets(v3)
    onlooker.fell_only(v3)
    await _the_log_holds(here)


async def _exposed_at_half(here: World) -> str:
    bundle = yaml.safe_load((EXAMPLES / "v2.yaml").read_text())["spec"]["bundle"]
    bundle["memory"] = {"version": "m3"}
    revision = await here.apply("v2.yaml", bundle=bundle, phases=[HALF, ALL])
    await here.until(lambda r: r.status.phase == "half" and r.status.candidate.active_seconds > 0, "half")
    return revision


async def _a_stale_epoch_is_refused(fenced: Fenced, late: Late) -> None:
    """The late write would not get through either if it came without a resourceVersion."""
    assert late.seen is not None
    obj = json.loads(late.seen.body)
    patch = {"metadata": {"annotations": obj["metadata"]["annotations"]}, "spec": obj["spec"]}
    async with await ApiServer.connect(Credentials(fenced.account)) as operator:
        with pytest.raises(Refused, match="a newer leader has written already"):
            await operator.merge(Ref(kinds.HTTP_ROUTE, fenced.here.namespace, AGENT), patch)


async def _the_log_holds(here: World) -> None:
    """Copies and streams of all operators are one chain, and no step of a rollout was decided twice."""
    told = [line for line in here.operator_log() if line.get("event") == STREAM]
    told.sort(key=lambda line: line["entry"]["sequence"])
    stream = here.logs / "stream.jsonl"
    stream.write_text("".join(json.dumps(line) + "\n" for line in told))
    for where in (["--file", str(stream)], [AGENT, "-n", here.namespace]):
        await _verified(here, *where)
    steps = Counter(
        (entry["revision"], entry["outcome"]["move"], entry["phase"])
        for entry in {line["entry"]["id"]: line["entry"] for line in told}.values()
        if entry["outcome"]["move"] != "Keep"
    )
    assert steps
    assert [step for step, times in steps.items() if times > 1] == []


async def _verified(here: World, *where: str) -> None:
    environment = {**os.environ, "KUBECONFIG": str(here.plane.kubeconfig), "PYTHONUTF8": "1"}

    async def holds() -> bool:
        process = await asyncio.create_subprocess_exec(
            PLUGIN, "log", "--verify", *where, env=environment, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        return process.returncode == 0 and b"unchanged, complete and in order" in said

    await eventually(holds, f"the log holds: {where}", MOMENT)
