"""The gateway as a controller: watch, translate, bring into force, and only then say so in the statuses.

One loop, level-triggered: any change wakes it, it takes what is known now, and what it wrote is what it knew.
A configuration that Envoy refuses is not reported as live, and leaves the last good one serving.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import structlog

from agentrelease.local.gateway.attachment import GROUP
from agentrelease.local.gateway.envoy import Envoy, Refused
from agentrelease.local.gateway.status import (
    CONTROLLER,
    condition,
    conditions_since,
    gateway_status,
    merged_parents,
)
from agentrelease.local.gateway.translate import Snapshot, Translation, translate
from agentrelease.local.kubeapi import UNREACHABLE, KubeApi, collection
from agentrelease.local.reflector import Reflector

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["CLASS", "Gateway"]

Json = dict[str, Any]

CLASS = "agentrelease-local"
"""The GatewayClass that this gateway creates, where there is none of that name."""

_API = f"{GROUP}/v1"
_log = structlog.get_logger()
_RETRY_SECONDS = 0.5
_NAMESPACED = {"gateways": _API, "httproutes": _API, "services": "v1", "pods": "v1"}


class Gateway:
    """Serves Gateways and HTTPRoutes on 127.0.0.1; `url` is known once the context is entered.

    With `namespaces`, only objects of those are looked at, so that several gateways can share an API server.
    """

    def __init__(
        self,
        kubeconfig: Path,
        *,
        port: int = 0,
        namespaces: Collection[str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self._kubeconfig, self._port, self._directory = kubeconfig, port, directory
        self._namespaces: list[str | None] = list(namespaces) if namespaces else [None]
        self._changed = asyncio.Event()
        self._mirrors: dict[str, list[Reflector]] = {}
        self._stack = contextlib.AsyncExitStack()
        self._api: KubeApi
        self._envoy: Envoy
        self._in_force: tuple[dict[str, Json], Json] | None = None

    @property
    def url(self) -> str:
        """Where users' requests go, e.g. `http://127.0.0.1:41234`."""
        return self._envoy.url

    @property
    def admin_url(self) -> str:
        """Envoy's admin interface."""
        return self._envoy.admin_url

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            directory = self._directory or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-"))
            )
            self._envoy = await stack.enter_async_context(Envoy(directory, self._port))
            self._api = await stack.enter_async_context(KubeApi(self._kubeconfig))
            tasks = await stack.enter_async_context(_Tasks())
            self._watch(tasks)
            tasks.start(self._serve())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def failed(self) -> None:
        """Wait until Envoy ends by itself, which raises `EnvoyFailed`."""
        await self._envoy.wait()

    def _watch(self, tasks: _Tasks) -> None:
        paths = {
            plural: [collection(version, plural, namespace) for namespace in self._namespaces]
            for plural, version in _NAMESPACED.items()
        }
        paths["gatewayclasses"] = [collection(_API, "gatewayclasses")]
        paths["namespaces"] = [collection("v1", "namespaces")]
        for plural, places in paths.items():
            self._mirrors[plural] = [Reflector(self._api, path, self._changed.set) for path in places]
            for mirror in self._mirrors[plural]:
                tasks.start(mirror.run())

    async def _serve(self) -> None:
        await self._ensure_class()
        for mirror in (mirror for mirrors in self._mirrors.values() for mirror in mirrors):
            await mirror.synced.wait()
        while True:
            await self._changed.wait()
            self._changed.clear()
            snapshot = self._snapshot()
            try:
                await self._realise(snapshot, translate(snapshot))
            except Refused as refusal:
                _log.error("Envoy refused the configuration", reason=str(refusal))
            except UNREACHABLE as error:
                _log.warning("gateway will try again", error=str(error).splitlines()[0])
                await asyncio.sleep(_RETRY_SECONDS)
                self._changed.set()

    async def _ensure_class(self) -> None:
        body: Json = {"apiVersion": _API, "kind": "GatewayClass", "metadata": {"name": CLASS}}
        body["spec"] = {"controllerName": CONTROLLER}
        while True:
            try:
                await self._api.create(collection(_API, "gatewayclasses"), body)
            except UNREACHABLE as error:
                if getattr(error, "status", None) == 409:
                    return
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    def _snapshot(self) -> Snapshot:
        held = {
            plural: tuple(obj for mirror in mirrors for obj in mirror.objects.values())
            for plural, mirrors in self._mirrors.items()
        }
        return Snapshot(
            classes=held["gatewayclasses"],
            gateways=held["gateways"],
            routes=held["httproutes"],
            services=held["services"],
            pods=held["pods"],
            namespaces=held["namespaces"],
        )

    async def _realise(self, snapshot: Snapshot, translation: Translation) -> None:
        wanted = (translation.clusters, translation.routes)
        if wanted != self._in_force:
            await self._envoy.apply(*wanted)
            self._in_force = wanted
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for gateway_class in snapshot.classes:
            await self._report_class(gateway_class, now)
        for gateway in snapshot.gateways:
            new = translation.gateway_status.get(_key(gateway))
            if new is not None:
                await self._report("gateways", gateway, gateway_status(new, gateway.get("status", {}), now))
        for route in snapshot.routes:
            old = route.get("status", {}).get("parents", [])
            parents = merged_parents(translation.route_parents[_key(route)], old, now)
            await self._report("httproutes", route, {"parents": parents})

    async def _report_class(self, gateway_class: Json, now: str) -> None:
        if gateway_class["spec"]["controllerName"] != CONTROLLER:
            return
        accepted = condition(
            "Accepted",
            holds=True,
            reason="Accepted",
            message="served by the local gateway",
            generation=gateway_class["metadata"]["generation"],
        )
        old = gateway_class.get("status", {}).get("conditions", [])
        await self._report(
            "gatewayclasses", gateway_class, {"conditions": conditions_since([accepted], old, now)}
        )

    async def _report(self, plural: str, obj: Json, status: Json) -> None:
        """Write a status if it differs; an object that changed meanwhile wakes the loop anyway."""
        held = obj.get("status", {})
        if all(held.get(field) == value for field, value in status.items()):
            return
        meta = obj["metadata"]
        path = f"{collection(_API, plural, meta.get('namespace'))}/{meta['name']}/status"
        body = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": status}
        try:
            await self._api.patch(path, body)
        except UNREACHABLE as error:
            if getattr(error, "status", None) not in {404, 409}:
                raise


class _Tasks:
    """Background tasks that end with their context."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def start(self, work: Any) -> None:
        self._running.add(asyncio.create_task(work))


def _key(obj: Json) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
