"""The agent's HTTP face: tasks for users, a page for Prometheus, a log for compensations.

==============  =====================================================================================
POST /task      work on a turn; headers x-session, x-audience, x-risk-tier, x-workflow-class
GET /metrics    the SDK's page; empty while no release is loaded
GET /healthz    200 once the release's own bundle is loaded, 503 and the reason before
GET /actions    effects that happened (``?since=&limit=``); contract in ``agentrelease.sdk.actions``
GET /whoami     agent, release, digest; level and tools in effect (``?risk_tier=&workflow_class=``)
POST /label     say something of a task that ended: ``{"request": <x-request-id>, "label": "corrected"}``
POST /behaviour changes rates or injects a fault; only straight from this machine, never through a gateway
==============  =====================================================================================
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import asdict
from typing import TYPE_CHECKING

from aiohttp import web

from agentrelease.local.agent.behaviour import UnknownBehaviour
from agentrelease.local.agent.conversation import Turn
from agentrelease.local.agent.hosting import Hosted, Hosting
from agentrelease.sdk import ActionLog, AgentFlags, AgentMetrics, page_of
from agentrelease.sdk.actions import LONGEST_PAGE
from agentrelease.sdk.pairing.reporter import PairReporter

if TYPE_CHECKING:
    from agentrelease.local.agent.settings import Settings

_GATEWAY_HEADERS = ("x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-envoy-expected-rq-timeout-ms")
_RELOAD_SECONDS = 0.2


class Agent:
    """One process: of one slot, or without slots of every revision that the flags may name.

    In a slot it is empty until its bundle is there, and the same release until it ends.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._flags = AgentFlags(settings.agent, settings.release, settings.flags)
        told = settings.pairing and settings.release
        self._pairing = PairReporter(settings.pairing, settings.agent, settings.release) if told else None
        self._hosting = Hosting(settings, self._flags, self._pairing)

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/task", self._task),
                web.get("/metrics", self._page),
                web.get("/healthz", self._healthz),
                web.get("/actions", self._actions),
                web.get("/whoami", self._whoami),
                web.post("/label", self._label),
                web.post("/behaviour", self._fault),
            ]
        )
        return app

    async def load(self) -> tuple[str, ...]:
        """Wait until there is another release to serve than before; return all there are."""
        known = len(self._hosting.releases)
        while len(self._hosting.releases) == known:
            self._hosting.look()
            await asyncio.sleep(_RELOAD_SECONDS)  # a mounted file sends no events
        return tuple(sorted(self._hosting.releases))

    def close(self) -> None:
        """Let go of the flags, and tell what is left to tell."""
        self._flags.close()
        if self._pairing is not None:
            self._pairing.close()

    def _serving(self, turn: Turn) -> Hosted | str:
        """Return the release that serves this turn, or what is missing."""
        hosting, settings = self._hosting, self._settings
        if settings.bundles_path is None:
            return hosting.releases.get(settings.release) or hosting.missing
        said = {"audience": turn.audience}
        chosen = self._flags.serving(turn.session, said)
        if chosen is None or not chosen.revision:
            return "the flags name no revision"
        return hosting.releases.get(chosen.revision) or f"{chosen.revision} is not loaded: {hosting.missing}"

    async def _task(self, request: web.Request) -> web.Response:
        headers = request.headers
        turn = Turn(
            session=headers.get("x-session", ""),
            audience=headers.get("x-audience", "external"),
            risk_tier=headers.get("x-risk-tier", "high"),
            workflow_class=headers.get("x-workflow-class", "general"),
            live=not is_shadow(request.host),
            request=headers.get("x-request-id", ""),
        )
        hosted = self._serving(turn)
        if isinstance(hosted, str):
            return web.json_response({"error": hosted}, status=503)
        answer = await hosted.conversation.answer(turn, hosted.behaviour)
        response = web.json_response(answer, headers={"x-agent-release": hosted.release})
        response.set_cookie("agent-release", hosted.release, httponly=True, samesite="Lax")
        return response

    async def _page(self, _request: web.Request) -> web.Response:
        hosted = self._hosting.releases.values()
        if any(one.behaviour.silent for one in hosted):
            return web.Response(status=503, text="silent\n")
        page = page_of([one.metrics for one in hosted])
        return web.Response(body=page, headers={"Content-Type": AgentMetrics.content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        hosting = self._hosting
        if not hosting.releases and self._settings.bundles_path is None:
            return web.json_response({"ready": False, "reason": hosting.missing}, status=503)
        if any(one.behaviour.unready for one in hosting.releases.values()):
            return web.json_response({"ready": False, "reason": "told to be unready"}, status=503)
        return web.json_response({"ready": True, "release": self._settings.release})

    async def _actions(self, request: web.Request) -> web.Response:
        try:
            since, limit = (
                int(request.query.get("since", "0")),
                int(request.query.get("limit", str(LONGEST_PAGE))),
            )
        except ValueError:
            return web.json_response({"error": "since and limit are whole numbers"}, status=400)
        hosted = self._hosting.releases.get(self._settings.release)
        log = hosted.log if hosted else ActionLog(self._settings.release)
        return web.json_response(log.page(since, limit))

    async def _whoami(self, request: web.Request) -> web.Response:
        asked = request.query
        may = self._flags.permissions(
            "", risk_tier=asked.get("risk_tier"), workflow_class=asked.get("workflow_class")
        )
        hosted = self._hosting.releases
        mine = hosted.get(self._settings.release)
        return web.json_response(
            {
                "agent": self._settings.agent,
                "release": self._settings.release,
                "bundleDigest": mine.bundle.digest if mine else None,
                "releases": sorted(hosted),
                "autonomy": may.autonomy,
                "tools": {"allow": sorted(may.allow), "requireApproval": sorted(may.require_approval)},
                "halted": may.halted,
            }
        )

    async def _label(self, request: web.Request) -> web.Response:
        try:
            said = await request.json()
            request_id, label = str(said["request"]), str(said["label"])
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": "request and label are texts"}, status=400)
        counted = any(one.metrics.label(request_id, label) for one in self._hosting.releases.values())
        return web.json_response({"counted": counted})

    async def _fault(self, request: web.Request) -> web.Response:
        if not _from_here(request):
            return web.json_response({"error": "only straight from this machine"}, status=403)
        hosted = list(self._hosting.releases.values())
        try:
            given = await request.json()
            changed = [one.behaviour.with_fields(given) for one in hosted]
        except (UnknownBehaviour, ValueError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        for one, behaviour in zip(hosted, changed, strict=True):
            one.behaviour = behaviour
        return web.json_response(asdict(changed[0]) if changed else {})


def is_shadow(host: str) -> bool:
    """Whether Envoy mirrored this request: it appends ``-shadow`` to the host, before any port."""
    return host.partition(":")[0].endswith("-shadow")


def _from_here(request: web.Request) -> bool:
    peer = request.remote
    straight = not any(name in request.headers for name in _GATEWAY_HEADERS)
    return straight and peer is not None and ipaddress.ip_address(peer).is_loopback
