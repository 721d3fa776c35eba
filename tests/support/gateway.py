"""A namespace with two backends behind a real Envoy, configured through a real API server."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import pytest
from aiohttp import web

from agentrelease.local.addresses import Addresses
from agentrelease.local.gateway import CLASS, Gateway
from agentrelease.local.kubeapi import KubeApi, collection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

Json = dict[str, Any]
API = "gateway.networking.k8s.io/v1"
_PORT = 8080
_AT_ONCE = 20


async def eventually(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 60) -> Any:
    """Ask until the answer is true, and give it; fails after a time that no good run comes near."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not (answer := await condition()):
        if loop.time() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.02)
    return answer


@dataclass
class Arm:
    """One backend: it answers with its name, and keeps the headers of what it was asked; or it is ``app``."""

    name: str
    address: str
    asked: list[dict[str, str]] = field(default_factory=list)
    app: web.Application | None = None

    @contextlib.asynccontextmanager
    async def serve(self):
        async def answer(request: web.Request) -> web.Response:
            headers = request.headers
            self.asked.append({name.lower(): ",".join(headers.getall(name)) for name in headers})
            return web.json_response({"arm": self.name}, headers={"x-arm": self.name})

        app = self.app
        if app is None:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, self.address, _PORT).start()
        try:
            yield self
        finally:
            await runner.cleanup()


@dataclass(frozen=True)
class Answer:
    status: int
    arm: str | None
    headers: dict[str, str]


class Shop:
    """The namespace; enter it, then `serve` a route and `ask`."""

    def __init__(self, kubeconfig: Path, namespace: str, gateways_way: Path | None = None) -> None:
        """`gateways_way` is the gateway's own kubeconfig, if it has one."""
        self.namespace = namespace
        self.blue, self.green = Arm("blue", ""), Arm("green", "")
        self._gateways_way = gateways_way or kubeconfig
        self._kubeconfig, self._stack = kubeconfig, contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            addresses = stack.enter_context(Addresses())
            self.api = await stack.enter_async_context(KubeApi(self._kubeconfig))
            for arm in (self.blue, self.green):
                arm.address = addresses.next()
                await stack.enter_async_context(arm.serve())
                await self._announce(arm)
            await self._create("gateways", API, "gate", _GATEWAY)
            self.gateway = await stack.enter_async_context(
                Gateway(self._gateways_way, namespaces=[self.namespace])
            )
            self.http = await stack.enter_async_context(aiohttp.ClientSession())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def serve(self, *rules: Json, name: str = "route", notes: Json | None = None, **spec: Any) -> Json:
        """Create or change a route, and wait until its status speaks of this generation."""
        body = {
            "metadata": {"name": name, "annotations": notes or {}},
            "spec": {"parentRefs": [{"name": "gate"}], "rules": list(rules)} | spec,
        }
        path = f"{collection(API, 'httproutes', self.namespace)}/{name}"
        try:
            written = await self.api.patch(path, body)
        except Exception as error:
            if getattr(error, "status", None) != 404:
                raise
            written = await self._create("httproutes", API, name, body)
        return await self.reported(written["metadata"]["generation"], name)

    async def reported(self, generation: int, name: str = "route") -> Json:
        """Conditions by type, once they speak of that generation."""

        async def ask() -> Json:
            conditions = await self.conditions(name)
            return conditions if _speaks_of(conditions, generation) else {}

        return await eventually(ask, f"the status of {name} speaks of generation {generation}")

    async def conditions(self, name: str = "route") -> Json:
        route = await self.api.get(f"{collection(API, 'httproutes', self.namespace)}/{name}")
        parents = route.get("status", {}).get("parents", [])
        return {c["type"]: c for entry in parents for c in entry["conditions"]}

    async def ask(self, times: int = 1, path: str = "/", **headers: str) -> list[Answer]:
        """Send requests as a user, some of them at the same time."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one() -> Answer:
            async with gate, self.http.get(self.gateway.url + path, headers=named) as answer:
                body = await answer.read()
                assert answer.status != 200 or body
                return Answer(answer.status, answer.headers.get("x-arm"), dict(answer.headers))

        return await asyncio.gather(*(one() for _ in range(times)))

    async def count(self, times: int, **headers: str) -> Counter[Any]:
        """Ask, and count the arms that answered (or the status, where it wasn't 200)."""
        answers = await self.ask(times, **headers)
        return Counter(answer.arm if answer.status == 200 else answer.status for answer in answers)

    async def remove_service(self, name: str) -> None:
        await self.api.delete(f"{collection('v1', 'services', self.namespace)}/{name}")

    async def _announce(self, arm: Arm) -> None:
        spec = {"selector": {"arm": arm.name}, "ports": [{"port": 80, "targetPort": "http"}]}
        await self._create("services", "v1", arm.name, {"spec": spec})
        container = {"name": "it", "image": "none", "ports": [{"name": "http", "containerPort": _PORT}]}
        body = {"metadata": {"labels": {"arm": arm.name}}, "spec": {"containers": [container]}}
        await self._create("pods", "v1", arm.name, body)
        ready = {"type": "Ready", "status": "True"}
        status = {"phase": "Running", "podIP": arm.address, "podIPs": [{"ip": arm.address}]}
        path = f"{collection('v1', 'pods', self.namespace)}/{arm.name}/status"
        await self.api.patch(path, {"status": status | {"conditions": [ready]}}, strategy="strategic-merge")

    async def _create(self, plural: str, api_version: str, name: str, body: Json) -> Json:
        meta = body.get("metadata", {}) | {"name": name}
        kinds = {"gateways": "Gateway", "httproutes": "HTTPRoute", "services": "Service", "pods": "Pod"}
        typed = {"apiVersion": api_version, "kind": kinds[plural]} | body | {"metadata": meta}
        return await self.api.create(collection(api_version, plural, self.namespace), typed)


def arm(name: str, weight: int = 1, **fields: Any) -> Json:
    """A backendRef."""
    return {"name": name, "port": 80, "weight": weight} | fields


def _speaks_of(conditions: Json, generation: int) -> bool:
    return bool(conditions) and all(
        c["observedGeneration"] == generation for kind, c in conditions.items() if kind != "PartiallyInvalid"
    )


_GATEWAY = {
    "spec": {"gatewayClassName": CLASS, "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]}
}
