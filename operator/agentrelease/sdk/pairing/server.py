"""The joiner's HTTP face.

==============  =====================================================================================
POST /outcomes  what an agent says: ``{"agent", "release", "told": [{"request", "copy", "stratum", "bad"}]}``
GET /metrics    ``agentrelease_shadow_pairs_total``
GET /healthz    200
==============  =====================================================================================
"""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentrelease.sdk.metrics import AgentMetrics
from agentrelease.sdk.pairing.joiner import Joiner, Told

LARGEST_BODY = 1024 * 1024
_Label = Annotated[str, Field(max_length=128)]
_Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class _Word(BaseModel):
    model_config = ConfigDict(strict=True)
    request: Annotated[str, Field(min_length=1, max_length=128)]
    copied: bool = Field(alias="copy")
    stratum: Annotated[list[_Label], Field(min_length=3, max_length=3)]
    bad: Annotated[dict[_Label, bool], Field(max_length=16)] | None = None


class _Report(BaseModel):
    model_config = ConfigDict(strict=True)
    agent: _Name
    release: _Name
    told: Annotated[list[_Word], Field(max_length=1000)]


def application(joiner: Joiner) -> web.Application:
    """Return the routes around a joiner."""

    async def outcomes(request: web.Request) -> web.Response:
        try:
            report = _Report.model_validate_json(await request.read())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            return web.json_response({"error": f"{where}: {first['msg']}"}, status=400)
        for word in report.told:
            workflow_class, risk_tier, audience = word.stratum
            stratum = workflow_class, risk_tier, audience
            joiner.hear(report.agent, Told(word.request, report.release, word.copied, stratum, word.bad))
        return web.json_response({"heard": len(report.told)})

    async def page(_request: web.Request) -> web.Response:
        return web.Response(body=joiner.render(), headers={"Content-Type": AgentMetrics.content_type})

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    app = web.Application(client_max_size=LARGEST_BODY)
    app.add_routes([web.post("/outcomes", outcomes), web.get("/metrics", page), web.get("/healthz", healthz)])
    return app
