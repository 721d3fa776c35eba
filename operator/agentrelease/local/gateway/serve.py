"""The gateway as a controller: watch, translate, bring into force, and only then say so in the statuses.

One loop, level-triggered: any change wakes it, it takes what is known now, and what it wrote is what it knew.
A configuration that Envoy refuses is not reported as live, and leaves the last good one serving.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import structlog

from agentrelease.local.background import Background
from agentrelease.local.gateway.attachment import GROUP
from agentrelease.local.gateway.dating import conditions_since, gateway_status, merged_parents
from agentrelease.local.gateway.envoy import Envoy, Refused
from agentrelease.local.gateway.isolation import Isolation, key_of
from agentrelease.local.gateway.status import CONTROLLER, class_conditions
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
_FIELDS = {
    "classes": "gatewayclasses",
    "gateways": "gateways",
    "routes": "httproutes",
    "services": "services",
    "pods": "pods",
    "namespaces": "namespaces",
}
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
        self._background: Background
        self._isolation = Isolation()
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
            self._background = await stack.enter_async_context(Background())
            self._watch(self._background)
            self._background.start(self._serve())
            self._background.start(self._envoy.wait())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def failed(self) -> None:
        """Wait for what should not happen, and raise it: Envoy's end, or a fault of ours."""
        await self._background.failed()

    def _watch(self, background: Background) -> None:
        paths = {
            plural: [collection(version, plural, namespace) for namespace in self._namespaces]
            for plural, version in _NAMESPACED.items()
        }
        paths["gatewayclasses"] = [collection(_API, "gatewayclasses")]
        paths["namespaces"] = [collection("v1", "namespaces")]
        for plural, places in paths.items():
            self._mirrors[plural] = [Reflector(self._api, path, self._changed.set) for path in places]
            for mirror in self._mirrors[plural]:
                background.start(mirror.run())

    async def _serve(self) -> None:
        await self._ensure_class()
        for mirror in (mirror for mirrors in self._mirrors.values() for mirror in mirrors):
            await mirror.synced.wait()
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._realise()
            except Refused as refusal:
                _log.error("Envoy refuses every configuration", reason=str(refusal))
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

    def _snapshot(self, base: Snapshot | None = None) -> Snapshot:
        """Take what is known now (or `base` again), with the refusals that concern it."""
        if base is None:
            held: dict[str, Any] = {
                field: tuple(obj for mirror in self._mirrors[plural] for obj in mirror.objects.values())
                for field, plural in _FIELDS.items()
            }
            base = Snapshot(**held)
        return replace(base, refused=self._isolation.refusals(base.routes))

    async def _realise(self) -> None:
        """Bring what is known now into force, then report it."""
        snapshot = self._snapshot()
        translation = translate(snapshot)
        try:
            await self._apply(snapshot, translation)
        except Refused as refusal:
            _log.warning("Envoy refused a configuration", reason=str(refusal))
            snapshot, translation = await self._isolate(snapshot, str(refusal))
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for ours in (c for c in snapshot.classes if c["spec"]["controllerName"] == CONTROLLER):
            new = class_conditions(ours["metadata"]["generation"])
            old = ours.get("status", {}).get("conditions", [])
            await self._report("gatewayclasses", ours, {"conditions": conditions_since(new, old, now)})
        for gateway in snapshot.gateways:
            report = translation.gateway_status.get(key_of(gateway))
            if report is not None:
                status = gateway_status(report, gateway.get("status", {}), now)
                await self._report("gateways", gateway, status)
        for route in snapshot.routes:
            old = route.get("status", {}).get("parents", [])
            parents = merged_parents(translation.route_parents[key_of(route)], old, now)
            await self._report("httproutes", route, {"parents": parents})

    async def _apply(self, snapshot: Snapshot, translation: Translation) -> None:
        wanted = (translation.clusters, translation.routes)
        if wanted != self._in_force:
            await self._envoy.apply(*wanted)
            self._in_force = wanted
        self._isolation.accepted(snapshot.routes)

    async def _isolate(self, snapshot: Snapshot, message: str) -> tuple[Snapshot, Translation]:
        """Set every suspect aside, then try each alone; raises `Refused` if the fault is elsewhere."""
        suspects = self._isolation.suspects(snapshot.routes)
        for route in suspects:
            self._isolation.refuse(route, message)
        snapshot = self._snapshot(snapshot)
        await self._apply(snapshot, translate(snapshot))
        for route in suspects if len(suspects) > 1 else []:
            self._isolation.pardon(route)
            attempt = self._snapshot(snapshot)
            try:
                await self._apply(attempt, translate(attempt))
            except Refused as refusal:
                self._isolation.refuse(route, str(refusal))
        snapshot = self._snapshot(snapshot)
        return snapshot, translate(snapshot)

    async def _report(self, plural: str, obj: Json, status: Json) -> None:
        """Write a status if it differs; an object that changed meanwhile wakes the loop anyway."""
        held = obj.get("status", {})
        if all(held.get(field, []) == value for field, value in status.items()):
            return
        meta = obj["metadata"]
        path = f"{collection(_API, plural, meta.get('namespace'))}/{meta['name']}/status"
        body = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": status}
        try:
            await self._api.patch(path, body)
        except UNREACHABLE as error:
            if getattr(error, "status", None) not in {404, 409}:
                raise
