"""JSON schemas that an answer shall keep to: a bounded subset, the same for every engine.

Engines compile a schema into a grammar, and some fail, or take for ever, on one that they do not
understand. So only what is known to work is handed on: references are put in their place, and
words that would change the meaning and are not known are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from modelyard.core.errors import Invalid

MAX_BYTES: Final = 64 << 10
MAX_NODES: Final = 1000
MAX_DEPTH: Final = 24
MAX_NAME: Final = 128
MAX_ITEMS: Final = 256
MAX_LENGTHS: Final = 128
"""Characters that the bounds on the length of strings add up to. An engine has a state of its
grammar for each, compiles it for some ten milliseconds, and generates nothing for anybody
meanwhile; one died of some ten thousand.
"""
MAX_OPTIONAL: Final = 128
"""Properties of one object that may be left out: an engine has a state for each pair of them."""
MAX_COUNTS: Final = 512
"""The same of the items of lists. They cost little, but not where many lists are possible at once.
"""
MAX_NUMBER: Final = 1 << 53

_TYPES: Final = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_SAID_ONLY: Final = frozenset(
    (
        "$schema",
        "$id",
        "$comment",
        "$defs",
        "definitions",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "format",
        "strict",
    )
)
"""Words that do not restrict what is valid, or are looked at elsewhere."""
_BOUNDS: Final = {
    "minItems": MAX_ITEMS,
    "maxItems": MAX_ITEMS,
    "minLength": MAX_LENGTHS,
    "maxLength": MAX_LENGTHS,
    "minimum": MAX_NUMBER,
    "maximum": MAX_NUMBER,
}

ANY_OBJECT: Final = '{"type":"object"}'
"""The schema of an answer that shall be a JSON object, whichever."""

Schema = dict[str, Any]


def accepted(schema: Any) -> str:
    """The schema as engines get it.

    Raises:
        Invalid: too large, recursive, or with a word that is not served; says where.
    """
    size = len(msgspec.json.encode(schema))
    if size > MAX_BYTES:
        raise Invalid(f"the schema has {size} bytes; at most {MAX_BYTES} are taken")
    taken = _Reader(schema).read(schema, "#", 0)
    _check_bounds(taken)
    return msgspec.json.encode(taken).decode()


def joined(kinds: Sequence[Any]) -> str:
    """A schema for an answer that keeps to any of these, each with references of its own.

    Raises:
        Invalid: as `accepted` does.
    """
    taken = [msgspec.json.decode(accepted(kind)) for kind in kinds]
    both = taken[0] if len(taken) == 1 else {"anyOf": taken}
    _check_bounds(both)
    schema = msgspec.json.encode(both)
    if len(schema) > MAX_BYTES:
        raise Invalid(f"the schemas have {len(schema)} bytes together; at most {MAX_BYTES}")
    return schema.decode()


class _Reader:
    """Goes through one schema. `_open` are the references that are being followed."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._nodes = 0
        self._open: list[str] = []

    def read(self, schema: Any, at: str, depth: int) -> Schema:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise Invalid(
                f"the schema is larger than {MAX_NODES} parts or deeper than {MAX_DEPTH} at {at}"
            )
        if not isinstance(schema, dict):
            raise Invalid(f"the schema's part {at} must be an object")
        if "$ref" in schema:
            return self._follow(schema["$ref"], at, depth)
        if isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
            return self.read(schema["allOf"][0], f"{at}/allOf/0", depth + 1)
        result: Schema = {}
        for word, value in schema.items():
            self._read_word(result, word, value, at, depth)
        if result.get("type") == "object" and "properties" in result:
            # What is not named would let a model go on for ever.
            result["additionalProperties"] = False
        optional = len(result.get("properties", ())) - len(result.get("required", ()))
        if optional > MAX_OPTIONAL:
            raise Invalid(
                f"{optional} properties of the schema's object at {at} may be left out; at most "
                f"{MAX_OPTIONAL} are taken: make some required"
            )
        _check_satisfiable(result, at)
        return result

    def _read_word(self, result: Schema, word: str, value: Any, at: str, depth: int) -> None:
        match word:
            case "type":
                result["type"] = _type(value, at)
            case "properties":
                result[word] = self._properties(value, at, depth)
            case "required":
                result[word] = _names(value, at)
            case "items":
                result[word] = self.read(value, f"{at}/items", depth + 1)
            case "anyOf" | "oneOf":
                if not isinstance(value, list) or not value:
                    raise Invalid(f"the schema's {at}/{word} must be a list of schemas")
                result["anyOf"] = [self.read(one, f"{at}/{word}", depth + 1) for one in value]
            case "enum" | "const":
                result["enum"] = self._values(value if word == "enum" else [value], at)
            case "additionalProperties":
                if isinstance(value, dict):
                    result[word] = self.read(value, f"{at}/{word}", depth + 1)
            case _ if word in _BOUNDS:
                result[word] = _bound(word, value, at)
            case _ if word not in _SAID_ONLY:
                raise Invalid(f"the schema's word '{word[:40]}' at {at} is not served")

    def _properties(self, value: Any, at: str, depth: int) -> Schema:
        if not isinstance(value, dict):
            raise Invalid(f"the schema's {at}/properties must be an object")
        for name in value:
            _check_name(name, at)
        return {
            name: self.read(part, f"{at}/properties/{name}", depth + 1)
            for name, part in value.items()
        }

    def _values(self, values: Any, at: str) -> list[Any]:
        if not isinstance(values, list) or not values:
            raise Invalid(f"the schema's {at}/enum must be a list of values")
        if not all(isinstance(each, str | int | float | None) for each in values):
            raise Invalid(f"the schema's {at}/enum may hold texts, numbers, truth values and null")
        self._nodes += len(values)
        if self._nodes > MAX_NODES:
            raise Invalid(f"the schema is larger than {MAX_NODES} parts at {at}/enum")
        return values

    def _follow(self, reference: Any, at: str, depth: int) -> Schema:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise Invalid(
                f"the schema's reference at {at} must lead into the schema itself: '#/...'"
            )
        if reference in self._open:
            raise Invalid(
                f"the schema's reference {reference[:80]} is recursive, which is not served"
            )
        part = self._root
        for raw in reference[2:].split("/"):
            name = raw.replace("~1", "/").replace("~0", "~")
            if not isinstance(part, Mapping) or name not in part:
                raise Invalid(f"the schema's reference {reference[:80]} leads nowhere")
            part = part[name]
        self._open.append(reference)
        try:
            return self.read(part, reference, depth + 1)
        finally:
            self._open.pop()


