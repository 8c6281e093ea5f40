"""Completions over ASGI, above a model that says what it is told to."""

from pathlib import Path
from typing import Any

import pytest

from modelyard.serving.language.generation import Piece, TokenLogprob
from tests.chats import ask, events
from tests.speaking import TalkingGateway


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
