"""Hooks that undo an effect: an administrator's HTTP endpoint, or a Job in the release's namespace.

A call is JSON with the effect as the agent's log told it, under an idempotency key that is made of
namespace, revision and the effect's own id: one tenant's log can't name another's effects. The same
effect always has the same key, whichever process calls, and however often. A receiver looks the
effect up in its own books: the log is the agent's claim, not proof.
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

from agentrelease.api.vocabulary import MANAGED_BY_LABEL, OPERATOR_NAME, RELEASE_LABEL
from agentrelease.edges.endpoints import HttpHook, JobHook
from agentrelease.edges.kinds import JOB
from agentrelease.edges.posting import NotDelivered, Poster
from agentrelease.engine.aftermath import HookFailed
from agentrelease.engine.ports import ClusterError, Conflict, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agentrelease.engine.aftermath import Call
    from agentrelease.engine.ports import Cluster, Object

KEY_HEADER = "idempotency-key"
LOOK_AGAIN = 5.0
"""Seconds between two looks at a Job."""
JOB_KEPT = 86_400
"""Seconds for which a finished Job stays, where the template says nothing."""
MOST_JOBS = 5
"""Jobs for one effect, one after another; each has retries of its own."""


class EndpointHooks:
    """The hooks of the administrator's file, by name."""

    def __init__(self, hooks: Iterable[HttpHook | JobHook], cluster: Cluster) -> None:
        self._cluster = cluster
        self._hooks = {hook.name: hook for hook in hooks}
        self._posters = {name: Poster(h) for name, h in self._hooks.items() if isinstance(h, HttpHook)}

    async def close(self) -> None:
        """Close connections."""
        for poster in self._posters.values():
            await poster.close()

    def problem(self, name: str, namespace: str) -> str:
        """Say why a release of this namespace can't use a hook; empty when it can."""
        hook = self._hooks.get(name)
        if hook is None:
            return f"the operator's settings know no hook {name}"
        if hook.namespaces and namespace not in hook.namespaces:
            return f"hook {name} is not for releases in {namespace}"
        return ""

    async def call(self, name: str, call: Call) -> None:
        """Undo one effect; returns when it is undone, raises ``HookFailed`` otherwise."""
        problem = self.problem(name, call.namespace)
        if problem:
            raise HookFailed(problem, again=True)
        hook = self._hooks[name]
        if isinstance(hook, JobHook):
            await self._run(hook, call)
            return
        key = key_of(call)
        body = json.dumps(_payload(call, key), separators=(",", ":"), sort_keys=True).encode()
        headers = {"content-type": "application/json", KEY_HEADER: key}
        try:
            await self._posters[name].post(key, body, headers)
        except NotDelivered as error:
            raise HookFailed(f"hook {name}: {error}", again=error.again, after=error.after) from None

    async def _run(self, hook: JobHook, call: Call) -> None:
        """Create the effect's Job, or see what became of it."""
        key = key_of(call)
        for number in range(1, MOST_JOBS + 1):
            wanted = _job(hook, call, key, number)
            try:
                stored = await self._cluster.get(Ref(JOB, call.namespace, wanted["metadata"]["name"]))
                if stored is None:
                    await self._cluster.create(wanted)
                    raise HookFailed(
                        f"hook {hook.name}: its Job was started", again=True, after=LOOK_AGAIN, working=True
                    )
            except Conflict:
                raise HookFailed(
                    f"hook {hook.name}: its Job is starting", again=True, after=1.0, working=True
                ) from None
            except ClusterError as error:
                raise HookFailed(f"hook {hook.name}: {error}", again=True) from None
            ended = _ended(stored)
            if ended == "Complete":
                return
            if not ended:
                raise HookFailed(
                    f"hook {hook.name}: its Job runs", again=True, after=LOOK_AGAIN, working=True
                )
        raise HookFailed(f"hook {hook.name}: {MOST_JOBS} Jobs failed", again=False)


def key_of(call: Call) -> str:
    """Return the idempotency key of an effect's compensation, which never changes."""
    parts = f"{call.namespace}\0{call.revision}\0{call.effect.id}"
    return f"undo-{hashlib.sha256(parts.encode()).hexdigest()[:40]}"


def _payload(call: Call, key: str) -> Object:
    effect = call.effect
    return {
        "key": key,
        "namespace": call.namespace,
        "release": call.release,
        "revision": call.revision,
        "effect": {
            "id": effect.id,
            "tool": effect.tool,
            "class": effect.effect.value,
            "session": effect.session,
            "at": effect.at,
            "arguments": effect.arguments,
        },
    }


def _job(hook: JobHook, call: Call, key: str, number: int) -> Object:
    """The administrator's template; the effect comes in as variables alone, never as a word of a command."""
    spec: dict[str, Any] = copy.deepcopy(hook.job)
    spec.setdefault("ttlSecondsAfterFinished", JOB_KEPT)
    pod = spec["template"]["spec"]
    pod.setdefault("restartPolicy", "Never")
    pod.setdefault("automountServiceAccountToken", False)
    text = json.dumps(_payload(call, key), separators=(",", ":"), sort_keys=True)
    given = [
        {"name": "COMPENSATION_KEY", "value": key},
        {"name": "COMPENSATION", "value": text.replace("$(", "$$(")},
    ]
    for container in pod["containers"]:
        container["env"] = [*container.get("env", ()), *given]
    labels = {MANAGED_BY_LABEL: OPERATOR_NAME, RELEASE_LABEL: call.release}
    metadata = {"name": f"{key}-{number}", "namespace": call.namespace, "labels": labels}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _ended(job: Object) -> str:
    """Return ``Complete``, ``Failed``, or nothing while it runs."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed"):
            return str(condition["type"])
    return ""
