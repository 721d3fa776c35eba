"""What a person can order: roll back, pause, resume. Each is one small patch of the spec.

The operator never writes a spec; a person does, and these functions do it in the person's name. A
plain ``kubectl patch`` with the same content does the same, with the plugin or without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agentrelease.api.release import AgentRelease
from agentrelease.api.vocabulary import GROUP
from agentrelease.edges.kinds import AGENT_RELEASE
from agentrelease.engine.ports import Ref

if TYPE_CHECKING:
    from agentrelease.engine.ports import Cluster, Object

REASON_ANNOTATION = f"{GROUP}/rollback-reason"
_LONGEST_REASON = 512


class Impossible(Exception):
    """What was asked can't be done; the message says what, why, and the way out."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """An order: withdraw ``of`` and serve with ``to``, both revision names."""

    to: str
    of: str
    in_flight: bool  # whether ``of`` is a candidate, not yet promoted

    def patch(self, reason: str) -> dict[str, Any]:
        """Return the merge patch; the reason says who and why."""
        return {
            "metadata": {"annotations": {REASON_ANNOTATION: reason[:_LONGEST_REASON]}},
            "spec": {"rollback": {"to": self.to, "of": self.of}},
        }


def address(namespace: str, name: str) -> Ref:
    """Return the address of a release."""
    return Ref(AGENT_RELEASE, namespace, name)


async def fetch(cluster: Cluster, namespace: str, name: str) -> Object:
    """Return the object; ``Impossible`` when there is none."""
    found = await cluster.get(address(namespace, name))
    if found is None:
        raise Impossible(
            f"NAME: there is no AgentRelease {name!r} in namespace {namespace!r}; "
            f"see what there is with: kubectl agent-release list -A"
        )
    return found


def read(obj: Object) -> AgentRelease:
    """Return the model of an object; ``Impossible`` names the first field that can't be read."""
    try:
        return AgentRelease.from_object(obj)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        meta = obj["metadata"]
        raise Impossible(
            f"{where}: {first['msg']} in AgentRelease {meta['namespace']}/{meta['name']}; this plugin "
            f"can't read it (is it of another version than the operator?). Show it with: -o json"
        ) from None


def plan_rollback(release: AgentRelease, to: str | None, kept: frozenset[str] = frozenset()) -> Rollback:
    """Decide what a rollback withdraws and what serves after it; ``Impossible`` says why it can't.

    ``kept`` names the revisions that were promoted once and can be loaded again.
    """
    status = release.status
    where = f"{release.namespace}/{release.name}"
    stop = f"to stop the agent at once: kubectl agent-release halt {release.name} -n {release.namespace}"
    if status.candidate is not None:
        if status.stable is None:
            raise Impossible(f"status.stable: {where} has no promoted revision to go back to; {stop}")
        order = Rollback(status.stable.revision, status.candidate.revision, in_flight=True)
    elif status.stable is not None and to in kept - {status.stable.revision}:
        order = Rollback(to or "", status.stable.revision, in_flight=False)
    elif status.stable is not None and to == status.stable.revision:
        raise Impossible(f"--to: {to} serves {where} already; there is nothing to roll back")
    elif status.previous is None and to is not None:
        known = ", ".join(sorted(kept)) or "none"
        raise Impossible(
            f"--to: {to} is no kept revision of {where} that was promoted once and is not refused now; there "
            f"is {known}. Any other needs its bundle applied again; {stop}"
        )
    elif status.stable is None or status.previous is None:
        raise Impossible(f"status.previous: {where} has no earlier revision in a slot; {stop}")
    else:
        order = Rollback(status.previous.revision, status.stable.revision, in_flight=False)
    if to is not None and to != order.to:
        raise Impossible(
            f"--to: {to} is in no slot of {where}; a rollback can return to {order.to} now, and without a "
            f"candidate on its way to any kept revision that was promoted once and not rolled back. "
            f"Any other revision needs its bundle applied again: kubectl get arev {to} -o yaml"
        )
    return order


def carried_out(release: AgentRelease, order: Rollback) -> bool:
    """Whether status shows the order as done: what was withdrawn is nowhere, and the target serves."""
    status = release.status
    return status.candidate is None and status.stable is not None and status.stable.revision == order.to
