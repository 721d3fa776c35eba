"""The administrator's endpoints: hooks that undo effects, and sinks that hear of decisions.

They are one YAML file that the operator reads at its start. A tenant's release says a hook's *name*;
addresses, credentials and templates are here alone. Secrets are files beside it, read at each use so
that a rotated one counts at once, and never printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

EndpointName = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class EndpointsError(Exception):
    """The file can't be used; the message is one line for the administrator."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Endpoint(_Strict):
    """One HTTP endpoint. ``timeout`` is seconds for one whole attempt."""

    name: EndpointName
    url: AnyHttpUrl
    hmac_secret_file: Path | None = None
    bearer_file: Path | None = None
    ca_file: Path | None = None
    timeout: float = Field(default=5.0, gt=0, le=60)

    @model_validator(mode="after")
    def _known_to_its_receiver(self) -> Self:
        if self.hmac_secret_file is None and self.bearer_file is None:
            raise ValueError(
                f"{self.name}: name hmacSecretFile or bearerFile; a receiver must know who calls"
            )
        if self.url.username or self.url.password:
            raise ValueError(f"{self.name}: credentials belong in a file, not into the URL")
        return self


class HttpHook(Endpoint):
    """A hook by HTTP; ``namespaces`` says whose releases may use it, none means all that are served."""

    namespaces: tuple[str, ...] = ()


class JobHook(_Strict):
    """A hook as a Job in the release's own namespace; ``template`` is a Job's ``spec``."""

    name: EndpointName
    job: dict[str, Any]
    namespaces: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _runs_something(self) -> Self:
        try:
            containers = self.job["template"]["spec"]["containers"]
        except (KeyError, TypeError):
            containers = None
        if not isinstance(containers, list) or not containers:
            raise ValueError(f"{self.name}: job.template.spec.containers names no container")
        return self


def _kind(hook: Any) -> str:
    return "job" if isinstance(hook, JobHook) or (isinstance(hook, dict) and "job" in hook) else "http"


Hook = Annotated[Annotated[HttpHook, Tag("http")] | Annotated[JobHook, Tag("job")], Discriminator(_kind)]


class SinkEndpoint(Endpoint):
    """A sink; ``types`` are beginnings of event types that it wants, none means all."""

    types: tuple[str, ...] = ()


class Endpoints(_Strict):
    """The whole file."""

    hooks: tuple[Hook, ...] = ()
    sinks: tuple[SinkEndpoint, ...] = ()

    @model_validator(mode="after")
    def _one_of_a_name(self) -> Self:
        for kind in (self.hooks, self.sinks):
            names = [one.name for one in kind]
            if len(set(names)) != len(names):
                raise ValueError("two hooks or two sinks have the same name")
        return self


def read(file: Path | None) -> Endpoints:
    """Read the file; no file means no hooks and no sinks. Raises ``EndpointsError``."""
    if file is None:
        return Endpoints()
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        return Endpoints.model_validate(found or {})
    except (OSError, yaml.YAMLError) as error:
        raise EndpointsError(f"{file}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EndpointsError(f"{file}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
