"""The agent's HTTP face: tasks for users, a page for Prometheus, a log for compensations.

==============  =====================================================================================
POST /task      work on a turn; headers x-session, x-audience, x-risk-tier, x-workflow-class
GET /metrics    the SDK's page; empty while no release is loaded
GET /healthz    200 once the release's own bundle is loaded, 503 and the reason before
GET /actions    effects that happened (``?since=&limit=``); contract in ``agentrelease.sdk.actions``
GET /whoami     agent, release, digest, and the autonomy in effect
POST /behaviour changes rates or injects a fault; only straight from this machine, never through a gateway
==============  =====================================================================================
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import asdict
from random import Random
from typing import TYPE_CHECKING

from aiohttp import web

from agentrelease.local.agent.behaviour import Behaviour, UnknownBehaviour, behaviour_of
from agentrelease.local.agent.bundle import LoadedBundle, NotLoaded, load_bundle
from agentrelease.local.agent.conversation import Conversation, Turn
from agentrelease.sdk import ActionLog, AgentFlags, AgentMetrics, Identity
from agentrelease.sdk.actions import LONGEST_PAGE
from agentrelease.sdk.pairing.reporter import PairReporter

if TYPE_CHECKING:
    from agentrelease.local.agent.settings import Settings

_GATEWAY_HEADERS = ("x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-envoy-expected-rq-timeout-ms")
_RELOAD_SECONDS = 0.2


class Agent:
    """One process of one slot: empty until its bundle is there, the same release until it ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._flags = AgentFlags(settings.agent, settings.release, settings.flags)
        self._log = ActionLog(settings.release)
        self._behaviour = Behaviour()
        told = settings.pairing and settings.release
        self._pairing = PairReporter(settings.pairing, settings.agent, settings.release) if told else None
        self._bundle: LoadedBundle | None = None
        self._metrics: AgentMetrics | None = None
        self._conversation: Conversation | None = None
        self.missing = "starting"

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
                web.post("/behaviour", self._fault),
            ]
        )
        return app

    async def load(self) -> LoadedBundle:
        """Wait until the release's bundle is mounted; from then on it never changes."""
        while not self._loaded():  # noqa: ASYNC110 - a mounted file sends no events
            await asyncio.sleep(_RELOAD_SECONDS)
        assert self._bundle is not None
        return self._bundle

    def close(self) -> None:
        """Let go of the flags, and tell what is left to tell."""
        self._flags.close()
        if self._pairing is not None:
            self._pairing.close()

    def _loaded(self) -> bool:
        settings = self._settings
        try:
            bundle = load_bundle(settings.bundle_path, settings.release)
        except NotLoaded as problem:
            self.missing = str(problem)
            return False
        self._behaviour = behaviour_of(bundle.content).with_fields(settings.faults)
        identity = Identity(settings.agent, settings.release, bundle.digest)
        self._metrics = AgentMetrics(identity, flags=self._flags, pairing=self._pairing)
        self._bundle = bundle
        rng = Random(settings.seed)  # noqa: S311 - a simulation that can be repeated
        self._conversation = Conversation(bundle, self._flags, self._metrics, self._log, rng)
        return True

    async def _task(self, request: web.Request) -> web.Response:
        if self._conversation is None:
            return web.json_response({"error": self.missing}, status=503)
        headers = request.headers
        turn = Turn(
            session=headers.get("x-session", ""),
            audience=headers.get("x-audience", "external"),
            risk_tier=headers.get("x-risk-tier", "high"),
            workflow_class=headers.get("x-workflow-class", "general"),
            live=not is_shadow(request.host),
            request=headers.get("x-request-id", ""),
        )
        answer = await self._conversation.answer(turn, self._behaviour)
        return web.json_response(answer, headers={"x-agent-release": self._settings.release})

    async def _page(self, _request: web.Request) -> web.Response:
        if self._behaviour.silent:
            return web.Response(status=503, text="silent\n")
        page = self._metrics.render() if self._metrics is not None else b""
        return web.Response(body=page, headers={"Content-Type": AgentMetrics.content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        if self._bundle is None:
            return web.json_response({"ready": False, "reason": self.missing}, status=503)
        return web.json_response({"ready": True, "release": self._settings.release})

    async def _actions(self, request: web.Request) -> web.Response:
        try:
            since, limit = (
                int(request.query.get("since", "0")),
                int(request.query.get("limit", str(LONGEST_PAGE))),
            )
        except ValueError:
            return web.json_response({"error": "since and limit are whole numbers"}, status=400)
        return web.json_response(self._log.page(since, limit))

    async def _whoami(self, _request: web.Request) -> web.Response:
        may = self._flags.permissions("")
        return web.json_response(
            {
                "agent": self._settings.agent,
                "release": self._settings.release,
                "bundleDigest": self._bundle.digest if self._bundle else None,
                "autonomy": may.autonomy,
                "halted": may.halted,
            }
        )

    async def _fault(self, request: web.Request) -> web.Response:
        if not _from_here(request):
            return web.json_response({"error": "only straight from this machine"}, status=403)
        try:
            given = await request.json()
            self._behaviour = self._behaviour.with_fields(given)
        except (UnknownBehaviour, ValueError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(asdict(self._behaviour))


def is_shadow(host: str) -> bool:
    """Whether Envoy mirrored this request: it appends ``-shadow`` to the host, before any port."""
    return host.partition(":")[0].endswith("-shadow")


def _from_here(request: web.Request) -> bool:
    peer = request.remote
    straight = not any(name in request.headers for name in _GATEWAY_HEADERS)
    return straight and peer is not None and ipaddress.ip_address(peer).is_loopback
