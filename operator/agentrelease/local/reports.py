"""Writes Pod statuses: only what differs, never on a namesake, and again when the API server was away."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

import structlog

from agentrelease.local.kubeapi import UNREACHABLE, KubeApi, collection

if TYPE_CHECKING:
    from agentrelease.local.pods import RunningPod

__all__ = ["StatusReporter"]

Json = dict[str, Any]
_RETRY_SECONDS = 0.5
_GONE = {404, 409}
_ERROR_CHARACTERS = 300
_log = structlog.get_logger()


class StatusReporter:
    """Keeps the written status of every Pod equal to the real one."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._written: dict[str, Json] = {}

    async def follow(self, running: RunningPod, dirty: asyncio.Event) -> None:
        """Write at once and after every change, for ever."""
        while True:
            dirty.clear()
            if not await self.write(running):
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            await dirty.wait()

    def forget(self, uid: str) -> None:
        """Drop what is known of a Pod that is gone."""
        self._written.pop(uid, None)

    async def write(self, running: RunningPod) -> bool:
        """Write the status as it is now; False if the API server could not be reached."""
        meta = running.pod["metadata"]
        uid, known = meta["uid"], self._written.get(meta["uid"], {})
        status = _dated(running.status(), known)
        if status == known:
            return True
        path = f"{collection('v1', 'pods', meta['namespace'])}/{meta['name']}/status"
        # Addresses merge by value: without this, those of a dead node's time would stay in the list.
        addresses = [{"$patch": "replace"}, *status["podIPs"]]
        body = {"metadata": {"uid": uid}, "status": status | {"podIPs": addresses}}
        try:
            await self._api.patch(path, body, strategy="strategic-merge")
        except UNREACHABLE as error:
            if getattr(error, "status", None) in _GONE:
                return True
            _log.warning(
                "a Pod's status was not written", pod=meta["name"], error=str(error)[:_ERROR_CHARACTERS]
            )
            return False
        self._written[uid] = status
        return True


def _dated(status: Json, known: Json) -> Json:
    """Date the conditions: a condition that says what it said keeps its time."""
    before = {item["type"]: item for item in known.get("conditions", [])}
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def since(item: Json) -> str:
        old = before.get(item["type"])
        return str(old["lastTransitionTime"]) if old and old["status"] == item["status"] else now

    return status | {"conditions": [c | {"lastTransitionTime": since(c)} for c in status["conditions"]]}
