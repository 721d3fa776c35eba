"""What the administrator decides, read once from the environment (``AGENTRELEASE_…``).

A tenant never chooses any of this: the Prometheus address, its credentials and the namespaces are
the administrator's. A wrong value ends the start with one line that names the variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    AnyHttpUrl,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "AGENTRELEASE_"

LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class SettingsError(Exception):
    """The settings can't be used; the message is one line for the person who starts the operator."""


class Settings(BaseSettings):
    """Settings of one operator process; durations are seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True)

    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Namespaces to serve, separated by commas; none means the whole cluster."
    )
    kubeconfig: Path | None = Field(
        default=None,
        validation_alias=AliasChoices(f"{PREFIX}KUBECONFIG", "KUBECONFIG"),
        description="The cluster to work on; without it the pod's service account, then ~/.kube/config.",
    )
    evaluation_interval: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Between two looks at a release; no shorter than between two scrapes of an agent.",
    )
    evidence_lookback: float = Field(
        default=300.0,
        ge=1,
        le=3600,
        description="How far back a counter's samples are read; longer than two intervals between scrapes.",
    )
    relist_interval: float = Field(default=300.0, ge=1, description="Between two lists that purge ghosts.")
    workers: int = Field(default=8, ge=1, le=256, description="Releases that are reconciled at once.")

    prometheus_url: AnyHttpUrl | None = Field(
        default=None, description="The Prometheus that holds the evidence."
    )
    prometheus_bearer_file: Path | None = Field(
        default=None, description="A file with a bearer token for it."
    )
    prometheus_ca_file: Path | None = Field(
        default=None, description="A PEM file with the CA of its certificate."
    )

    prometheus_replica_labels: Annotated[tuple[LabelName, ...], NoDecode] = Field(
        default=("prometheus_replica",),
        description="Labels by which several Prometheus servers mark what they scraped, by commas.",
    )

    endpoints_file: Path | None = Field(
        default=None, description="A YAML file with the hooks and sinks that the operator may call."
    )
    event_source: str = Field(
        default="/agentrelease",
        pattern=r"^[A-Za-z0-9:/._-]{1,253}$",
        description="What the source of each CloudEvent begins with; name the cluster in it.",
    )

    lease_namespace: str = Field(default="default", min_length=1, description="Where the Lease lies.")
    lease_name: str = Field(
        default="agentrelease-operator", min_length=1, description="Operators of one cluster share it."
    )
    identity: str = Field(
        default="", description="Who holds the Lease; empty means host name and a random part."
    )
    lease_duration: float = Field(default=15.0, gt=0, description="How long a silent leader is respected.")
    renew_deadline: float = Field(default=10.0, gt=0, description="When a leader without a renewal gives up.")
    retry_period: float = Field(default=2.0, gt=0, description="Between two attempts on the Lease.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged."
    )
    listen_host: str = Field(default="0.0.0.0", description="The address of metrics and probes.")  # noqa: S104  a pod's probes come from outside
    listen_port: int = Field(
        default=0, ge=0, le=65535, description="The port of metrics and probes; 0 takes a free one."
    )

    @field_validator("namespaces", "prometheus_replica_labels", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator(
        "kubeconfig",
        "prometheus_url",
        "prometheus_bearer_file",
        "prometheus_ca_file",
        "endpoints_file",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @model_validator(mode="after")
    def _lease_order(self) -> Self:
        # the request in flight when a leader gives up must be over before a rival may start
        if not self.retry_period < self.renew_deadline < self.lease_duration:
            raise ValueError(
                f"{PREFIX}RETRY_PERIOD < {PREFIX}RENEW_DEADLINE < {PREFIX}LEASE_DURATION must hold, "
                f"not {self.retry_period:g} < {self.renew_deadline:g} < {self.lease_duration:g}"
            )
        return self


def read(**overrides: Any) -> Settings:
    """Read the environment; raise ``SettingsError`` with one line for everything that is wrong."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(item) for item in error.errors())) from None


def _sentence(item: Any) -> str:
    location = str(item["loc"][0]) if item["loc"] else "lease durations"
    field = Settings.model_fields.get(location)
    name = PREFIX + location.upper() if field is not None else location
    return f"{name}: {item['msg'].removeprefix('Value error, ')}" + (
        f" ({field.description})" if field else ""
    )
