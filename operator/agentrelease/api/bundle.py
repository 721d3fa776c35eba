"""The bundle: the ten layers that together make an agent's behaviour, each pinned exactly.

A change to any of them is a release. Floating names (``latest``, ranges, an empty version) are
refused, because what was tested must be what serves. A field added here later must be optional and
absent by default: whatever a model writes becomes part of the digest.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from agentrelease.api.base import Digest, Model
from agentrelease.api.schema import PRESERVE, keyed_by, rule, rules
from agentrelease.api.vocabulary import Effect

_FLOATING = (
    "^(latest|stable|main|master|head|trunk|edge|nightly|dev|current|default|newest|production)$"
    "|[._+-](latest|nightly|head)$|(^|[.])x([.]|$)"
)
Version = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$",
        json_schema_extra=rules(
            rule(
                f"!self.lowerAscii().matches('{_FLOATING}') && !self.matches('[*^~<>=| ]')",
                "must be an exact version such as v14 or 2026-10-14; a range, a wildcard or a floating "
                "tag such as latest can change without a release",
            )
        ),
    ),
]
LayerName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
    ),
]
Parameter = Annotated[
    int | float | bool | Annotated[str, Field(max_length=256)],
    Field(
        json_schema_extra={
            # A scalar of any type: the two contradicting pairs leave no object and no list that fits.
            PRESERVE: True,
            "minProperties": 1,
            "maxProperties": 0,
            "minItems": 1,
            "maxItems": 0,
            "maxLength": 256,
            "minimum": -(2**53 - 1),  # beyond, canonical JSON has no exact number
            "maximum": 2**53 - 1,
        }
    ),
]
_NOT_LATEST = rule(
    "!self.name.lowerAscii().matches('(^|[._/-])latest$')",
    "the provider moves a name that ends in latest; use a name that stays",
    field=".name",
)

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

    model_config = ConfigDict(json_schema_extra=rules(_NOT_LATEST))

    name: LayerName
    """The model as its provider calls it. Example: `provider/model-x`."""
    version: Version
    """The provider's exact, dated version. Example: `2026-10-14`."""


class ModelLayer(ModelPin):
    """The model, its parameters, and what to fall back to."""

    parameters: dict[str, Parameter] = Field(default_factory=dict, max_length=32)
    """Sampling and other parameters: numbers, booleans or strings by name. Example: `{temperature: 0.2}`."""
    fallback: ModelPin | None = None
    """The model that the `fallbackModel` intervention switches to."""


class PinnedText(Model):
    """A prompt or a policy: a text whose content is fixed by its digest."""

    name: LayerName
    """What the text is for, unique in its layer. Example: `system`."""
    version: Version
    """The version that people use when they talk about it. Example: `v14`."""
    digest: Digest
    """SHA-256 of the text's bytes. Example: `sha256:` and 64 hexadecimal digits."""


class Snapshot(Model):
    """A retrieval index frozen at a moment."""

    name: LayerName
    """The index, unique in its layer. Example: `handbook`."""
    snapshot: Version
    """The frozen state of the index. Example: `2026-11-01`."""
    digest: Digest
    """SHA-256 of the index or of its manifest. Example: `sha256:` and 64 hexadecimal digits."""


class Tool(Model):
    """A tool the agent may call, with its schema's digest and what it does to the world."""

    name: LayerName
    """The tool as the agent calls it, unique in its layer. Example: `payments.refund`."""
    schema_: Digest = Field(alias="schema")
    """SHA-256 of the tool's interface (its JSON schema). Example: `sha256:` and 64 hexadecimal digits."""
    connector: LayerName | None = None
    """The connector that the tool goes through; must be in the bundle's `connectors`. Example: `billing`."""
    effect: Effect = Effect.IRREVERSIBLE
    """What a call does to the world: `read` changes nothing, `write` can be undone, `irreversible` can't."""


class Connector(Model):
    """A connection to another system."""

    name: LayerName
    """The connection, unique in its layer. Example: `billing`."""
    version: Version
    """The connector's exact version. Example: `3.2.1`."""


class Component(Model):
    """A layer that one version names: routing, post-processing, memory or workflow."""

    version: Version
    """The layer's exact version. Example: `r3`."""
    digest: Digest | None = None
    """SHA-256 of the layer's content, where it has one."""


class Bundle(Model):
    """All ten layers. The same content has the same digest on any machine."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.tools.all(t, !has(t.connector) || self.connectors.exists(c, c.name == t.connector))",
                "a tool names a connector that the bundle's connectors layer doesn't pin",
                field=".tools",
            )
        )
    )

    model: ModelLayer
    """Layer 1, the model with its parameters and its fallback."""
    prompts: list[PinnedText] = Field(min_length=1, max_length=32, json_schema_extra=keyed_by("name"))
    """Layer 2, the prompts, in the order in which the model reads them."""
    retrieval: list[Snapshot] = Field(max_length=32, json_schema_extra=keyed_by("name"))
    """Layer 3, frozen retrieval indices; `[]` for an agent without retrieval."""
    tools: list[Tool] = Field(max_length=128, json_schema_extra=keyed_by("name"))
    """Layer 4, the tools, in the order in which they are offered; `[]` for an agent without tools."""
    connectors: list[Connector] = Field(max_length=64, json_schema_extra=keyed_by("name"))
    """Layer 5, connections to other systems; `[]` for none."""
    policies: list[PinnedText] = Field(max_length=32, json_schema_extra=keyed_by("name"))
    """Layer 6, the policies that the agent is held to; `[]` for none."""
    routing: Component
    """Layer 7, how requests are routed between models, prompts or sub-agents."""
    post_processing: Component
    """Layer 8, what happens to an answer before a person sees it."""
    memory: Component
    """Layer 9, what the agent remembers and how."""
    workflow: Component
    """Layer 10, the order of steps and hand-overs."""
