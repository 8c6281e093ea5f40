"""Responses over ASGI, above a model that says what it is told to."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from modelyard.core.errors import ModelFailed
from modelyard.serving.language.generation import CallPiece, Piece, Reason, Role, TokenLogprob
from modelyard.serving.language.relayed import Relayed, RelayListener
from tests.dataplane import Answer, call
from tests.speaking import ScriptedSpeaker, TalkingGateway, Voice

TOOLS = [
    {
        "type": "function",
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {}},
        "strict": True,
    }
]
TEXT_EVENTS = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


async def ask(gateway: TalkingGateway, **body: Any) -> Answer:
    request = {"model": "chat", "input": "Hello", **body}
    return await call(gateway.front, "POST", "/v1/responses", request, key="k")


def events(answer: Answer) -> list[Any]:
    """The events, each named twice alike, numbered from 0."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = []
    for block in answer.body.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        told.append(event)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    return told


@pytest.mark.asyncio
async def test_a_whole_answer(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", " there", cached=3)

    answer = await ask(
        gateway, instructions="Be brief.", temperature=0.5, max_output_tokens=9, metadata={"a": "b"}
    )

    told = answer.json()
    assert answer.status == 200
    assert told["id"] == f"resp_{answer.headers['x-request-id']}"
    assert (told["object"], told["status"], told["model"]) == ("response", "completed", "chat")
    [message] = told["output"]
    assert (message["type"], message["role"], message["status"]) == (
        "message",
        "assistant",
        "completed",
    )
    assert message["content"] == [
        {"type": "output_text", "text": "Hi there", "annotations": [], "logprobs": []}
    ]
    assert told["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 9,
    }
    assert (told["temperature"], told["store"], told["metadata"]) == (0.5, False, {"a": "b"})
    asked = gateway.speaker.asked[0]
    assert [(turn.role, turn.content) for turn in asked.messages] == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "Hello"),
    ]
    assert (asked.sampling.temperature, asked.sampling.max_tokens) == (0.5, 9)
    await gateway.close()
    [event] = gateway.events()
    assert (event.prompt_tokens, event.cached_tokens, event.completion_tokens) == (7, 3, 2)
    assert (event.status, event.finish, event.bytes_out) == (200, "stop", len(answer.body))


