"""What an answer shall be, as OpenAI's clients write it."""

from __future__ import annotations

from typing import Any

import msgspec

from modelyard.core.errors import Invalid
from modelyard.serving.language import schemas


class JsonSchema(msgspec.Struct, frozen=True, omit_defaults=True):
    """A schema with its name."""

    schema: Any = None
    name: str = ""
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(msgspec.Struct, frozen=True, omit_defaults=True):
    """Text, any JSON object, or what a schema says."""

    type: str
    json_schema: JsonSchema | None = None

    def schema(self) -> str:
        """The schema that the answer keeps to; empty for none. Raises Invalid."""
        match self.type:
            case "text":
                return ""
            case "json_object":
                return schemas.ANY_OBJECT
            case "json_schema" if self.json_schema is not None:
                return schemas.accepted(self.json_schema.schema)
        raise Invalid("response_format must be of type text, json_object or json_schema")
