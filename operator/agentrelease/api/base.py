"""What all API models have in common, and the small value types their fields are made of."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_NUMBER = r"[0-9]{1,6}(\.[0-9]{1,3})?"
DURATION_PATTERN = "^" + "".join(f"({_NUMBER}{unit})?" for unit in ("h", "m", "s", "ms")) + "$"

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Instant = Annotated[
    datetime,  # with a zone: a time without one means another moment on every machine
    Field(
        json_schema_extra={
            "pattern": r"^[0-9-]{10}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$",
            "maxLength": 40,
        }
    ),
]
Digest = Annotated[str, Field(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]


class Model(BaseModel):
    """A frozen model with camelCase names outside.

    Unknown fields are ignored on reading: a newer CRD must not break an older operator. Callers
    that want to refuse them pass ``extra="forbid"`` to ``model_validate``.
    """

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_enum_values=False,
        use_attribute_docstrings=True,  # what `kubectl explain` prints stands below each field
    )

    def to_object(self) -> dict[str, Any]:
        """Return the JSON form as the API server stores it: camelCase, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Duration(str):
    """A time span in the API server's own notation, for example ``90s``, ``1h30m`` or ``250ms``."""

    __slots__ = ()

    @property
    def seconds(self) -> float:
        """The span in seconds."""
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(pattern=DURATION_PATTERN, min_length=2, max_length=32)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": DURATION_PATTERN, "minLength": 2, "maxLength": 32}