@pytest.mark.asyncio
async def test_a_stream(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", " there")

    told = events(await ask(gateway, stream=True))

    kinds = [event["type"] for event in told]
    assert kinds == [*TEXT_EVENTS[:5], *TEXT_EVENTS[4:]]
    assert told[0]["response"]["status"] == "in_progress"
    assert told[2]["item"]["content"] == []
    assert [event["delta"] for event in told if "delta" in event] == ["Hi", " there"]
    assert told[-4]["text"] == "Hi there"
    item = told[-2]["item"]
    assert {event["item_id"] for event in told if "item_id" in event} == {item["id"]}
    whole = told[-1]["response"]
    assert (whole["output"], whole["usage"]["total_tokens"]) == ([item], 9)
    await gateway.close()
    assert gateway.events()[0].completion_tokens == 2


@pytest.mark.asyncio
async def test_an_answer_that_was_cut_short(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", reason=Reason.LENGTH)

    whole = (await ask(gateway)).json()
    last = events(await ask(gateway, stream=True))[-1]

    for told in (whole, last["response"]):
        assert (told["status"], told["output"][0]["status"]) == ("incomplete", "incomplete")
        assert told["incomplete_details"] == {"reason": "max_output_tokens"}
        assert told["completed_at"] is None
    assert last["type"] == "response.incomplete"
    await gateway.close()


@pytest.mark.asyncio
async def test_an_answer_without_a_word_still_has_its_message(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path)

    whole = (await ask(gateway)).json()
    kinds = [event["type"] for event in events(await ask(gateway, stream=True))]

    assert whole["output"][0]["content"][0]["text"] == ""
    assert kinds == [kind for kind in TEXT_EVENTS if not kind.endswith("text.delta")]
    await gateway.close()


@pytest.mark.asyncio
async def test_a_function_is_called(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, '{"name": "weather", ', '"arguments": {"x"', ": 1}}")

    whole = (await ask(gateway, tools=TOOLS)).json()
    told = events(await ask(gateway, tools=TOOLS, tool_choice="required", stream=True))

    [called] = whole["output"]
    assert (called["type"], called["name"], called["arguments"]) == (
        "function_call",
        "weather",
        '{"x": 1}',
    )
    assert called["call_id"].startswith("call_")
    assert (whole["status"], whole["tools"]) == ("completed", TOOLS)
    assert [event["type"] for event in told] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert told[2]["item"]["arguments"] == ""
    assert [event["delta"] for event in told[3:5]] == ['{"x"', ": 1}"]
    assert told[5]["arguments"] == told[6]["item"]["arguments"] == '{"x": 1}'
    await gateway.close()
    assert gateway.events()[0].finish == "tool_calls"


@pytest.mark.asyncio
async def test_a_function_need_not_be_called(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, '{"answer": "No."}')

    offered = (await ask(gateway, tools=TOOLS)).json()
    await ask(gateway, tools=TOOLS, tool_choice="none")
    await ask(gateway, tools=TOOLS, tool_choice={"type": "function", "name": "weather"})

    assert offered["output"][0]["content"][0]["text"] == "No."
    none, one = gateway.speaker.asked[1:]
    assert (none.schema, '"answer"' in one.schema) == ("", False)
    await gateway.close()


@pytest.mark.asyncio
async def test_items_reach_the_model_as_turns(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "d", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "4"},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [{"type": "output_text", "text": "b", "annotations": []}],
        },
    ]

    assert (await ask(gateway, input=items)).status == 200

    turns = [(turn.role, turn.content) for turn in gateway.speaker.asked[0].messages]
    assert turns == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "a"),
        (Role.ASSISTANT, '{"name":"f","arguments":{}}\n{"name":"g","arguments":{}}'),
        (Role.USER, "The function returned: 4"),
        (Role.ASSISTANT, "b"),
    ]
    await gateway.close()


@pytest.mark.asyncio
async def test_an_answer_keeps_to_its_schema(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "{}")
    schema = {"type": "json_schema", "name": "s", "schema": {"type": "integer"}, "strict": True}

    told = (await ask(gateway, text={"format": schema})).json()
    await ask(gateway, text={"format": {"type": "json_object"}})
    await ask(gateway, text={"format": {"type": "text"}, "verbosity": "low"})

    schemas = [asked.schema for asked in gateway.speaker.asked]
    assert schemas == ['{"type":"integer"}', '{"type":"object"}', ""]
    assert told["text"]["format"] == {**schema, "description": None}
    await gateway.close()


@pytest.mark.asyncio
async def test_log_probabilities(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path)
    gateway.speaker.pieces = [Piece("Hi", 1, (TokenLogprob("Hi", -0.5),))]

    include = ["message.output_text.logprobs", "reasoning.encrypted_content"]
    whole = (await ask(gateway, include=include)).json()
    told = events(await ask(gateway, include=include, stream=True))

    expected = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]
    assert whole["output"][0]["content"][0]["logprobs"] == expected
    assert told[4]["logprobs"] == told[5]["logprobs"] == expected
    assert gateway.speaker.asked[0].sampling.logprobs
    await gateway.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("background", True),
        ("prompt", {"id": "pmpt_1"}),
        ("truncation", "auto"),
        ("tools", [{"type": "web_search"}]),
        ("input", [{"type": "item_reference", "id": "msg_1"}]),
    ],
)
async def test_what_needs_more_than_this_request_is_refused_by_its_name(
    tmp_path: Path, field: str, value: Any
) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    answer = await ask(gateway, **{field: value})

    assert answer.status == 400
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "unsupported_parameter")
    assert error["param"] == field
    assert gateway.speaker.asked == []
    await gateway.close()
    assert gateway.events() == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "wrong",
    [
        {"input": []},
        {"input": 5},
        {"input": [{"role": "robot", "content": "x"}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}]},
        {"input": [{"type": "function_call", "name": "f", "arguments": "no JSON"}]},
        {"max_output_tokens": 0},
        {"temperature": 3},
        {"text": {"format": {"type": "xml"}}},
        {"tools": TOOLS, "tool_choice": {"type": "function", "name": "other"}},
        {"tools": TOOLS, "tool_choice": {"type": "file_search"}},
        {"metadata": {"a": "b" * 600}},
        {"model": ""},
    ],
)
async def test_what_cannot_be_is_refused(tmp_path: Path, wrong: Any) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    answer = await ask(gateway, **wrong)

    assert answer.status == 400
    assert answer.json()["error"]["code"] == "invalid"
    assert gateway.speaker.asked == []
    await gateway.close()


