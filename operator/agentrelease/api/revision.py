"""AgentRevision: an immutable snapshot of one bundle, and what became of it.

Written by the operator only. The same bundle is the same revision: its name is made of the release's
name and the first ten digits of the bundle's digest. ``spec`` never changes after creation; ``status``
says how the revision fared, so that "what changed?" and "how did it end?" are one read.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from agentrelease.api.base import Digest, Model, Name
from agentrelease.api.bundle import Bundle

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
