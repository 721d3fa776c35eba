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
from agentrelease.api.schema import rule, rules

MAX_CHANGES = 256
MAX_DECISIONS = 20


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
