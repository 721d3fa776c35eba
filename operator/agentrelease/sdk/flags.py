"""Reading the operator's grants through the OpenFeature SDK and the flagd provider.

* The flags of an agent are read together. When the document changes between two of the reads,
  they are read again, so that a level of one write never meets the tools of another.
* After ``ttl`` seconds without a healthy provider the grant is the lowest one.
* The lease (``$flagd.timestamp``) is evaluated in this process, so it lapses without anybody's help.
* Any exception is the lowest grant. No call raises, blocks on a network, or logs.
"""

from __future__ import annotations

import time
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openfeature.evaluation_context import EvaluationContext

from agentrelease.api.vocabulary import Autonomy
from agentrelease.sdk.permissions import LOWEST, Permissions
from agentrelease.sdk.provider import FlagSource, FollowedProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openfeature.flag_evaluation import FlagEvaluationDetails

_TORN_READS = 3


@dataclass(frozen=True, slots=True)
class Serving:
    """Which revision serves a session, and the Service that reaches it, if it has pods of its own.

    ``revision`` is empty before anything was promoted: then nobody serves.
    """

    revision: str
    service: str = ""


class AgentFlags:
    """What one release of one agent may do. Cheap enough to ask before every task; thread-safe.

    ``release`` is this process's own and overrides whatever a global evaluation context says.
    """

    def __init__(
        self, agent: str, release: str, source: FlagSource, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.agent = agent
        self.release = release
        self._ttl = source.ttl
        self._provider = FollowedProvider(source, clock)

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
            if self.age > self._ttl:
                return LOWEST
            return self._read(session, {key: value for key, value in context.items() if value is not None})
        except Exception:  # noqa: BLE001 - whatever a provider or a document does, it grants nothing
            return LOWEST

    def serving(self, session: str, attributes: Mapping[str, str] | None = None) -> Serving | None:
        """Return which revision serves a session, where the flags split; never raises.

        ``session`` is the same text for the whole conversation, so that it keeps its revision.
        ``attributes`` may say that it is of a phase's cohort. ``None`` means that no flag says so: a route
        splits, or there is no document. Flags that can no longer be confirmed still say who serves, though
        they permit nothing, and a candidate's share ends with its lease.
        """
        try:
            context = EvaluationContext(session or None, dict(attributes or {}))
            found = self._provider.client.get_object_details(f"{self.agent}.release", {}, context)
            served = found.value
            if found.error_code is not None or not isinstance(served, dict):
                return None
            revision, service = served.get("revision"), served.get("service")
        except Exception:  # noqa: BLE001 - whatever a provider or a document does, nobody is chosen by it
            return None
        if not isinstance(revision, str) or not isinstance(service, str):
            return None
        return Serving(revision, service)

    def of(self, revision: str) -> AgentFlags:
        """Return the flags of another revision that this process serves, from the same provider."""
        other = copy(self)
        other.release = revision
        return other

    @property
    def age(self) -> float:
        """Seconds since the flags were last confirmed; 0 while they are, infinite if they never were."""
        return self._provider.age

    def close(self) -> None:
        """Stop reading; every later grant is the lowest."""
        self._provider.close()

    def _read(self, session: str, attributes: dict[str, Any]) -> Permissions:
        client = self._provider.client
        context = EvaluationContext(session or None, {**attributes, "release": self.release})
        for _ in range(_TORN_READS):
            level = client.get_string_details(f"{self.agent}.autonomy-level", "observe", context)
            policy = client.get_object_details(f"{self.agent}.tool-policy", {"allow": []}, context)
            model = client.get_string_details(f"{self.agent}.model", "", context)
            halt = client.get_boolean_details(f"{self.agent}.halt", True, context)
            reads = (level, policy, halt) if model.error_code else (level, policy, model, halt)
            if len({_version(read) for read in reads}) == 1:
                return _grant(level.value, policy.value, model.value, halt.value)
        return LOWEST


def _version(read: FlagEvaluationDetails[Any]) -> object:
    return (read.flag_metadata or {}).get("version")


def _grant(level: str, policy: object, model: object, halt: object) -> Permissions:
    """Turn four values of unknown make into a grant; what is not understood grants nothing."""
    if halt is not False:
        return LOWEST
    tools = policy if isinstance(policy, dict) else {}
    return Permissions(
        autonomy=Autonomy(level) if level in set(Autonomy) else Autonomy.OBSERVE,
        allow=_names(tools.get("allow")),
        require_approval=_names(tools.get("requireApproval")),
        halted=False,
        model=model if isinstance(model, str) else "",
    )


def _names(value: object) -> frozenset[str]:
    return (
        frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else frozenset()
    )
