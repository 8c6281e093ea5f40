"""Tools that a chat may call, above a model that says what it is told to."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chats import TOOLS, ask, events
from tests.speaking import TalkingGateway


@pytest.mark.asyncio
async def test_a_tool_is_called(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, '{"name": "weather", ', '"arguments": {}}')

    whole = (await ask(gateway, tools=TOOLS)).json()["choices"][0]
    chunks = events(await ask(gateway, tools=TOOLS, tool_choice="required", stream=True))

    assert whole["finish_reason"] == "tool_calls"
    assert whole["message"]["content"] is None
    [called] = whole["message"]["tool_calls"]
    assert called["function"] == {"name": "weather", "arguments": "{}"}
    delta = chunks[0]["choices"][0]["delta"]
    assert delta["tool_calls"][0]["function"] == called["function"]
    assert chunks[1]["choices"][0]["finish_reason"] == "tool_calls"
    assert all(asked.schema for asked in gateway.speaker.asked)
    await gateway.close()
    assert gateway.events()[0].finish == "tool_calls"


@pytest.mark.asyncio
async def test_text_comes_as_it_is_said_where_tools_may_be_called(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, '{"answer', '": "It is', ' \\"warm\\', '"', '."}')

    chunks = events(await ask(gateway, tools=TOOLS, stream=True))

    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "It is"},
        {"content": ' "warm'},
        {"content": '"'},
        {"content": "."},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    await gateway.close()


@pytest.mark.asyncio
async def test_a_tool_need_not_be_called(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, '{"answer": "No."}')

    offered = (await ask(gateway, tools=TOOLS)).json()["choices"][0]
    await ask(gateway, tools=TOOLS, tool_choice="none")

    assert (offered["message"]["content"], offered["finish_reason"]) == ("No.", "stop")
    assert gateway.speaker.asked[1].schema == ""
    await gateway.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "function": {"name": "weather"}},
        {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [{"type": "function", "function": {"name": "weather"}}],
            },
        },
        "required",
    ],
)
async def test_a_choice_of_tools(tmp_path: Path, choice: Any) -> None:
    gateway = TalkingGateway(tmp_path, '{"name": "weather", "arguments": {}}')
    other = {"type": "function", "function": {"name": "other", "parameters": {}}}

    answer = await ask(gateway, tools=[*TOOLS, other], tool_choice=choice)

    assert answer.json()["choices"][0]["finish_reason"] == "tool_calls"
    schema = gateway.speaker.asked[0].schema
    assert "weather" in schema
    assert '"answer"' not in schema
    assert ("other" in schema) == (choice == "required")
    await gateway.close()


@pytest.mark.asyncio
async def test_an_answer_keeps_to_its_schema_where_tools_may_be_called(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, '{"answer": {"n": 1}}')
    number = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    kept = {"type": "json_schema", "json_schema": {"name": "n", "schema": number}}

    told = (await ask(gateway, tools=TOOLS, response_format=kept)).json()["choices"][0]

    assert (told["message"]["content"], told["finish_reason"]) == ('{"n":1}', "stop")
    schema = json.loads(gateway.speaker.asked[0].schema)
    assert schema["anyOf"][1]["properties"]["answer"]["properties"] == {"n": {"type": "integer"}}
    await gateway.close()
