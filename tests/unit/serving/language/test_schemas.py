"""Schemas that answers keep to: what is handed on, and what is refused before an engine sees it."""

import json
from typing import Any

import pytest

from modelyard.core.errors import Invalid
from modelyard.serving.language import schemas


def accepted(schema: Any) -> Any:
    return json.loads(schemas.accepted(schema))


def test_what_says_nothing_of_validity_is_left_out() -> None:
    schema = {"title": "T", "type": "string", "description": "d", "maxLength": 5, "format": "date"}

    assert accepted(schema) == {"type": "string", "maxLength": 5}


def test_objects_have_no_other_properties_than_those_named() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    assert accepted(schema) == {**schema, "additionalProperties": False}


def test_references_are_put_in_their_place() -> None:
    schema = {
        "type": "object",
        "properties": {
            "one": {"$ref": "#/$defs/a~1b"},
            "two": {"allOf": [{"$ref": "#/$defs/a~1b"}]},
        },
        "$defs": {"a/b": {"type": "boolean"}},
    }

    assert accepted(schema)["properties"] == {
        "one": {"type": "boolean"},
        "two": {"type": "boolean"},
    }


def test_constants_and_alternatives() -> None:
    assert accepted({"oneOf": [{"const": 1}, {"enum": ["a", None]}]}) == {
        "anyOf": [{"enum": [1]}, {"enum": ["a", None]}]
    }


def deep(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ([], "must be an object"),
        ({"type": 7}, "type at #"),
        ({"type": "text"}, "type at #"),
        ({"type": "string", "pattern": "(a+)+$"}, "'pattern'"),
        ({"not": {}}, "'not'"),
        ({"$ref": "#"}, "lead into the schema"),
        ({"$ref": "https://example.org/s"}, "lead into the schema"),
        ({"$ref": "#/$defs/x"}, "leads nowhere"),
        ({"$defs": {"x": {"$ref": "#/$defs/x"}}, "$ref": "#/$defs/x"}, "recursive"),
        (
            {
                "$defs": {"x": {"type": "array", "items": {"$ref": "#/$defs/x"}}},
                "$ref": "#/$defs/x",
            },
            "recursive",
        ),
        ({"type": "string", "minLength": 10**9}, "minLength"),
        ({"type": "array", "maxItems": 10**6}, "maxItems"),
        ({"type": "string", "maxLength": 129}, "maxLength"),
        ({"anyOf": [{"type": "string", "maxLength": n} for n in range(20)]}, "190 characters"),
        ({"anyOf": [{"type": "array", "maxItems": 200}] * 3}, "600 items"),
        ({"type": "object", "properties": {f"p{n}": {} for n in range(129)}}, "129 properties"),
        (
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "a": {"type": "string", "minLength": 100},
                        "b": {"additionalProperties": {"type": "string", "maxLength": 30}},
                    },
                },
            },
            "130 characters",
        ),
        ({"type": "array", "maxItems": True}, "maxItems"),
        ({"type": "object", "properties": {"": {}}}, "name of 1 to"),
        ({"type": "object", "required": "a"}, "list of names"),
        ({"enum": [[1]]}, "may hold"),
        ({"enum": []}, "list of values"),
        ({"enum": ["x" * 30 + str(number) for number in range(1500)]}, "larger than"),
        ({"description": "x" * 70_000}, "at most 65536"),
        (deep(30), "deeper than"),
        ({"type": "object", "properties": {f"p{n}": {} for n in range(1100)}}, "larger than"),
    ],
)
def test_what_engines_choke_on_is_refused(schema: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        schemas.accepted(schema)


def test_references_that_multiply_are_bounded() -> None:
    layers: dict[str, Any] = {"l0": {"type": "string"}}
    for level in range(1, 20):
        both = [{"$ref": f"#/$defs/l{level - 1}"}] * 2
        layers[f"l{level}"] = {"anyOf": both}

    with pytest.raises(Invalid, match="larger than"):
        schemas.accepted({"$defs": layers, "$ref": "#/$defs/l19"})
