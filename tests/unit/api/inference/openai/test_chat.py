"""Chat and completions over ASGI, above a model that says what it is told to."""

import asyncio
import json
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from modelyard.core.errors import (
    ModelFailed,
    ReplicaDied,
    Unavailable,
)
from modelyard.serving.exposition import render
from modelyard.serving.language.generation import Candidate, Piece, Reason, Role, TokenLogprob
from tests.dataplane import Answer, call
from tests.speaking import TalkingGateway

CHAT = "/v1/chat/completions"
HELLO = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}


async def ask(gateway: TalkingGateway, path: str = CHAT, **more: Any) -> Answer:
    return await call(gateway.front, "POST", path, {**HELLO, **more}, key="k")


def events(answer: Answer) -> list[Any]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = answer.body.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


@pytest.mark.asyncio
async def test_a_whole_answer(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", " there", cached=3)

    answer = await ask(gateway, temperature=0.5, seed=-1, stop="x", max_completion_tokens=9)

    told = answer.json()
    assert answer.status == 200
    assert told["id"] == f"chatcmpl-{answer.headers['x-request-id']}"
    assert (told["object"], told["model"]) == ("chat.completion", "chat")
    assert told["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi there",
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert told["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    sampling = gateway.speaker.asked[0].sampling
    assert (sampling.temperature, sampling.max_tokens, sampling.stop) == (0.5, 9, ("x",))
    assert sampling.seed == 2**32 - 1
    await gateway.close()
    [event] = gateway.events()
    assert (event.prompt_tokens, event.cached_tokens, event.completion_tokens) == (7, 3, 2)
    assert (event.status, event.finish, event.rows) == (200, "stop", 1)
    assert (event.request_id, event.bytes_out) == (answer.headers["x-request-id"], len(answer.body))


@pytest.mark.asyncio
async def test_a_stream(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", " there", reason=Reason.LENGTH)

    answer = await ask(gateway, stream=True, stream_options={"include_usage": True})

    *chunks, usage = events(answer)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "Hi"},
        {"content": " there"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "length"]
    assert {chunk["usage"] for chunk in chunks} == {None}
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 9)
    await gateway.close()
    assert gateway.events()[0].completion_tokens == 2
    told = render(tmp_path / "metrics", None)
    assert re.search(r"time_to_first_token_seconds_count\{.*\} 1\n", told)
    assert re.search(r"inter_token_latency_seconds_count\{.*\} 1\n", told)
    assert re.search(r'tokens_total\{.*kind="output"\} 2\n', told)


@pytest.mark.asyncio
async def test_a_stream_without_a_word_still_has_its_frame(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path)

    chunks = events(await ask(gateway, stream=True))

    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[1]["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in chunks[0]
    await gateway.close()


@pytest.mark.asyncio
async def test_several_choices_share_their_prompt(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    told = (await ask(gateway, n=3, seed=5)).json()

    assert [choice["index"] for choice in told["choices"]] == [0, 1, 2]
    assert (told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"]) == (7, 3)
    assert [asked.sampling.seed for asked in gateway.speaker.asked] == [5, 6, 7]
    await gateway.close()


@pytest.mark.asyncio
async def test_log_probabilities(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path)
    gateway.speaker.pieces = [
        Piece("é", 1, (TokenLogprob("é", -0.5, (Candidate("é", -0.5), Candidate("e", -1.5))),))
    ]

    told = (await ask(gateway, logprobs=True, top_logprobs=2)).json()
    streamed = events(await ask(gateway, logprobs=True, stream=True))

    [token] = told["choices"][0]["logprobs"]["content"]
    assert (token["token"], token["logprob"], token["bytes"]) == ("é", -0.5, [195, 169])
    assert [one["token"] for one in token["top_logprobs"]] == ["é", "e"]
    assert streamed[0]["choices"][0]["logprobs"]["content"] == [token]
    await gateway.close()


@pytest.mark.asyncio
async def test_messages_reach_the_model_as_turns(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "c", "content": "4"},
    ]  # fmt: skip

    await ask(gateway, messages=messages)

    turns = [(turn.role, turn.content) for turn in gateway.speaker.asked[0].messages]
    assert turns == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "ab"),
        (Role.ASSISTANT, '{"name":"f","arguments":{}}'),
        (Role.USER, "The function returned: 4"),
    ]
    await gateway.close()


TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


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
async def test_an_answer_keeps_to_its_schema(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "{}")
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "integer"}}}

    await ask(gateway, response_format=schema)
    await ask(gateway, response_format={"type": "json_object"})
    await ask(gateway, response_format={"type": "text"})

    schemas = [asked.schema for asked in gateway.speaker.asked]
    assert schemas == ['{"type":"integer"}', '{"type":"object"}', ""]
    await gateway.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"messages": "Hello"},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "text": ""}]}]},
        {"temperature": 2.5},
        {"temperature": "hot"},
        {"top_p": 0},
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"n": 0},
        {"n": 100},
        {"stop": [""]},
        {"stop": ["x"] * 17},
        {"presence_penalty": 9},
        {"top_logprobs": 21},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}},
        {"tools": TOOLS, "tool_choice": {"function": {"name": "other"}}},
        {"tools": TOOLS, "tool_choice": "always"},
        {"tools": [{"function": {"name": "no spaces"}}]},
        {"model": ""},
        {"model": None},
    ],
)
async def test_what_cannot_be_is_refused_and_costs_nothing(tmp_path: Path, wrong: Any) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    answer = await ask(gateway, **wrong)

    assert answer.status == 400
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid")
    assert gateway.speaker.asked == []
    await gateway.close()
    assert gateway.events() == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logit_bias", {"5": 100}),
        ("functions", [{"name": "f"}]),
        ("function_call", "auto"),
        ("audio", {"voice": "alloy"}),
        ("web_search_options", {"search_context_size": "low"}),
        ("tools", [{"type": "custom", "function": {"name": "f"}}]),
    ],
)
async def test_what_would_mean_something_else_is_refused_by_its_name(
    tmp_path: Path, field: str, value: Any
) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    answer = await ask(gateway, **{field: value})

    assert answer.status == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", field)
    assert field in error["message"]
    assert gateway.speaker.asked == []
    await gateway.close()


