"""Chat over ASGI, above a model that says what it is told to."""

import re
from pathlib import Path

import pytest

from modelyard.serving.exposition import render
from modelyard.serving.language.generation import Candidate, Piece, Reason, Role, TokenLogprob
from tests.chats import ask, events
from tests.speaking import TalkingGateway


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
