"""Keeping one flagd provider that follows its source, and knowing when it no longer does.

A provider keeps serving the last document that it could read. That is right for a moment and wrong
for ever, so ``age`` says for how long nobody could confirm it.

The file provider follows a file by "its modification time grew". A clock that was set back, a restored
backup or a second write in the same tick would be missed for ever: after such a change a fresh
provider takes over, but only one that could read the file.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.exception import OpenFeatureError
from openfeature.provider import ProviderStatus
from openfeature.provider.no_op_provider import NoOpProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openfeature.client import OpenFeatureClient

_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class FlagSource:
    """Where the flags come from: a mounted file, or a flagd (its own ``FLAGD_*`` variables) without one.

    ``ttl`` is how many seconds a document may be served that the provider can no longer confirm,
    ``poll`` how many seconds pass between two looks at the file.
    """

    path: str | None = None
    ttl: float = 60.0
    poll: float = 0.2

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> FlagSource:
        """Read ``FLAGD_OFFLINE_FLAG_SOURCE_PATH``, ``AGENTRELEASE_FLAGS_TTL`` and ``…_POLL`` (seconds)."""
        return cls(
            path=env.get("FLAGD_OFFLINE_FLAG_SOURCE_PATH") or None,
            ttl=float(env.get("AGENTRELEASE_FLAGS_TTL", "60")),
            poll=float(env.get("AGENTRELEASE_FLAGS_POLL", "0.2")),
        )

    def provider(self) -> FlagdProvider:
        """Build a provider that has not been started."""
        if self.path is None:
            return FlagdProvider(resolver_type=ResolverType.IN_PROCESS)
        # This provider polls a file every deadline_ms; its offline_poll_interval_ms is never read.
        return FlagdProvider(
            resolver_type=ResolverType.FILE,
            offline_flag_source_path=self.path,
            deadline_ms=max(1, round(self.poll * 1000)),
        )


@dataclass(frozen=True, slots=True)
class _Sight:
    """What tells one state of a file from another without reading it."""

    modified: int
    inode: int
    size: int

    @classmethod
    def of(cls, path: str) -> _Sight | None:
        try:
            stat = os.stat(path)  # noqa: PTH116 - a look per task; no Path needed
        except OSError:
            return None
        return cls(stat.st_mtime_ns, stat.st_ino, stat.st_size)


class FollowedProvider:
    """The provider in use, behind ``client``. It starts at once and never waits for a network."""

    def __init__(self, source: FlagSource, clock: Callable[[], float] = time.monotonic) -> None:
        self.client: OpenFeatureClient = api.get_client(_new_domain())
        self._source = source
        self._clock = clock
        self._healthy_at = _NEVER
        self._looked_at = clock()
        self._sight: _Sight | None = None
        self._looking = threading.Lock()
        self._behind = False
        self._closed = False
        if source.path is None:
            api.set_provider(source.provider(), self.client.domain)
        elif not self._take_over(source.path):
            # No file yet. This one keeps looking for it, and grants nothing until then.
            api.set_provider(source.provider(), self.client.domain)

    @property
    def age(self) -> float:
        """Seconds since the document was last confirmed; 0 while it is, infinite if it never was."""
        now = self._clock()
        with self._looking:
            if now - self._looked_at >= self._source.poll:
                self._looked_at = now
                self._look()
        ready = self.client.get_provider_status() is ProviderStatus.READY
        if ready and not self._behind and not self._closed:
            self._healthy_at = now
        return now - self._healthy_at

    def close(self) -> None:
        """Stop the provider and its thread."""
        self._closed, self._healthy_at = True, _NEVER
        _retire(self.client)

    def _look(self) -> None:
        path = self._source.path
        sight = _Sight.of(path) if path is not None and not self._closed else None
        if path is None or sight is None or sight == self._sight:
            return
        noticed = self._sight is not None and sight.modified > self._sight.modified
        if noticed:
            self._sight = sight
        self._behind = not noticed and not self._take_over(path)

    def _take_over(self, path: str) -> bool:
        """Put a fresh provider that has read this very file into use; whether there is one."""
        client = api.get_client(_new_domain())
        sight = _Sight.of(path)
        try:
            api.set_provider_and_wait(self._source.provider(), client.domain)
        except OpenFeatureError:
            _retire(client)
            return False
        # The provider stamps a file after reading it. Were the file replaced in between, the old
        # content would pass for the new for ever; the next look tries again.
        if sight is None or sight != _Sight.of(path):
            _retire(client)
            return False
        before, self.client, self._sight = self.client, client, sight
        _retire(before)
        return True


def _new_domain() -> str:
    return f"agentrelease/{uuid.uuid4().hex}"


def _retire(client: OpenFeatureClient) -> None:
    api.set_provider(NoOpProvider(), client.domain)
