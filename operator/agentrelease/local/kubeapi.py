"""Plain JSON verbs on the Kubernetes API, for programs that stand in for cluster components on one machine.

* Objects are dicts, as the API server sends them: the node and the gateway read a handful of fields of many
  kinds, and generated models would cost more to load than the programs themselves.
* Every call has a deadline; a call that fails raises `kubernetes`' `DynamicApiError` (its `status` is the
  HTTP code) or `aiohttp.ClientError`/`TimeoutError` when no answer came. Nothing is retried here: the loops
  above are level-triggered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from kubernetes.aio.config import new_client_from_config
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import DynamicApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from aiohttp import AddrInfoType

__all__ = ["UNREACHABLE", "Json", "KubeApi", "collection"]

Json = dict[str, Any]

UNREACHABLE = (DynamicApiError, aiohttp.ClientError, TimeoutError, OSError)
"""What a call raises when the API server refuses it, or can't be asked."""

_CALL = aiohttp.ClientTimeout(total=10)
_WATCH_SECONDS = 240
_GOODBYE_SECONDS = 2
_WATCH = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_WATCH_SECONDS + 30)


def collection(api_version: str, plural: str, namespace: str | None = None) -> str:
    """Give the URL path of a kind's collection, e.g. `/api/v1/namespaces/shop/pods`."""
    root = "/apis" if "/" in api_version else "/api"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}/{api_version}{scope}/{plural}"


class KubeApi:
    """A connection to one API server; close it, or use it as a context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._client: Any = None
        self._dynamic: Any = None
        self._connector: aiohttp.TCPConnector
        self._sockets: list[socket.socket] = []

    async def __aenter__(self) -> Self:
        self._client = await new_client_from_config(config_file=str(self._kubeconfig))
        context = self._client.rest_client.ssl_context
        self._connector = aiohttp.TCPConnector(limit=0, ssl=context, socket_factory=self._open)
        self._client.configuration.client_session_kwargs = {"connector": self._connector}
        self._dynamic = DynamicClient(self._client)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection, and wait until it is.

        A connection whose request was cancelled says goodbye in TLS, which takes the server's answer; nobody
        waits for that, and whoever closes the loop first leaves an open socket behind.
        """
        await self._client.close()
        await self._connector.close()
        for opened in self._sockets:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                while any(opened.fileno() != -1 for opened in self._sockets):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.001)

    async def get(self, path: str, **query: str) -> Json:
        return await self._json("get", path, query_params=list(query.items()))

    async def create(self, path: str, body: Json) -> Json:
        return await self._json("post", path, body=body)

    async def patch(self, path: str, body: Json, *, strategy: str = "merge") -> Json:
        """Patch by `strategy`: `merge` (RFC 7386) or `strategic-merge` (built-in kinds only)."""
        return await self._json("patch", path, body=body, content_type=f"application/{strategy}-patch+json")

    async def delete(self, path: str, *, grace_seconds: int | None = None, uid: str | None = None) -> Json:
        """Delete one object, or with `uid` only that very object (409 if another has taken its name)."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return await self._json("delete", path, body=options)

    async def watch(self, path: str, resource_version: str) -> AsyncIterator[Json]:
        """Yield watch events from `resource_version` on, until the server ends the stream (minutes)."""
        query = [("watch", "true"), ("resourceVersion", resource_version), ("allowWatchBookmarks", "true")]
        query.append(("timeoutSeconds", str(_WATCH_SECONDS)))
        response = await self._dynamic.request(
            "get", path, query_params=query, serialize=False, _request_timeout=_WATCH
        )
        async with response:
            async for line in response.content:
                if line.endswith(b"\n"):  # else the stream was cut in the middle of an event
                    yield json.loads(line)

    def _open(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        opened = socket.socket(family=family, type=kind, proto=protocol)
        self._sockets = [known for known in self._sockets if known.fileno() != -1]
        self._sockets.append(opened)
        return opened

    async def _json(self, method: str, path: str, **request: Any) -> Json:
        response = await self._dynamic.request(
            method, path, serialize=False, _request_timeout=_CALL, **request
        )
        async with response:
            answer: Mapping[str, Any] = await response.json()
        return dict(answer)
