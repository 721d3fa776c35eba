"""Reading the operator's grants through the OpenFeature SDK and the flagd provider.

* The three flags of an agent are read together. When the document changes between two of the reads,
  they are read again, so that a level of one write never meets the tools of another.
* A provider keeps serving the last document that it could read. That is right for a moment and wrong
  for ever: after ``ttl`` seconds without a healthy provider the grant is the lowest one.
* The lease (``$flagd.timestamp``) is evaluated in this process, so it lapses without anybody's help.
* Any exception is the lowest grant. No call raises, blocks on a network, or logs.
* The provider follows a file by "its modification time grew". A clock that was set back, a restored
  backup or a second write in the same tick would be missed for ever, so a file that changed in
  another way gets a fresh provider.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider import ProviderStatus
from openfeature.provider.no_op_provider import NoOpProvider

from agentrelease.api.vocabulary import Autonomy
from agentrelease.sdk.permissions import LOWEST, Permissions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openfeature.client import OpenFeatureClient
    from openfeature.flag_evaluation import FlagEvaluationDetails

_TORN_READS = 3


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


class AgentFlags:
    """What one release of one agent may do. Cheap enough to ask before every task; thread-safe.

    ``release`` is this process's own and overrides whatever a global evaluation context says.
    """

    def __init__(
        self, agent: str, release: str, source: FlagSource, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.agent = agent
        self.release = release
        self._source = source
        self._clock = clock
        self._domain = f"agentrelease/{agent}/{uuid.uuid4().hex}"
        self._client: OpenFeatureClient = api.get_client(self._domain)
        self._healthy_at = float("-inf")
        self._looked_at = float("-inf")
        self._sight: _Sight | None = None
        self._follow()

    def permissions(
        self,
        session: str,
        *,
        risk_tier: str | None = None,
        workflow_class: str | None = None,
        cohort: str | None = None,
    ) -> Permissions:
        """Return what this session's task may do, at most what the flags grant; never raises."""
        context = {"risk_tier": risk_tier, "workflow_class": workflow_class, "cohort": cohort}
        try:
            if self.age > self._source.ttl:
                return LOWEST
            return self._read(session, {key: value for key, value in context.items() if value is not None})
        except Exception:  # noqa: BLE001 - whatever a provider or a document does, it grants nothing
            return LOWEST

    @property
    def age(self) -> float:
        """Seconds since the provider was last seen healthy; 0 while it is, infinite if it never was."""
        now = self._clock()
        if now - self._looked_at >= self._source.poll:
            self._looked_at = now
            self._refollow()
        if self._client.get_provider_status() is ProviderStatus.READY:
            self._healthy_at = now
        return now - self._healthy_at

    def close(self) -> None:
        """Stop the provider and its thread; every later grant is the lowest."""
        self._source = FlagSource(path=None, ttl=float("-inf"), poll=float("inf"))
        api.set_provider(NoOpProvider(), self._domain)

    def _read(self, session: str, attributes: dict[str, Any]) -> Permissions:
        context = EvaluationContext(session or None, {**attributes, "release": self.release})
        for _ in range(_TORN_READS):
            level = self._client.get_string_details(f"{self.agent}.autonomy-level", "observe", context)
            policy = self._client.get_object_details(f"{self.agent}.tool-policy", {"allow": []}, context)
            halt = self._client.get_boolean_details(f"{self.agent}.halt", True, context)
            if len({_version(read) for read in (level, policy, halt)}) == 1:
                return _grant(level.value, policy.value, halt.value)
        return LOWEST

    def _refollow(self) -> None:
        """Start a fresh provider when the file changed in a way that the present one does not notice."""
        if self._source.path is None:
            return
        sight = _Sight.of(self._source.path)
        if sight is None or sight == self._sight:
            return
        before, self._sight = self._sight, sight
        if before is not None and sight.modified <= before.modified:
            self._follow()

    def _follow(self) -> None:
        path = self._source.path
        if path is None:
            api.set_provider(self._source.provider(), self._domain)
            return
        # The provider stamps a file after reading it. Were the file replaced in between, the old
        # content would pass for the new for ever; so look before as well as after.
        for _ in range(_TORN_READS):
            self._sight = _Sight.of(path)
            with suppress(Exception):  # no file yet: the provider keeps looking, nothing is granted
                api.set_provider_and_wait(self._source.provider(), self._domain)
            if _Sight.of(path) == self._sight:
                return


def _version(read: FlagEvaluationDetails[Any]) -> object:
    return (read.flag_metadata or {}).get("version")


def _grant(level: str, policy: object, halt: object) -> Permissions:
    """Turn three values of unknown make into a grant; what is not understood grants nothing."""
    if halt is not False:
        return LOWEST
    tools = policy if isinstance(policy, dict) else {}
    return Permissions(
        autonomy=Autonomy(level) if level in set(Autonomy) else Autonomy.OBSERVE,
        allow=_names(tools.get("allow")),
        require_approval=_names(tools.get("requireApproval")),
        halted=False,
    )


def _names(value: object) -> frozenset[str]:
    return (
        frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else frozenset()
    )
