"""The bundle: the ten layers that together make an agent's behaviour, each pinned exactly.

A change to any of them is a release. Floating names (``latest``, ranges, an empty version) are
refused, because what was tested must be what serves.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agentrelease.api.base import Digest, Model
from agentrelease.api.vocabulary import Effect

Version = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$",
        description="An exact version, for example `v14` or `2026-10-14`; no range, no `latest`.",
    ),
]
LayerName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
Parameter = int | float | bool | str

LAYERS = (
    "model",
    "prompts",
    "retrieval",
    "tools",
    "connectors",
    "policies",
    "routing",
    "postProcessing",
    "memory",
    "workflow",
)


class ModelPin(Model):
    """A model under an exact version."""

    name: LayerName
    version: Version


class ModelLayer(ModelPin):
    """The model, its parameters, and what to fall back to."""

    parameters: dict[str, Parameter] = Field(default_factory=dict, max_length=64)
    fallback: ModelPin | None = None


class PinnedText(Model):
    """A prompt or a policy: a text whose content is fixed by its digest."""

    name: LayerName
    version: Version
    digest: Digest


class Snapshot(Model):
    """A retrieval index frozen at a moment."""

    name: LayerName
    snapshot: Version
    digest: Digest


class Tool(Model):
    """A tool the agent may call, with its schema's digest and what it does to the world."""

    name: LayerName
    schema_: Digest = Field(alias="schema")
    connector: LayerName | None = None
    effect: Effect = Effect.IRREVERSIBLE


class Connector(Model):
    """A connection to another system."""

    name: LayerName
    version: Version


class Component(Model):
    """A layer that one version names: routing, post-processing, memory or workflow."""

    version: Version
    digest: Digest | None = None


class Bundle(Model):
    """All ten layers. The same content has the same digest on any machine."""

    model: ModelLayer
    prompts: list[PinnedText] = Field(min_length=1, max_length=64)
    retrieval: list[Snapshot] = Field(max_length=64)
    tools: list[Tool] = Field(max_length=256)
    connectors: list[Connector] = Field(max_length=64)
    policies: list[PinnedText] = Field(max_length=64)
    routing: Component
    post_processing: Component
    memory: Component
    workflow: Component
