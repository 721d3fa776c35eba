"""Reading agents' action logs from their Pods; the contract is in ``agentrelease.sdk.actions``.

Addresses come from Pods alone, whose status only kubelets write; Endpoints and EndpointSlices may be
written by tenants and could lead anywhere. A Pod on its node's own network is left out for the same
reason. No credential goes out, redirects are not followed, an answer is bounded and has to be exactly
what the contract says.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentrelease.api.vocabulary import REVISION_ANNOTATION, Effect
from agentrelease.core.compensation import EffectRecord
from agentrelease.edges.kinds import DEPLOYMENT, POD, SERVICE
from agentrelease.engine.aftermath import AgentPod, LogPage, LogUnreadable
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.api.delivery import Slot
    from agentrelease.engine.ports import Cluster, Object

PATH = "/actions"
LIMIT = 500
MAX_ANSWER = 1024 * 1024
_PORT_NAME = "http"

Text = Annotated[str, Field(max_length=128)]
Cursor = Annotated[int, Field(ge=0, le=2**53)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Record(_Strict):
    id: Annotated[str, Field(min_length=1, max_length=128)]
    seq: Annotated[int, Field(ge=1, le=2**53)]
    tool: Text
    effect: Text
    session: Annotated[str, Field(max_length=256)]
    release: Text
    disposition: Text
    at: Annotated[str, Field(max_length=40)]
    arguments: Annotated[str, Field(max_length=80)] = ""


class _Page(_Strict):
    log: Annotated[str, Field(min_length=1, max_length=64)]
    first: Annotated[int, Field(ge=1, le=2**53)]
    next: Cursor
    actions: Annotated[list[_Record], Field(max_length=LIMIT)]


class PodActionLogs:
    """The logs of a slot's Pods."""

    def __init__(self, cluster: Cluster, *, timeout: float = 3.0) -> None:
        self._cluster, self._timeout = cluster, timeout
        self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False)

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def pods(self, namespace: str, slot: Slot, revision: str) -> Sequence[AgentPod]:
        """Return the Pods of a slot that run a revision and can be reached."""
        deployment = await self._cluster.get(Ref(DEPLOYMENT, namespace, slot.deployment))
        service = await self._cluster.get(Ref(SERVICE, namespace, slot.service))
        labels = (((deployment or {}).get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        if not labels or service is None:
            return ()
        found = await self._cluster.list(POD, namespace, labels)
        made = (_pod(pod, service, revision) for pod in found)
        return tuple(pod for pod in made if pod is not None)

    async def page(self, pod: AgentPod, since: int) -> LogPage:
        """Read one page; raises ``LogUnreadable``."""
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        url = f"http://{host}:{pod.port}{PATH}?since={since}&limit={LIMIT}"
        try:
            async with asyncio.timeout(self._timeout):
                return _parsed(await self._get(url), since)
        except (TimeoutError, httpx.HTTPError) as error:
            raise LogUnreadable(f"{pod.name}: unreachable ({type(error).__name__})") from None
        except (ValidationError, ValueError):
            raise LogUnreadable(f"{pod.name}: its answer breaks the contract of {PATH}") from None
        except LogUnreadable as error:
            raise LogUnreadable(f"{pod.name}: {error}") from None

    async def _get(self, url: str) -> bytes:
        chunks, size = [], 0
        async with self._client.stream("GET", url) as response:
            if response.status_code != httpx.codes.OK:
                raise LogUnreadable(f"HTTP {response.status_code}")
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > MAX_ANSWER:
                    raise LogUnreadable("the page is too large")
                chunks.append(chunk)
        return b"".join(chunks)


def moment_of(at: str) -> float:
    """Return an RFC 3339 time as Unix seconds; raises ``ValueError`` where it has no zone or is none."""
    parsed = datetime.fromisoformat(at)
    if parsed.tzinfo is None:
        raise ValueError("a time without a zone")
    return parsed.timestamp()


def _parsed(body: bytes, since: int) -> LogPage:
    page = _Page.model_validate_json(body)
    records = tuple(_record(page.log, one) for one in page.actions)
    places = [record.seq for record in records]
    if places != sorted(set(places)) or (places and page.next != places[-1]):
        raise ValueError("records out of order")
    return LogPage(page.log, page.first, page.next, records, last=not records or page.next <= since)


def _record(log: str, one: _Record) -> EffectRecord:
    effect = Effect(one.effect) if one.effect in set(Effect) else Effect.IRREVERSIBLE
    moment = moment_of(one.at)
    if not math.isfinite(moment):
        raise ValueError("no time")
    return EffectRecord(
        one.id, log, one.seq, one.tool, effect, one.session, one.release, one.disposition, one.at, moment,
        one.arguments,
    )  # fmt: skip


def _pod(pod: Object, service: Object, revision: str) -> AgentPod | None:
    meta, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    address = status.get("podIP")
    if (meta.get("annotations") or {}).get(REVISION_ANNOTATION) != revision or not address:
        return None
    if spec.get("hostNetwork") or status.get("phase") not in (None, "Running"):
        return None
    port = _port(spec, service)
    return None if port is None else AgentPod(meta["name"], str(ipaddress.ip_address(address)), port)


def _port(spec: Object, service: Object) -> int | None:
    """Return the container's port behind the Service's ``http`` port, or behind its only or first one."""
    ports: list[dict[str, Any]] = (service.get("spec") or {}).get("ports") or []
    chosen = next((p for p in ports if p.get("name") == _PORT_NAME), ports[0] if ports else None)
    if chosen is None:
        return None
    target = chosen.get("targetPort") or chosen["port"]
    if isinstance(target, int):
        return target
    declared = [p for c in spec.get("containers") or () for p in c.get("ports") or ()]
    return next((int(p["containerPort"]) for p in declared if p.get("name") == target), None)
