"""AgentRevision: an immutable snapshot of one bundle, and what became of it.

Written by the operator only. The same bundle is the same revision: its name is made of the release's
name and the first ten digits of the bundle's digest. ``spec`` never changes after creation; ``status``
says how the revision fared, so that "what changed?" and "how did it end?" are one read.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict, Field

from agentrelease.api.base import Digest, Model, Name
from agentrelease.api.bundle import Bundle
from agentrelease.api.schema import keyed_by, rule, rules
from agentrelease.api.status import Condition

MAX_CHANGES = 256
MAX_LOGS = 64
MAX_FAILURES = 10
MAX_DECISIONS = 40
MAX_DROPPED = 64
MAX_PACKED = 65_536


class ChangeKind(StrEnum):
    """What happened to one item of a layer."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    REORDERED = "reordered"
    MORE = "more"  # the rest of a layer's changes, counted in ``to``


class LayerChange(Model):
    """One difference between a bundle and its parent."""

    layer: str = Field(max_length=32, description="The layer that changed, for example `prompts`.")
    name: str = Field(
        default="",
        max_length=253,
        description="The item's name in a layer that is a list, for example `system`; empty otherwise.",
    )
    field: str = Field(
        default="",
        max_length=160,
        description="The field that changed, for example `version`.",
    )
    change: ChangeKind = Field(description="What happened: added, removed, changed, reordered, more.")
    from_: str = Field(
        default="", alias="from", max_length=128, description="The value before; empty when added."
    )
    to: str = Field(default="", max_length=128, description="The value after; empty when removed.")


class RevisionSpec(Model):
    """What the revision is. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self == oldSelf", "a revision never changes; another bundle is another revision")
        )
    )

    release: Name = Field(description="Name of the AgentRelease in this namespace that asked for the bundle.")
    bundle: Bundle
    digest: Digest = Field(
        description="SHA-256 of the bundle's canonical JSON (RFC 8785); the same on any machine."
    )
    layers: dict[str, Digest] = Field(
        default_factory=dict,
        max_length=16,
        description="SHA-256 of each layer's canonical JSON, by layer name.",
    )
    parent: str | None = Field(
        default=None,
        max_length=63,
        description="The revision that was stable when this one was made; absent for a first release.",
    )
    changes: list[LayerChange] = Field(
        default_factory=list, max_length=MAX_CHANGES, description="What differs from `parent`, item by item."
    )


class DecisionRecord(Model):
    """One decision about this revision, short; the full record is in the operator's log."""

    at: str = Field(max_length=40)
    """When. Example: `2026-11-30T12:00:00Z`."""
    id: str = Field(default="", max_length=80)
    """The decision's name in the log."""
    phase: str = Field(default="", max_length=63)
    """The phase it was taken in."""
    verdict: str = Field(default="", max_length=64)
    """What the evidence said."""
    action: str = Field(default="", max_length=160)
    """What was done."""
    reason: str = Field(default="", max_length=512)
    """Why: metric, value, bound, samples."""
    sequence: int = 0
    """Its place in the release's log, from 1."""
    hash: str = Field(default="", max_length=71)
    """SHA-256 of the whole entry's canonical JSON."""
    previous: str = Field(default="", max_length=71)
    """The hash of the entry before; empty for the first."""
    entry: str = Field(default="", max_length=MAX_PACKED)
    """The whole entry, zlib in base64; empty where there was no room. `explain` replays it."""


class Dropped(Model):
    """Decisions that were let go for want of room; the operator's log has them."""

    first: int
    """The first decision's place in the log."""
    last: int
    """The last one's."""


class ReadLog(Model):
    """How far one agent process' action log was read."""

    pod: str = Field(max_length=253)
    """The Pod that keeps the log."""
    log: str = Field(max_length=64)
    """The log's own id; a restarted process has a new one."""
    next: int = 0
    """The last record that was read."""
    gone: bool = False
    """Whether it ended: what it recorded after `next`, if anything, is unknown."""
    gone_at: float = 0.0
    """When it was found to have ended, in Unix seconds."""


class CompensationFailure(Model):
    """One effect that could not be undone."""

    effect: str = Field(max_length=128)
    """The effect's id in the agent's log."""
    tool: str = Field(max_length=128)
    """The tool that caused it."""
    reason: str = Field(default="", max_length=256)
    """Why its compensation was refused or given up."""
    at: str = Field(default="", max_length=40)
    """When."""


class CompensationStatus(Model):
    """What a rollout did to the world, and how far it has been undone."""

    state: str = Field(default="", max_length=32)
    """`Collecting` while it rolls out or is watched; `Undoing` after its rollback or the return from it;
    then `Done` or `Incomplete`, or `NotNeeded` when it ended otherwise."""
    message: str = Field(default="", max_length=1024)
    """The same in one sentence, with what is missing."""
    since: float = 0.0
    """When the rollout began, or the watch, that it is about, in Unix seconds."""
    slot: str = Field(default="", max_length=63)
    """The slot that the revision ran in."""
    settling_since: float = 0.0
    """When its rollback was over and undoing began, in Unix seconds."""
    undone_from: float = 0.0
    """Effects before this moment stay, in Unix seconds."""
    drained: bool = False
    """Whether the logs were read to their end after the rollback."""
    effects: int = 0
    """Effects that have to be undone, or would have to."""
    older: int = 0
    """Effects that are kept, but happened before `undoneFrom`."""
    first: int = 0
    """How many effects were let go, for the operator itself; they had become too old to be undone."""
    undone: int = 0
    """Effects whose hook said that they are undone."""
    failed: int = 0
    """Effects that were refused or given up."""
    lost: int = 0
    """Effects that are known to have happened and that nobody can undo from here."""
    lost_until: float = 0.0
    """When the last of them may have happened, in Unix seconds."""
    undone_places: str = Field(default="", max_length=2048)
    """Which effects are undone, for the operator itself."""
    failed_places: str = Field(default="", max_length=2048)
    """Which effects failed, for the operator itself."""
    logs: list[ReadLog] = Field(default_factory=list, max_length=MAX_LOGS)
    """How far each log was read."""
    failures: list[CompensationFailure] = Field(default_factory=list, max_length=MAX_FAILURES)
    """The last effects that could not be undone."""


class RevisionStatus(Model):
    """What became of the revision."""

    outcome: str = Field(default="", max_length=32)
    """`Promoted`, `RolledBack` or `Superseded`; empty while it is on its way."""
    reason: str = Field(default="", max_length=1024)
    """Why it ended so."""
    started_at: str = Field(default="", max_length=40)
    """When it first became a candidate."""
    ended_at: str = Field(default="", max_length=40)
    """When it was promoted or withdrawn."""
    decisions: list[DecisionRecord] = Field(default_factory=list, max_length=MAX_DECISIONS)
    """The last decisions, oldest first."""
    dropped: list[Dropped] = Field(default_factory=list, max_length=MAX_DROPPED)
    """Older decisions of which there is no copy here."""
    compensation: CompensationStatus | None = None
    """What it did to the world, and how far that has been undone; absent where no hook is named."""
    conditions: list[Condition] = Field(
        default_factory=list, max_length=4, json_schema_extra=keyed_by("type")
    )
    """`Compensated`: whether everything that a rolled-back revision did has been undone."""