@pytest.mark.asyncio
async def test_what_only_labels_a_request_is_taken(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")
    labels: dict[str, Any] = {
        "user": "me",
        "metadata": {"a": "b"},
        "store": True,
        "service_tier": "flex",
        "parallel_tool_calls": False,
        "prediction": {"type": "content", "content": "Hi"},
        "reasoning_effort": "low",
        "verbosity": "low",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "modalities": ["text"],
        "functions": None,
        "logit_bias": {},
    }

    assert (await ask(gateway, **labels)).status == 200
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


DANGEROUS = (
    "adapter",
    "api_base",
    "api_key",
    "base_url",
    "chat_template",
    "chat_template_kwargs",
    "deployment_id",
    "documents",
    "engine",
    "extra_body",
    "extra_headers",
    "grammar",
    "guided_grammar",
    "guided_regex",
    "key",
    "logits_processors",
    "lora",
    "mock_response",
    "model_path",
    "prompt",
    "proxy",
    "schema",
    "tenant",
    "tokenizer",
)
"""What other servers do with these ranges from a look at another's data to another's machine."""


@pytest.mark.asyncio
async def test_dangerous_fields_are_not_used(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    await ask(gateway)
    for value in ("http://127.0.0.1:1", "{{ x }}", [1], {"a": "b"}):
        given: dict[str, Any] = dict.fromkeys(DANGEROUS, value)
        await ask(gateway, **given)

    assert gateway.speaker.asked[1:] == gateway.speaker.asked[:1] * 4
    await gateway.close()


@pytest.mark.asyncio
async def test_refusals_have_the_form_of_openai(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    unknown = await ask(gateway, model="nobody")
    stranger = await call(gateway.front, "POST", CHAT, HELLO, key="wrong")
    got = await call(gateway.front, "GET", CHAT, key="k")
    nonsense = await call(gateway.front, "POST", CHAT, b"{", key="k")
    gateway.speaker.refusal = Unavailable("busy", retry_after=3)
    busy = await ask(gateway)

    assert (unknown.status, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert (stranger.status, stranger.json()["error"]["code"]) == (401, "invalid_api_key")
    assert (got.status, got.headers["allow"]) == (405, "POST")
    assert nonsense.status == 400
    assert (busy.status, busy.headers["retry-after"]) == (503, "3")
    assert busy.json()["error"]["type"] == "server_error"
    for refused in (unknown, stranger, got, nonsense, busy):
        assert refused.headers["x-request-id"].startswith("req_")
    await gateway.close()


@pytest.mark.asyncio
async def test_a_model_that_fails_in_the_middle_ends_the_stream_with_an_error(
    tmp_path: Path,
) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", " there")
    gateway.speaker.fails_after, gateway.speaker.error = 1, ModelFailed("it broke")

    answer = await ask(gateway, stream=True)
    whole = await ask(gateway)

    lines = answer.body.decode().split("\n\n")
    assert json.loads(lines[1].removeprefix("data: "))["error"]["message"] == "it broke"
    assert "[DONE]" not in lines[-2]
    assert (whole.status, whole.json()["error"]["code"]) == (502, "model_failed")
    await gateway.close()
    metered = [(e.status, e.finish, e.prompt_tokens, e.completion_tokens) for e in gateway.events()]
    # Of the one that was not streamed nobody has got anything.
    assert metered == [(502, "model_failed", 7, 1), (502, "model_failed", 0, 0)]


@pytest.mark.asyncio
async def test_an_engine_that_is_gone_leaves_what_was_counted_before(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path)
    gateway.speaker.pieces = [Piece("Hi", prompt=7, cached=2), Piece(" there", 2), Piece("!")]
    gateway.speaker.fails_after, gateway.speaker.error = 2, ReplicaDied("it ended")

    await ask(gateway, stream=True)

    await gateway.close()
    [event] = gateway.events()
    assert (event.status, event.finish) == (503, "engine_gone")
    assert (event.prompt_tokens, event.cached_tokens, event.completion_tokens) == (7, 2, 3)


@pytest.mark.asyncio
async def test_an_engine_whose_clock_is_ahead_ends_a_stream_as_late(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", reason=Reason.CANCELLED)

    answer = await ask(gateway, stream=True)

    assert b"deadline_exceeded" in answer.body
    await gateway.close()
    [event] = gateway.events()
    assert (event.status, event.finish, event.completion_tokens) == (504, "deadline", 1)


@pytest.mark.asyncio
async def test_a_time_limit_ends_a_stream(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", " there")
    gateway.speaker.stalls_after = 1
    headers = {"x-request-timeout-ms": "50"}

    answer = await call(gateway.front, "POST", CHAT, {**HELLO, "stream": True}, headers, key="k")

    assert b"deadline_exceeded" in answer.body
    assert gateway.speaker.voices[0].cancelled
    await gateway.close()
    [event] = gateway.events()
    assert (event.status, event.finish) == (504, "deadline")
    assert (event.prompt_tokens, event.completion_tokens) == (7, 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_the_model_and_is_metered(
    tmp_path: Path, stream: bool
) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", " there", " you")
    gateway.speaker.stalls_after = 2
    body = json.dumps({**HELLO, "stream": stream}).encode()
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        if messages:
            return messages.pop()
        await gateway.speaker.stalled.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "headers": [(b"authorization", b"Bearer k")],
    }
    await asyncio.wait_for(gateway.front(scope, receive, send), 5)

    assert gateway.speaker.voices[0].cancelled
    await gateway.close()
    [event] = gateway.events()
    assert (event.status, event.finish, event.completion_tokens) == (499, "client_gone", 2)
    assert bool(event.bytes_out) is stream


@pytest.mark.asyncio
async def test_completions(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path, "Hi", " there")
    prompt = {"messages": None, "prompt": ["a", "b"]}

    told = (await ask(gateway, "/v1/completions", n=2, **prompt)).json()
    chunks = events(await ask(gateway, "/v1/completions", stream=True, messages=None, prompt="a"))

    assert (told["object"], told["id"][:5]) == ("text_completion", "cmpl-")
    assert [choice["text"] for choice in told["choices"]] == ["Hi there"] * 4
    assert (told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"]) == (14, 8)
    assert [asked.prompt for asked in gateway.speaker.asked[:4]] == ["a", "a", "b", "b"]
    assert gateway.speaker.asked[0].sampling.max_tokens == 16
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["Hi", " there", ""]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    await gateway.close()


@pytest.mark.asyncio
async def test_log_probabilities_of_completions(tmp_path: Path) -> None:
    gateway = TalkingGateway(tmp_path)
    gateway.speaker.pieces = [
        Piece(token, 1, (TokenLogprob(token, -0.5),)) for token in ("ab", "c")
    ]

    told = (await ask(gateway, "/v1/completions", messages=None, prompt="a", logprobs=1)).json()

    assert told["choices"][0]["logprobs"] == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"ab": -0.5}, {"c": -0.5}],
        "text_offset": [0, 2],
    }
    await gateway.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("wrong", [{"prompt": ""}, {"prompt": []}, {"prompt": [1]}, {"echo": True}])
async def test_completions_that_cannot_be(tmp_path: Path, wrong: Any) -> None:
    gateway = TalkingGateway(tmp_path, "Hi")

    assert (await ask(gateway, "/v1/completions", **{"prompt": "a", **wrong})).status == 400
    await gateway.close()
