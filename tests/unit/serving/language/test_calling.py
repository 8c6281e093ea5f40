"""What a model says that was told of tools, however it is cut into pieces."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.serving.language.calling import AnswerReader
from modelyard.serving.language.generation import CallPiece

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def read(pieces: list[str], *, structured: bool = False) -> tuple[str, list[CallPiece]]:
    """The text and the pieces of calls, together."""
    reader = AnswerReader("c", structured=structured)
    told = [*(reader.add(piece) for piece in pieces), reader.end()]
    return "".join(piece.text for piece in told), [c for piece in told for c in piece.calls]


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[begin:end] for begin, end in itertools.pairwise(ends)]


@given(st.text(), st.lists(st.integers(0, 1000)), st.booleans())
def test_text_is_what_was_said(said: str, places: list[int], ascii_only: bool) -> None:
    pieces = cut(json.dumps({"answer": said}, ensure_ascii=ascii_only), places)

    assert read(pieces) == (said, [])


@given(st.dictionaries(st.text(), VALUES, max_size=3), st.lists(st.integers(0, 1000)))
def test_arguments_are_what_was_said(arguments: dict[str, Any], places: list[int]) -> None:
    written = json.dumps({"name": "weather", "arguments": arguments})

    text, calls = read(cut(written, places))

    assert (text, calls[0].id, calls[0].name) == ("", "c", "weather")
    assert json.loads("".join(call.arguments for call in calls)) == arguments
    assert {call.index for call in calls} == {0}


def test_it_is_told_as_soon_as_it_is_known() -> None:
    reader = AnswerReader("c")
    assert reader.add('{"answer": ').text == ""
    assert reader.add('"Hel').text == "Hel"
    assert reader.add("lo\\u00").text == "lo"
    assert reader.add('e9"').text == "é"
    assert reader.add('}"').text == ""


def test_an_answer_with_a_schema_of_its_own_is_told_at_its_end() -> None:
    assert read(['{"answer": {"n"', ": 1}}"], structured=True) == ('{"n":1}', [])
    assert read(['{"answer": "a"}'], structured=True) == ('"a"', [])


@pytest.mark.parametrize(
    ("said", "text", "arguments"),
    [
        ("plain words", "plain words", ""),
        ('{"name": "wea', '{"name": "wea', ""),
        ('{"name": "f"}', "", "{}"),
        ('{"arguments": {"a": 1}, "name": "f"}', "", '{"a":1}'),
        ('{"name": "f", "arguments": {"a": "b', "", '{"a": "b'),
        ('{"answer": "cut sho', "cut sho", ""),
        ('{"answer": "\\q is no escape', "\\q is no escape", ""),
        ("x" * 1000, "x" * 1000, ""),
    ],
)
def test_what_is_not_whole_or_not_as_it_was_told(said: str, text: str, arguments: str) -> None:
    told, calls = read(cut(said, list(range(0, 1000, 5))))

    assert (told, "".join(call.arguments for call in calls)) == (text, arguments)
