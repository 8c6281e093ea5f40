"""How answers end when the model, the engine, the time or the client gives out."""

import asyncio
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from modelyard.core.errors import (
    ModelFailed,
    ReplicaDied,
)
from modelyard.serving.language.generation import Piece, Reason
from tests.chats import CHAT, HELLO, ask
from tests.dataplane import call
from tests.speaking import TalkingGateway


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
