"""Tools: what a model is told of them, and what its answers mean."""

import json
from typing import Any

import pytest

from modelyard.core.errors import Invalid
from modelyard.serving.language import tools
from modelyard.serving.language.generation import Message, Role
from modelyard.serving.language.tools import Call, Tool

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"$ref": "#/$defs/City"}},
    "required": ["city"],
    "$defs": {"City": {"type": "string"}},
}
WEATHER = Tool("weather", "What it is like outside.", CITY)


def test_tools_are_told_at_the_beginning() -> None:
    messages, _ = tools.offer([Message(Role.USER, "Hi")], [WEATHER], must=False)

    assert [message.role for message in messages] == [Role.SYSTEM, Role.USER]
    assert "- weather(" in messages[0].content
    assert "What it is like outside." in messages[0].content


def test_they_follow_what_the_client_says_to_the_model() -> None:
    messages, _ = tools.offer(
        [Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi")], [WEATHER], must=True
    )

    assert len(messages) == 2
    assert messages[0].content.startswith("Be brief.\n\n")


def test_the_answer_is_a_call_or_a_text() -> None:
    call, text = json.loads(tools.offer([], [WEATHER], must=False)[1])["anyOf"]

    assert call["properties"]["name"] == {"enum": ["weather"]}
    assert call["properties"]["arguments"]["properties"] == {"city": {"type": "string"}}
    assert text["required"] == ["answer"]


def test_where_a_call_must_come_there_is_nothing_else() -> None:
    assert "anyOf" not in json.loads(tools.offer([], [WEATHER], must=True)[1])


def test_parameters_that_are_no_schema_are_refused() -> None:
    with pytest.raises(Invalid, match="pattern"):
        tools.offer([], [Tool("t", "", {"type": "string", "pattern": "a"})], must=True)


def test_all_tools_together_bound_what_one_schema_may() -> None:
    each = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 50}}}

    with pytest.raises(Invalid, match="150 characters"):
        tools.offer([], [Tool(f"t{n}", "", each) for n in range(3)], must=True)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"name": "weather", "arguments": {"city": "Oslo"}}', Call("weather", '{"city":"Oslo"}')),
        ('{"name": "weather"}', Call("weather", "{}")),
        ('{"answer": "No."}', "No."),
        ('{"name": "wea', '{"name": "wea'),
        ("7", "7"),
    ],
)
def test_answers_are_read(text: str, meant: Call | str) -> None:
    assert tools.parse(text) == meant


def test_an_earlier_call_is_told_as_the_model_would_write_it() -> None:
    call = Call("weather", '{"city": "Oslo"}')

    assert tools.parse(tools.told([call])) == Call("weather", '{"city":"Oslo"}')
    with pytest.raises(Invalid, match="not JSON"):
        tools.told([Call("weather", "{")])