@pytest.mark.asyncio
async def test_what_only_labels_a_request_is_taken(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")
    labels = {
        "store": True,
        "background": False,
        "previous_response_id": None,
        "user": "me",
        "service_tier": "auto",
        "reasoning": {"effort": "low"},
        "parallel_tool_calls": True,
        "truncation": "disabled",
        "max_tool_calls": 3,
        "stream_options": {"include_obfuscation": False},
    }

    assert (await ask(gateway, **labels)).status == 200
    await gateway.close()


@pytest.mark.asyncio
async def test_a_model_that_fails_in_the_middle_ends_the_stream_as_failed(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", " there")
    gateway.speaker.fails_after, gateway.speaker.error = 1, ModelFailed("it broke")

    last = events(await ask(gateway, stream=True))[-1]
    whole = await ask(gateway)

    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"] == {"code": "model_failed", "message": "it broke"}
    assert (whole.status, whole.json()["error"]["code"]) == (502, "model_failed")
    await gateway.close()
    assert [event.status for event in gateway.events()] == [502, 502]


class Elsewhere(ScriptedSpeaker):
    """Has somebody else answer, who calls two functions after a word."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = [
            Piece("Well"),
            Piece("", calls=(CallPiece(0, "call_a", "weather", '{"x"'),)),
            Piece("", 0, calls=(CallPiece(0, arguments=":1}"),)),
            Piece("", calls=(CallPiece(1, "call_b", "weather", "{}"),)),
        ]
        self.reason = Reason.TOOL_CALLS
        self.relayed: list[Relayed] = []

    def relay(self, asked: Relayed, seconds: float, listeners: Sequence[RelayListener]) -> Voice:
        self.relayed.append(asked)
        [listener] = listeners
        listener.answered_by("them")
        return Voice(self, listener)


@pytest.mark.asyncio
async def test_models_elsewhere_are_asked_for_the_chat_that_means_the_same(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path)
    elsewhere = Elsewhere()
    gateway.talk("chat", elsewhere)
    schema = {"type": "json_schema", "name": "s", "schema": {"type": "integer"}, "strict": True}
    more: Any = {
        "instructions": "Be brief.",
        "tools": TOOLS,
        "tool_choice": {"type": "function", "name": "weather"},
        "text": {"format": schema},
        "max_output_tokens": 9,
        "store": True,
    }

    whole = await ask(gateway, **more)
    told = events(await ask(gateway, **more, stream=True))

    output = whole.json()["output"]
    assert whole.headers["x-modelyard-upstream"] == "them"
    assert [item["type"] for item in output] == ["message", "function_call", "function_call"]
    assert [(item["call_id"], item["arguments"]) for item in output[1:]] == [
        ("call_a", '{"x":1}'),
        ("call_b", "{}"),
    ]
    ended = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    assert [{**item, "id": ""} for item in ended] == [{**item, "id": ""} for item in output]
    assert [event["output_index"] for event in told if "output_index" in event] == sorted(
        event["output_index"] for event in told if "output_index" in event
    )
    fields = {name: json.loads(bytes(raw)) for name, raw in elsewhere.relayed[0].fields.items()}
    function = {key: value for key, value in TOOLS[0].items() if key != "type"}
    assert fields == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "max_completion_tokens": 9,
        "tools": [{"function": function, "type": "function"}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"schema": {"type": "integer"}, "name": "s", "strict": True},
        },
    }
    await gateway.close()
    assert [event.finish for event in gateway.events()] == ["tool_calls", "tool_calls"]
