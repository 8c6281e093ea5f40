"""Reading JSON strictly, with errors that a person can act on."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
import pytest

from modelyard.api.management.json_request import decode
from modelyard.core.errors import Invalid


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Leaf(msgspec.Struct, forbid_unknown_fields=True):
    size: int


class Tree(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    colour: Colour = Colour.RED
    leaves: list[Leaf] = []
    extra: dict[str, Any] = {}


def test_a_body_is_read_into_its_type() -> None:
    tree = decode(b'{"name":"oak","colour":"blue","leaves":[{"size":3}]}', Tree)
    assert tree == Tree("oak", Colour.BLUE, [Leaf(3)])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"name":1}', "field 'name': expected 'str', got 'int'"),
        (b"{}", "the body: object missing required field 'name'"),
        (b'{"name":"a","x":1}', "the body: object contains unknown field 'x'"),
        (b'{"name":"a","leaves":[{"size":"3"}]}', "field 'leaves[0].size': expected 'int'"),
        (b'{"name":"a","leaves":[{"sise":3}]}', "field 'leaves[0]': object contains unknown"),
        (b'{"name":"a","colour":"green"}', "expected 'red' or 'blue'"),
        (b"[]", "the body: expected 'object', got 'array'"),
        (b"{", "the body is not JSON"),
        (b'{"name":"\xff"}', "UTF-8"),
        (b'{"name":"a","extra":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(body: bytes, told: str) -> None:
    with pytest.raises(Invalid) as raised:
        decode(body, Tree)
    assert told in raised.value.message


@pytest.mark.parametrize(
    ("body", "holds"),
    [
        (rb'{"name":"\u0000"}', True),
        (rb'{"name":"a\\\u0000"}', True),
        (rb'{"name":"\\u0000"}', False),
        (rb'{"name":"\\\\u0000"}', False),
        (rb'{"name":"u0000"}', False),
    ],
)
def test_a_nul_is_found_and_its_spelling_is_not_taken_for_it(body: bytes, holds: bool) -> None:
    assert ("\0" in msgspec.json.decode(body)["name"]) is holds
    if holds:
        with pytest.raises(Invalid, match="NUL"):
            decode(body, Tree)
    else:
        assert "u0000" in decode(body, Tree).name
