"""One HTTP exchange with the API server, bounded in time, and what its failure means.

Requests go through the official client's asynchronous transport (``kubernetes.aio``): it brings
kubeconfig, exec plugins, client certificates, token files that are read again every minute, and a
bounded pool. Its generated models and its deserialiser are not used: bodies are plain JSON.

* A request lives for seconds. Reads are tried up to three times, writes once: after a time-out
  nobody knows whether a write was committed, and only the caller can read again and decide.
  (aiohttp itself repeats a PUT or DELETE when a kept-alive connection turns out to be closed. Both
  bear it: our PUTs carry a resourceVersion, so the second one is a ``Conflict`` at worst.)
* Errors are classified here and nowhere else, into the tree of ``engine/ports.py``.
* What an error says never contains a token, and for a Secret not even the server's message,
  because that may quote the refused value.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient

from agentrelease.edges.credentials import CredentialsError
from agentrelease.engine.ports import ClusterError, Conflict, Missing, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentrelease.edges.credentials import Credentials
    from agentrelease.engine.ports import Object

USER_AGENT = f"agentrelease-operator/{version('agentrelease')}"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

_LONGEST_MESSAGE = 600


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much; seconds and counts.

    ``attempt`` bounds one request from the pool to the last byte, ``connect`` its TCP handshake,
    ``retries`` how often a failed read is tried again, ``pool`` the connections in use at once,
    ``page`` the objects in one chunk of a list.
    """

    attempt: float = 5.0
    connect: float = 2.0
    retries: int = 2
    longest_pause: float = 2.0
    pool: int = 32
    page: int = 500


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it goes out; ``about`` is what an error names."""

    method: str
    path: str
    about: str
    body: Any = None
    content_type: str = JSON
    secret: bool = False
    accept: str = JSON

    def __str__(self) -> str:
        return f"{self.method} {self.about}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply: the status code, the body (empty where it was no JSON object), the pause asked for."""

    status: int
    body: Object
    retry_after: float | None


class Transport:
    """Sends requests with current credentials; one per process is enough."""

    def __init__(
        self,
        client: Any,
        credentials: Credentials,
        *,
        limits: Limits,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._credentials = credentials
        self.limits = limits
        self._jitter = jitter
        self._renewing = asyncio.Lock()
        self._renewals = 0
        # The generated client hands its time-out through to aiohttp as it is; see its rest.py.
        self._timeout = aiohttp.ClientTimeout(total=limits.attempt, sock_connect=limits.connect)

    @classmethod
    async def open(cls, credentials: Credentials, *, user_agent: str, limits: Limits) -> Transport:
        """Read the credentials; the first request opens the first connection."""
        configuration = await credentials.load()
        configuration.connection_pool_maxsize = limits.pool
        # as kopf: a kubeconfig's proxy-url counts, an environment's egress proxy doesn't
        configuration.client_session_kwargs = {"trust_env": False}
        client = ApiClient(configuration)
        client.user_agent = user_agent
        return cls(client, credentials, limits=limits)

    async def close(self) -> None:
        """Close the connections; requests that are under way fail."""
        await self._client.close()

    async def read(self, request: Request) -> Answer:
        """Try a read until it succeeds or its retries are spent; 404 is an answer, not an error."""
        for attempt in range(self.limits.retries + 1):
            try:
                answer = await self._send(request)
                if answer.status < 300 or answer.status == 404:
                    return answer
                raise failure(request, answer)
            except Unavailable as error:
                pause = error.retry_after or 0.2 * 2**attempt * self._jitter()
                # a longer pause is the caller's to take; here it would look like a hang
                if attempt == self.limits.retries or pause > self.limits.longest_pause:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def write(self, request: Request) -> Object:
        """Send once and return the stored object."""
        answer = await self._send(request)
        if answer.status >= 300:
            raise failure(request, answer)
        return answer.body

    async def _send(self, request: Request) -> Answer:
        """Send once; a 401 was certainly not carried out, so it is sent again with fresh credentials."""
        renewals = self._renewals
        answer = await self._exchange(request)
        if answer.status == 401 and await self._renew(seen=renewals):
            answer = await self._exchange(request)
        return answer

    async def _exchange(self, request: Request) -> Answer:
        headers = {
            "User-Agent": self._client.user_agent,
            "Accept": request.accept,
            "Content-Type": request.content_type,
        }
        url = self._client.configuration.host + request.path
        try:
            await self._client.update_params_for_auth(
                headers, [], ["BearerToken"], request.path, request.method, None
            )
            response = await self._client.rest_client.request(
                request.method, url, headers=headers, body=request.body, _request_timeout=self._timeout
            )
            data = await response.read()
        except TimeoutError as error:
            raise Unavailable(f"{request}: no answer within {self.limits.attempt:g} s") from error
        except (aiohttp.ClientError, OSError, config.ConfigException) as error:
            raise Unavailable(f"{request}: {type(error).__name__}: {error}") from error
        body = _parsed(data)
        if response.status < 300 and not body:
            raise Unavailable(f"{request}: {response.status}, but the answer is no JSON object")
        return Answer(response.status, body, _seconds(response.getheader("Retry-After")))

    async def _renew(self, *, seen: int) -> bool:
        """Read the credentials again, once for all requests that failed on the same ones."""
        async with self._renewing:
            if self._renewals != seen:
                return True
            try:
                fresh = await self._credentials.load()
            except CredentialsError:
                return False
            configuration = self._client.configuration
            configuration.api_key = fresh.api_key
            configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
            if fresh.cert_file:
                self._client.rest_client.ssl_context.load_cert_chain(fresh.cert_file, fresh.key_file)
            self._renewals += 1
            return True


def failure(request: Request, answer: Answer) -> ClusterError:
    """Classify a reply that isn't a success; the one place that knows what a status code means."""
    text = f"{request}: {answer.status} {_explanation(request, answer.body)}".rstrip()
    match answer.status:
        case 409:
            return Conflict(text)
        case 404:
            return Missing(text)
        case 401 | 408 | 410 | 429:
            # 401: an expired token is an outage that ends; 410: a list's chunk that expired midway
            error = Unavailable(text)
        case code if code < 500:
            return Refused(text)
        case _:
            error = Unavailable(text)
    error.retry_after = answer.retry_after
    return error


def _explanation(request: Request, body: Object) -> str:
    reason = str(body.get("reason", ""))
    message = "" if request.secret else str(body.get("message", ""))[:_LONGEST_MESSAGE]
    return ": ".join(part for part in (reason, message) if part)


def _parsed(data: bytes) -> Object:
    """A proxy's page and the "404 page not found" of a kind that isn't served are no JSON."""
    try:
        body = json.loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None
