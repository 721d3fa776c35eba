"""Real things of a world that break while a context lasts, and are whole again after it.

``Broken`` says what a rollback can't do in the meantime: which side stays as it was, and which words its
``RollbackIncomplete`` must have then. Without any it ends although the dependency is broken, unless
nothing can be ``told`` because the status itself can't be written.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml
from tests.support.fault_rules import Rule, Seen, answer
from tests.support.world import AGENT, EXAMPLES, World

from agentrelease.api.vocabulary import LOWERED_ANNOTATION
from agentrelease.edges import kinds
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from tests.support.fault_proxy import FaultProxy
    from tests.support.onlooker import Onlooker

    from agentrelease.engine.ports import Kind, Object

SLOTS = ("support-blue", "support-green")
CANDIDATES = "support-green"
"""Service and Deployment of the candidates, as long as none of them is promoted."""


@dataclass(frozen=True)
class Scene:
    """A world with a stable revision, the proxy between its operator and the API server, and an onlooker."""

    here: World
    proxy: FaultProxy
    onlooker: Onlooker
    stable: str


@dataclass(frozen=True)
class Broken:
    """One dependency, and what is missing without it."""

    breaking: Callable[[Scene], AbstractAsyncContextManager[None]]
    incomplete: str = ""
    stuck: str = ""
    told: bool = True

    @property
    def name(self) -> str:
        return self.breaking.__name__


@asynccontextmanager
async def prometheus_stopped(scene: Scene) -> AsyncIterator[None]:
    await scene.here.stop_prometheus()
    yield
    await scene.here.start_prometheus()


@asynccontextmanager
async def route_never_accepted(scene: Scene) -> AsyncIterator[None]:
    """The route names one more Gateway, which nobody runs: its status lacks that parent for ever."""
    route = Ref(kinds.HTTP_ROUTE, scene.here.namespace, AGENT)
    stored = await scene.here.cluster.get(route)
    assert stored is not None
    parents = stored["spec"]["parentRefs"]
    await scene.here.cluster.merge(route, {"spec": {"parentRefs": [*parents, {"name": "nobodys"}]}})
    yield
    await scene.here.cluster.merge(route, {"spec": {"parentRefs": parents}})


@asynccontextmanager
async def route_writes_fail(scene: Scene) -> AsyncIterator[None]:
    with _failing(scene, "/httproutes/"):
        yield


@asynccontextmanager
async def flag_writes_fail(scene: Scene) -> AsyncIterator[None]:
    with _failing(scene, "/configmaps/support-flags"):
        yield


@asynccontextmanager
async def status_writes_fail(scene: Scene) -> AsyncIterator[None]:
    with _failing(scene, f"/agentreleases/{AGENT}"):
        yield


@asynccontextmanager
async def deployments_unavailable(scene: Scene) -> AsyncIterator[None]:
    """The agents of both revisions fail their readiness probes."""
    here, release = scene.here, await scene.here.release()
    assert release.status.stable is not None
    assert release.status.candidate is not None
    revisions = release.status.stable.revision, release.status.candidate.revision
    for revision in revisions:
        await here.misbehave(revision, unready=True)
    for name in SLOTS:
        await here.until_object(kinds.DEPLOYMENT, name, _unavailable, f"Deployment {name} is unavailable")
    yield
    for revision in revisions:
        await here.misbehave(revision, unready=False)


@asynccontextmanager
async def service_deleted(scene: Scene) -> AsyncIterator[None]:
    async with _deleted(scene, kinds.SERVICE):
        yield


@asynccontextmanager
async def deployment_deleted(scene: Scene) -> AsyncIterator[None]:
    async with _deleted(scene, kinds.DEPLOYMENT):
        yield


@asynccontextmanager
async def _deleted(scene: Scene, kind: Kind) -> AsyncIterator[None]:
    objects = yaml.safe_load_all((EXAMPLES / "platform.yaml").read_text())
    wanted = next(o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind.name, CANDIDATES))
    await scene.here.cluster.delete(Ref(kind, scene.here.namespace, CANDIDATES))
    yield
    await scene.here.kubectl_apply([wanted])


def rollback_write(seen: Seen) -> str:
    """Say which write of a rollback this is; empty for any other write."""
    body = seen.body.decode()
    if not seen.mutating or "/leases" in seen.path or "/events" in seen.path:
        return ""
    if "/agentreleases/" in seen.path:
        phase = (json.loads(body).get("status") or {}).get("phase", "")
        return f"status: {phase}" if phase in ("RollingBack", "RolledBack") else ""
    if LOWERED_ANNOTATION in body:
        return "route" if "/httproutes/" in seen.path else "flags"
    return "decision log" if "/agentrevisions/" in seen.path else ""


@contextmanager
def _failing(scene: Scene, part: str) -> Iterator[None]:
    """Let the API server be out of order for all of the operator's writes of one object."""

    def matches(seen: Seen) -> bool:
        return seen.mutating and part in seen.path

    rule = scene.proxy.add(Rule(matches, answer(500), times=None))
    try:
        yield
    finally:
        assert rule.acted, f"nothing of {part} was tried while it failed"
        scene.proxy.clear()


def _unavailable(obj: Object) -> bool:
    return not obj["status"].get("availableReplicas")