def _check_satisfiable(schema: Schema, at: str) -> None:
    """Raises Invalid for what no answer can keep to: some engines would not keep to it either."""
    for low, high in (("minItems", "maxItems"), ("minLength", "maxLength"), ("minimum", "maximum")):
        if low in schema and high in schema and schema[low] > schema[high]:
            raise Invalid(f"the schema's {low} at {at} is over its {high}: nothing is valid")
    if schema.get("additionalProperties") is False:
        missing = [name for name in schema.get("required", ()) if name not in schema["properties"]]
        if missing:
            raise Invalid(f"the schema requires '{missing[0]}' at {at}, which is no property there")
    kinds = schema.get("type", list(_TYPES))
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "enum" in schema and not any(_is_of(value, kinds) for value in schema["enum"]):
        raise Invalid(f"no value of the schema's enum at {at} is of its type: nothing is valid")


def _is_of(value: Any, kinds: Sequence[str]) -> bool:
    match value:
        case None:
            return "null" in kinds
        case bool():
            return "boolean" in kinds
        case str():
            return "string" in kinds
        case int():
            return "integer" in kinds or "number" in kinds
        case _:
            return "number" in kinds


def _check_bounds(schema: Schema) -> None:
    for most, least, greatest, what in (
        (MAX_LENGTHS, "minLength", "maxLength", "characters of strings"),
        (MAX_COUNTS, "minItems", "maxItems", "items of lists"),
    ):
        total = _total(schema, (least, greatest))
        if total > most:
            raise Invalid(
                f"the schema's bounds add up to {total:.0f} {what}, and at most {most} are taken: "
                f"leave {least} and {greatest} out where they can be"
            )


def _total(part: Schema, bounds: tuple[str, str]) -> float:
    """What the greater of these bounds add up to in all parts."""
    inner = [*part.get("properties", {}).values(), *part.get("anyOf", ())]
    inner += [part[word] for word in ("items", "additionalProperties") if part.get(word)]
    own = max(part.get(word, 0) for word in bounds)
    return float(own) + sum(_total(each, bounds) for each in inner)


def _type(value: Any, at: str) -> Any:
    kinds = value if isinstance(value, list) else [value]
    if not kinds or not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
        raise Invalid(f"the schema's type at {at} must be one of {', '.join(sorted(_TYPES))}")
    return value


def _names(value: Any, at: str) -> list[str]:
    if not isinstance(value, list):
        raise Invalid(f"the schema's {at}/required must be a list of names")
    for name in value:
        _check_name(name, at)
    return value


def _check_name(name: Any, at: str) -> None:
    if not isinstance(name, str) or not name or len(name) > MAX_NAME:
        raise Invalid(f"a property at {at} must have a name of 1 to {MAX_NAME} characters")


def _bound(word: str, value: Any, at: str) -> int | float:
    most = _BOUNDS[word]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > most:
        raise Invalid(f"the schema's {at}/{word} must be a number of at most {most}")
    return value
