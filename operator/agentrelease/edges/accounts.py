"""What a rollout did to the world, as the API server keeps it.

The account is on the AgentRevision, the effects are in ConfigMaps beside it.

The book is only appended to, in parts of some hundred lines, so that one more effect rewrites one part.
Each part belongs to the AgentRevision and goes with it. A part of an earlier rollout of the same
revision is told by its ``since`` and is written over. So is one that was let go: there are only so many
ConfigMaps, taken in turn, and each says which part it holds. Nothing has to be deleted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agentrelease.api.revision import CompensationStatus
from agentrelease.api.vocabulary import API_VERSION, MANAGED_BY_LABEL, OPERATOR_NAME, RELEASE_LABEL, Effect
from agentrelease.core.compensation import MAX_EFFECTS, PART, EffectRecord
from agentrelease.core.instants import stamp
from agentrelease.edges.action_logs import moment_of
from agentrelease.edges.kinds import AGENT_REVISION, CONFIG_MAP
from agentrelease.engine.aftermath import OPEN, RevisionKey
from agentrelease.engine.ports import Missing, Ref

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentrelease.engine.ports import Cluster, Object

PARTS = MAX_EFFECTS // PART + 2
"""ConfigMaps of one book: a full one, the part that is begun, and one more that nobody reads."""
EFFECTS, SINCE, NUMBER = "effects.jsonl", "since", "part"
BOOK_LABEL = "agentrelease.dev/effects"


class RevisionAccounts:
    """Accounts in the namespaces that are served; none named means all."""

    def __init__(self, cluster: Cluster, namespaces: Sequence[str] = ()) -> None:
        self._cluster = cluster
        self._namespaces: Sequence[str | None] = tuple(namespaces) or (None,)

    async def open(self) -> list[RevisionKey]:
        """Return every revision whose compensations are not over."""
        found = []
        for namespace in self._namespaces:
            for obj in await self._cluster.list(AGENT_REVISION, namespace):
                state = ((obj.get("status") or {}).get("compensation") or {}).get("state")
                if state in OPEN:
                    meta = obj["metadata"]
                    found.append(RevisionKey(meta["namespace"], obj["spec"]["release"], meta["name"]))
        return found

    async def status(self, key: RevisionKey) -> CompensationStatus | None:
        """Return what is known of a revision; ``None`` where there is no such revision."""
        obj = await self._cluster.get(Ref(AGENT_REVISION, key.namespace, key.revision))
        if obj is None:
            return None
        try:
            return CompensationStatus.model_validate((obj.get("status") or {}).get("compensation") or {})
        except ValidationError:
            return CompensationStatus()

    async def save(self, key: RevisionKey, status: CompensationStatus, now: float) -> None:
        """Write it down, with the condition that people and alerts wait for."""
        ref = Ref(AGENT_REVISION, key.namespace, key.revision)
        stored = await self._cluster.get(ref)
        if stored is None:
            raise Missing(f"{ref} does not exist")
        old = (stored.get("status") or {}).get("conditions") or []
        patch: Object = {
            "metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]},
            "status": {"compensation": status.to_object(), "conditions": _conditions(old, status, now)},
        }
        await self._cluster.merge(ref, patch, subresource="status")

    async def book(self, key: RevisionKey, status: CompensationStatus) -> list[EffectRecord]:
        """Return an account's effects in the order of their places, without those that were let go."""
        found: list[EffectRecord] = []
        while True:
            number = (status.first + len(found)) // PART
            stored = await self._cluster.get(_part(key, number))
            data = (stored or {}).get("data") or {}
            if data.get(SINCE) != repr(status.since) or data.get(NUMBER, str(number)) != str(number):
                return found
            lines = [_record(key, line) for line in data.get(EFFECTS, "").splitlines()]
            found += [line for line in lines if line is not None]
            if len(lines) < PART or None in lines:
                return found

    async def append(
        self,
        key: RevisionKey,
        status: CompensationStatus,
        book: Sequence[EffectRecord],
        new: Sequence[EffectRecord],
    ) -> None:
        """Keep ``new`` behind ``book``, part by part."""
        whole, start = [*book, *new], len(book) // PART * PART
        owner = await self._cluster.get(Ref(AGENT_REVISION, key.namespace, key.revision))
        if owner is None:
            raise Missing(f"AgentRevision {key.namespace}/{key.revision} does not exist")
        for first in range(start, len(whole), PART):
            text = "".join(_line(record) for record in whole[first : first + PART])
            number = (status.first + first) // PART
            ref = _part(key, number)
            data = {EFFECTS: text, SINCE: repr(status.since), NUMBER: str(number)}
            wanted = _config_map(ref, key, owner, data)
            stored = await self._cluster.get(ref)
            if stored is None:
                await self._cluster.create(wanted)
            else:
                await self._cluster.replace(stored | {"data": wanted["data"]})


def _part(key: RevisionKey, number: int) -> Ref:
    return Ref(CONFIG_MAP, key.namespace, f"{key.revision}-effects-{number % PARTS}")


def _config_map(ref: Ref, key: RevisionKey, owner: Object, data: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ref.name,
            "namespace": ref.namespace,
            # not the label of the flags: nothing here has to wake a release
            "labels": {RELEASE_LABEL: key.release, BOOK_LABEL: "true"},
            "annotations": {MANAGED_BY_LABEL: OPERATOR_NAME},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "AgentRevision",
                    "name": key.revision,
                    "uid": owner["metadata"]["uid"],
                }
            ],
        },
        "data": data,
    }


def _line(record: EffectRecord) -> str:
    parts = [record.id, record.log, record.seq, record.tool, record.effect.value, record.session]
    rest = [record.disposition, record.at, record.arguments]
    return json.dumps([*parts, *rest], separators=(",", ":")) + "\n"


def _record(key: RevisionKey, line: str) -> EffectRecord | None:
    try:
        name, log, seq, tool, effect, session, disposition, at, arguments = json.loads(line)
        return EffectRecord(
            name,
            log,
            seq,
            tool,
            Effect(effect),
            session,
            key.revision,
            disposition,
            at,
            moment_of(at),
            arguments,
        )
    except (ValueError, TypeError):
        return None


def _conditions(old: list[dict[str, Any]], status: CompensationStatus, now: float) -> list[dict[str, Any]]:
    value = {"Done": "True", "NotNeeded": "True", "Incomplete": "False", "Undoing": "False"}.get(
        status.state, "Unknown"
    )
    at = stamp(now)
    mine = next((c for c in old if c.get("type") == "Compensated"), {})
    since = mine.get("lastTransitionTime", at) if mine.get("status") == value else at
    made = {
        "type": "Compensated",
        "status": value,
        "reason": status.state or "Unknown",
        "message": status.message,
        "observedGeneration": 1,
        "lastTransitionTime": since,
    }
    return [*(c for c in old if c.get("type") != "Compensated"), made]
