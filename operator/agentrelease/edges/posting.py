"""One signed POST to an administrator's endpoint, and what its answer means.

Signatures follow Standard Webhooks: ``webhook-id``, ``webhook-timestamp`` (Unix seconds) and
``webhook-signature: v1,<base64 of HMAC-SHA256 over "id.timestamp.body">``; a receiver refuses what is
older than minutes, and recognises a repetition by its id. Redirects are not followed, because they
could carry credentials away. An answer's body is neither kept nor shown, and proxies of the
environment do not count.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import math
import time
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from agentrelease.edges.endpoints import Endpoint

_TEMPORARY = frozenset({401, 403, 408, 421, 425, 429})
"""Refusals that end when somebody mends a credential, or by themselves."""
_PREFIX = "whsec_"
_LONGEST_PAUSE = 300.0


class NotDelivered(Exception):
    """The endpoint did not accept. ``again`` says whether trying again can help, ``after`` in seconds."""

    def __init__(self, why: str, *, again: bool, after: float | None = None) -> None:
        super().__init__(why)
        self.again, self.after = again, after


class Poster:
    """Posts to one endpoint; close it in the end."""

    def __init__(self, endpoint: Endpoint, *, clock: Callable[[], float] = time.time) -> None:
        self._endpoint, self._clock = endpoint, clock
        self._client = httpx.AsyncClient(
            timeout=endpoint.timeout,
            follow_redirects=False,
            verify=True if endpoint.ca_file is None else str(endpoint.ca_file),
            trust_env=False,
            limits=httpx.Limits(max_connections=8),
        )

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def post(self, message: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send ``body`` once under the id ``message``; raises ``NotDelivered``."""
        try:
            proof = await asyncio.to_thread(self._proof, message, body)
            async with (
                asyncio.timeout(self._endpoint.timeout),
                self._client.stream(
                    "POST", str(self._endpoint.url), content=body, headers={**headers, **proof}
                ) as response,
            ):
                status, pause = response.status_code, response.headers.get("retry-after", "")
        except (TimeoutError, httpx.HTTPError) as error:
            raise NotDelivered(f"unreachable ({type(error).__name__})", again=True) from None
        except (OSError, ValueError):
            raise NotDelivered("the file with its secret can't be used", again=True) from None
        if 200 <= status < 300:
            return
        again = status >= 500 or status in _TEMPORARY
        raise NotDelivered(f"HTTP {status}", again=again, after=_seconds(pause))

    def _proof(self, message: str, body: bytes) -> dict[str, str]:
        at = str(math.floor(self._clock()))
        headers = {"webhook-id": message, "webhook-timestamp": at}
        if self._endpoint.hmac_secret_file is not None:
            headers["webhook-signature"] = sign(_key(self._endpoint.hmac_secret_file), message, at, body)
        if self._endpoint.bearer_file is not None:
            token = self._endpoint.bearer_file.read_text(encoding="ascii").strip()
            headers["authorization"] = f"Bearer {token}"
        return headers


def sign(key: bytes, message: str, at: str, body: bytes) -> str:
    """Return the signature header's value."""
    digest = hmac.new(key, f"{message}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(file: Path) -> bytes:
    text = file.read_bytes().strip()
    if text.startswith(_PREFIX.encode()):
        text = base64.b64decode(text[len(_PREFIX) :] + b"==")
    if not text:
        raise ValueError("the secret is empty")
    return text


def _seconds(header: str) -> float | None:
    return min(float(header), _LONGEST_PAUSE) if header.isdigit() else None
