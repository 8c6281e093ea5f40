"""Reading a JSON body: strictly, straight into the type that the route declares."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final, get_type_hints

import msgspec
from litestar import Request

from modelyard.core.errors import Invalid, UnsupportedFormat

EMPTY: Final = "the body is empty; a JSON object is expected"
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class JsonRequest(Request[Any, Any, Any]):
    """Litestar would decode to plain objects and then coerce them (`"5"` to 5). This does not."""

    async def json(self) -> Any:
        """The body as the route's `data`.

        Raises:
            UnsupportedFormat: the media type is another than `application/json`.
            Invalid: not JSON, or not of the declared type; the message names the field.
        """
        field = self.route_handler.parsed_data_field
        if field is None:
            return await super().json()
        if self.content_type[0].lower() != "application/json":
            raise UnsupportedFormat("the body must be JSON, with Content-Type: application/json")
        return decode(await self.body(), field.annotation)


def decode(body: bytes, kind: Any) -> Any:
    """Read JSON into `kind`. Raises Invalid."""
    if _NUL.search(body):
        raise Invalid("the body must not hold NUL characters (\\u0000)")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(_readable(str(error), kind)) from None
    except msgspec.DecodeError as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    except UnicodeDecodeError:
        raise Invalid("the body is not JSON: it is not valid UTF-8") from None
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None


def choices(kind: Any) -> str:
    """The values of an enumeration as a sentence's tail; empty for any other type."""
    if not (isinstance(kind, type) and issubclass(kind, Enum)):
        return ""
    return ", expected " + " or ".join(f"'{member.value}'" for member in kind)


def _readable(message: str, kind: Any) -> str:
    """Turn msgspec's "Expected `str`, got `int` - at `$.name`" so that the field comes first."""
    what, at, where = message.partition(" - at `$")
    field = where.rstrip("`").lstrip(".")
    what = what.replace("`", "'")
    what = what[:1].lower() + what[1:]
    if not at or not field:
        return f"the body: {what}"
    if what.startswith("invalid enum value"):
        what += choices(get_type_hints(kind).get(field))
    return f"field '{field}': {what}"
