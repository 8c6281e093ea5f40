"""What a provider says comes through our layer, whole and in pieces, and is metered."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from tests.dataplane import Answer, call
from tests.integration.upstream.asking import HELLO, AskingGateway
from tests.upstreams import KEY, Upstream, answers, delta, event, says, sends

pytestmark = pytest.mark.asyncio
DONE = b"data: [DONE]\n\n"
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def events(answer: Answer) -> list[Any]:
    lines = answer.body.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


async def test_a_whole_answer_is_metered_as_the_provider_counts(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = says("Hel", "lo")
    gateway.link("m")

    answer = await gateway.ask(temperature=0.5, user="me", store=True, api_base="http://x")

    told = answer.json()
    assert answer.status == 200
    assert (told["model"], told["choices"][0]["message"]["content"]) == ("gpt", "Hello")
    assert told["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}
    assert (told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"]) == (11, 5)
    assert answer.headers["x-modelyard-upstream"] == "up/m"
    [received] = upstream.received
    assert received.path == "/v1/chat/completions"
    assert received.headers["authorization"] == f"Bearer {KEY}"
    # Nothing but known fields, in the provider's own name of the model.
    assert received.body == {
        "model": "m",
        "messages": HELLO["messages"],
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    await gateway.close()
    [recorded] = gateway.events()
    assert (recorded.prompt_tokens, recorded.cached_tokens, recorded.completion_tokens) == (
        11,
        3,
        5,
    )
    assert (recorded.status, recorded.finish) == (200, "stop")


async def test_a_stream_comes_in_our_form(gateway: AskingGateway, upstream: Upstream) -> None:
    upstream.reactions["m"] = says("Hel", "lo", reason="length")
    gateway.link("m")

    answer = await gateway.ask(stream=True, stream_options={"include_usage": True})

    *chunks, usage = events(answer)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert {chunk["model"] for chunk in chunks} == {"gpt"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert usage["usage"]["total_tokens"] == 16
    assert answer.headers["x-modelyard-upstream"] == "up/m"


def call_delta(index: int, **function: str) -> bytes:
    call: dict[str, Any] = {"index": index, "function": function}
    if "name" in function:
        call |= {"id": f"call_{index}", "type": "function"}
    return event(delta(tool_calls=[call]))


CALLS = (
    call_delta(0, name="get_weather", arguments=""),
    call_delta(0, arguments='{"city":'),
    call_delta(0, arguments='"Paris"}'),
    call_delta(1, name="get_time", arguments="{}"),
    event(delta(reason="tool_calls")),
    DONE,
)


async def test_tools_travel_as_they_are_and_calls_come_back(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = sends(*CALLS)
    gateway.link("m")
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    messages = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]},
        {"role": "tool", "tool_call_id": "call_0", "content": "rain"},
    ]
    asked: dict[str, Any] = {"messages": messages, "tools": [TOOL], "response_format": schema}

    told = (await gateway.ask(**asked, tool_choice="required", parallel_tool_calls=False)).json()
    streamed = events(await gateway.ask(**asked, stream=True))

    choice = told["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert choice["message"]["tool_calls"] == [
        {
            "id": "call_0",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
        },
        {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
    ]
    parts = [chunk["choices"][0]["delta"].get("tool_calls") for chunk in streamed]
    assert parts[:2] == [
        [
            {
                "index": 0,
                "id": "call_0",
                "type": "function",
                "function": {"name": "get_weather", "arguments": ""},
            }
        ],
        [{"index": 0, "function": {"arguments": '{"city":'}}],
    ]
    body = upstream.received[0].body
    assert {name: body[name] for name in asked} == asked
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)


async def test_choices_logprobs_and_refusals(gateway: AskingGateway, upstream: Upstream) -> None:
    logprobs = {"content": [{"token": "b", "logprob": -0.5, "top_logprobs": []}]}
    with_logprobs = delta(1, content="b")
    with_logprobs["choices"][0]["logprobs"] = logprobs
    upstream.reactions["m"] = sends(
        event(delta(0, refusal="I will ")),
        event(with_logprobs),
        event(delta(0, refusal="not", reason="content_filter")),
        event(delta(1, reason="stop")),
    )
    gateway.link("m")

    told = (await gateway.ask(n=2, logprobs=True)).json()

    first, second = told["choices"]
    assert (first["message"]["content"], first["message"]["refusal"]) == (None, "I will not")
    assert (first["finish_reason"], second["finish_reason"]) == ("content_filter", "stop")
    assert second["message"]["content"] == "b"
    assert second["logprobs"]["content"][0]["logprob"] == -0.5
    # Nobody has counted: what has come is, and the answer says so.
    assert told["usage"]["completion_tokens"] == 3
    assert told["usage"]["estimated"] is True
    assert told["usage"]["prompt_tokens"] > 0
    await gateway.close()
    assert gateway.events()[0].finish.endswith("+estimated")


async def test_completions(gateway: AskingGateway, upstream: Upstream) -> None:
    logprobs = {"tokens": [" P"], "token_logprobs": [-0.1], "top_logprobs": [{" P": -0.1}]}
    choice = {"index": 1, "text": " P", "finish_reason": None, "logprobs": logprobs}
    ends = [{"index": index, "text": "", "finish_reason": "stop"} for index in (0, 1)]
    upstream.reactions["m"] = sends(
        event({"choices": [choice]}),
        event({"choices": ends, "usage": {"prompt_tokens": 4, "completion_tokens": 1}}),
        DONE,
    )
    gateway.link("m", capabilities=["chat", "completions"])

    body = {"model": "gpt", "prompt": ["a", "b"], "max_tokens": 3, "best_of": 1}
    told = (await call(gateway.front, "POST", "/v1/completions", body, key="k")).json()

    assert [one["text"] for one in told["choices"]] == ["", " P"]
    assert told["choices"][1]["logprobs"]["tokens"] == [" P"]
    assert (told["usage"]["prompt_tokens"], told["usage"].get("estimated")) == (4, None)
    assert upstream.received[0].path == "/v1/completions"
    assert "best_of" not in upstream.received[0].body


async def test_what_it_is_not_there_for_is_refused(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    gateway.link("m")
    gateway.link("e", name="vectors", capabilities=["embeddings"])
    body = {"model": "gpt", "prompt": "a"}
    refused = await call(gateway.front, "POST", "/v1/completions", body, key="k")
    assert (refused.status, "not served for completions" in refused.body.decode()) == (400, True)
    refused = await gateway.ask(model="vectors")
    assert (refused.status, "no language model" in refused.body.decode()) == (400, True)
    body = {"model": "gpt", "input": "a"}
    refused = await call(gateway.front, "POST", "/v1/embeddings", body, key="k")
    assert (refused.status, "does not embed" in refused.body.decode()) == (400, True)
    bounds: list[dict[str, Any]] = [
        {"temperature": 3},
        {"n": 9},
        {"max_tokens": 0},
        {"messages": []},
    ]
    for wrong in bounds:
        assert (await gateway.ask(**wrong)).status == 400
    assert upstream.received == []


@pytest.mark.parametrize("dimensions", [None, 2])
async def test_embeddings(
    gateway: AskingGateway, upstream: Upstream, dimensions: int | None
) -> None:
    data = [{"index": 1, "embedding": [0.0, 1.0]}, {"index": 0, "embedding": [0.5, 0.25]}]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    upstream.reactions["e"] = answers(200, {"data": data, "usage": usage})
    more: dict[str, Any] = {} if dimensions is None else {"dimensions": dimensions}
    gateway.link("e", name="vectors", capabilities=["embeddings"], **more)

    body = {"model": "vectors", "input": ["a", "b"], "encoding_format": "base64", **more}
    answer = await call(gateway.front, "POST", "/v1/embeddings", body, key="k")

    told = answer.json()
    vectors = [
        np.frombuffer(base64.b64decode(one["embedding"]), "<f4").tolist() for one in told["data"]
    ]
    assert vectors == [[0.5, 0.25], [0.0, 1.0]]
    assert told["usage"]["prompt_tokens"] == 7
    sent = upstream.received[0].body
    assert sent == {"model": "e", "input": ["a", "b"], "encoding_format": "float", **more}
    await gateway.close()
    assert gateway.events()[0].prompt_tokens == 7


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0, "embedding": []}],
        [{"index": 5, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0]}],
        [{"index": 0, "embedding": ["x"]}],
        [{"index": 0, "embedding": [1e60]}],
    ],
    ids=["none", "empty", "another", "too many", "words", "infinite"],
)
async def test_embeddings_that_are_none(
    gateway: AskingGateway, upstream: Upstream, data: list[Any]
) -> None:
    upstream.reactions["e"] = answers(200, {"data": data})
    gateway.link("e", name="vectors", capabilities=["embeddings"])
    body = {"model": "vectors", "input": "a"}
    answer = await call(gateway.front, "POST", "/v1/embeddings", body, key="k")
    assert (answer.status, answer.json()["error"]["code"]) == (502, "model_failed")
    assert gateway.counted() == {"e malformed": 1}


async def test_it_can_be_asked_as_any_other_model(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = says("Hel", "lo")
    gateway.link("m")
    body = {"instances": ["Hi", "Ho"]}
    answer = await call(gateway.front, "POST", "/v1/models/gpt:predict", body, key="k")
    assert answer.json() == {"predictions": ["Hello", "Hello"]}
    sent = upstream.received[0].body
    assert (sent["messages"][0]["content"], sent["temperature"]) in (("Hi", 0.0), ("Ho", 0.0))


async def test_named_headers_are_passed_on_and_no_other(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = says("Hi")
    provider = gateway.provider(forward_headers=("openai-beta", "x-absent"))
    gateway.link("m", providers=(provider,))
    headers = {"OpenAI-Beta": "yes", "Cookie": "secret", "X-Other": "1"}
    await call(gateway.front, "POST", "/v1/chat/completions", HELLO, headers, key="k")
    received = upstream.received[0].headers
    assert received["openai-beta"] == "yes"
    assert not {"cookie", "x-other", "x-absent"} & set(received)
    assert received["authorization"] == f"Bearer {KEY}"
