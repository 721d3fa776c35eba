"""A local copy of one kind, kept equal to the API server by list and watch (client-go's Reflector).

* `objects` is always a state the server really had; after a broken stream it is listed anew, so what vanished
  meanwhile vanishes here too.
* `wake` is called after every change. It carries no content: a reader looks at `objects`, never at an event.
* A kind that isn't served yet (its CRD comes later) is asked for again, without end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from agentrelease.local.kubeapi import UNREACHABLE, Json, KubeApi

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Key", "Reflector", "key_of"]

Key = tuple[str, str]
"""Namespace (empty for cluster-wide kinds) and name."""

_log = structlog.get_logger()
# A kind that comes later, an old version, a server that is busy, starts or ends: no news.
_PASSING = frozenset({404, 410, 429, 500, 503, 504})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


class Expired(Exception):
    """The watch can't go on from where it was; list again."""


def key_of(obj: Json) -> Key:
    """Name an object within its kind."""
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


class Reflector:
    """Mirrors the collection at `path` into `objects`; `run` it as a task."""

    def __init__(self, api: KubeApi, path: str, wake: Callable[[], None]) -> None:
        self.objects: dict[Key, Json] = {}
        self.synced = asyncio.Event()
        self._api, self._path, self._wake = api, path, wake

    async def run(self) -> None:
        """List and watch for ever; ends by cancellation only."""
        pause = _FIRST_PAUSE
        while True:
            try:
                version = await self._list()
                pause = _FIRST_PAUSE
                while True:
                    version = await self._follow(version)
            except Expired:
                await asyncio.sleep(_FIRST_PAUSE)
            except UNREACHABLE as error:
                refused = getattr(error, "status", 404) not in _PASSING
                tell = _log.warning if refused else _log.debug
                tell("watch interrupted", path=self._path, error=str(error).partition("\n")[0])
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _list(self) -> str:
        answer = await self._api.get(self._path)
        # A list's items carry no kind of their own.
        self.objects = {key_of(item): item for item in answer["items"]}
        self.synced.set()
        self._wake()
        return str(answer["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> str:
        async for event in self._api.watch(self._path, version):
            obj: Json = event["object"]
            if event["type"] == "ERROR":
                raise Expired(obj.get("message", ""))
            version = obj["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "DELETED":
                self.objects.pop(key_of(obj), None)
            else:
                self.objects[key_of(obj)] = obj
            self._wake()
        return version
