"""The agent's side: tell the joiner what became of a request, without ever making a user wait for it.

Words are queued and posted by a thread of its own. What doesn't fit the queue or can't be delivered is
dropped: the request is then unmatched, which the joiner counts where it can and nobody guesses.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agentrelease.sdk.pairing.joiner import Stratum

LARGEST_POST = 500
"""Words in one request."""


class PairReporter:
    """Tells the joiner at ``url`` about one release's requests; close it at the end.

    ``pause`` is seconds between posts, ``timeout`` seconds for one, ``capacity`` words that may wait.
    """

    def __init__(
        self,
        url: str,
        agent: str,
        release: str,
        *,
        pause: float = 0.25,
        timeout: float = 2.0,
        capacity: int = 20_000,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https address of a joiner")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._path = f"{parts.path.rstrip('/')}/outcomes"
        self._who = {"agent": agent, "release": release}
        self._pause, self._timeout, self._capacity = pause, timeout, capacity
        self._words: deque[dict[str, Any]] = deque()
        self._ended = threading.Event()
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="pair-reporter", daemon=True)
        self._thread.start()

    def began(self, request: str, stratum: Stratum) -> None:
        """Say that a copy of a request was taken up."""
        self._tell(request, stratum, None, copy=True)

    def judged(self, request: str, stratum: Stratum, bad: Mapping[str, bool], *, copy: bool) -> None:
        """Say what was bad about the own answer; ``copy`` when nobody reads it."""
        self._tell(request, stratum, dict(bad), copy=copy)

    def close(self) -> None:
        """Post what waits, once, and end."""
        self._ended.set()
        self._thread.join(2 * self._timeout + self._pause)

    def _tell(self, request: str, stratum: Stratum, bad: dict[str, bool] | None, *, copy: bool) -> None:
        if len(self._words) >= self._capacity:
            self.dropped += 1
            return
        word = {
            "request": request[:128],
            "copy": copy,
            "stratum": [part[:128] for part in stratum],
            "bad": bad,
        }
        self._words.append(word)

    def _run(self) -> None:
        while not self._ended.wait(self._pause):
            self._post_all()
        self._post_all()

    def _post_all(self) -> None:
        while self._words:
            words = [self._words.popleft() for _ in range(min(len(self._words), LARGEST_POST))]
            try:
                self._post(words)
            except (OSError, HTTPException):
                self.dropped += len(words)
                return

    def _post(self, words: list[dict[str, Any]]) -> None:
        kind = HTTPSConnection if self._secure else HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout)
        try:
            body = json.dumps({**self._who, "told": words})
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 300:
                self.dropped += len(words)
        finally:
            connection.close()
