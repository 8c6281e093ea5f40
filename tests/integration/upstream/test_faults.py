"""Providers that are slow, hang, break off, babble, lie or say no: what becomes of a request."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from modelyard.core.http_timeouts import HttpTimeouts
from tests.dataplane import wait_until
from tests.integration.upstream.asking import CHAT, HELLO, SHORT, AskingGateway
from tests.upstreams import (
    KEY,
    Upstream,
    answers,
    babbles,
    begin,
    delta,
    event,
    hangs,
    part,
    resets,
    says,
    sends,
    stalls,
)

pytestmark = pytest.mark.asyncio
SSE = b"data: "


def error_of(answer: Any) -> tuple[int, str]:
    told = answer.json()["error"]
    for hidden in (KEY, "127.0.0.1", "/v1", "canary"):
        assert hidden not in answer.body.decode()
    return answer.status, told["code"]


async def test_a_provider_that_hangs_is_given_up(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = hangs
    gateway.link("m", providers=(gateway.provider(timeouts=SHORT),))
    answer = await gateway.ask()
    assert error_of(answer) == (503, "unavailable")
    assert "did not answer in time" in answer.json()["error"]["message"]
    assert gateway.counted()["m timeout"] == 3
    await gateway.close()
    [recorded] = gateway.events()
    assert (recorded.status, recorded.completion_tokens) == (503, 0)


async def test_the_requests_own_time_ends_it(gateway: AskingGateway, upstream: Upstream) -> None:
    upstream.reactions["m"] = hangs
    gateway.options = type(gateway.options)(timeout_ms=200)
    gateway.link("m")
    assert error_of(await gateway.ask()) == (504, "deadline_exceeded")


async def test_a_stream_that_stalls_ends_with_an_error(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = stalls
    gateway.link("m", providers=(gateway.provider(timeouts=HttpTimeouts(10, 20, 1)),))
    answer = await gateway.ask(stream=True)
    *_, last = answer.body.decode().strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "unavailable"
    wait_until(upstream.gone.is_set)
    assert gateway.counted() == {"m answered": 1, "m timeout": 1}


async def test_what_breaks_off_in_the_middle_is_not_tried_again(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = resets
    gateway.link("m")
    answer = await gateway.ask(stream=True)
    body = answer.body.decode()
    assert "half " in body
    assert '"error"' in body
    assert "[DONE]" not in body
    assert len(upstream.received) == 1
    assert error_of(await gateway.ask())[0] == 503
    await gateway.close()
    told = [(each.status, each.prompt_tokens, each.completion_tokens) for each in gateway.events()]
    # The client of the stream has got a piece, and its prompt was read for it. Who did not want a
    # stream has got nothing.
    assert told == [(503, 10, 1), (503, 0, 0)]
    assert gateway.events()[0].finish == "unavailable+estimated"


async def test_what_a_provider_had_counted_when_it_died_is_believed(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    async def counts_and_dies(_: Upstream, __: Any, writer: asyncio.StreamWriter) -> None:
        await begin(writer)
        usage = {"prompt_tokens": 7, "completion_tokens": 2}
        both = [delta(at, content="a")["choices"][0] for at in (0, 1)]
        for told in [{"choices": both, "usage": usage}] * 2:
            await part(writer, event(told))
        await asyncio.sleep(0.05)
        writer.transport.abort()

    upstream.reactions["m"] = counts_and_dies
    gateway.link("m")
    await gateway.ask(stream=True, n=2)
    await gateway.close()
    [recorded] = gateway.events()
    # Of the answers no fewer than have come.
    assert (recorded.prompt_tokens, recorded.completion_tokens) == (7, 4)
    assert (recorded.status, recorded.finish) == (503, "unavailable")


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: {\n\n"],
        [b"data: []\n\n"],
        [b"data: \xff\xfe\n\n"],
        [b'data: {"choices": [{"index": 0, "delta": {"content": 5}}]}\n\n'],
        [b'data: {"choices": [{"index": 7, "delta": {"content": "x"}}]}\n\n'],
        [b'data: {"choices": [{"index": -1, "delta": {"content": "x"}}]}\n\n'],
        [b'data: {"choices": [{"delta": {"tool_calls": [{"index": 99999}]}}]}\n\n'],
        [b"data: " + b"[" * 100_000 + b"\n\n"],
        [b"x" * (600 << 10)] * 2,
        [b"data: " + b"y" * 1000 + b"\n"] * 1100,
    ],
    ids=["cut", "list", "bytes", "type", "choice", "minus", "calls", "deep", "line", "event"],
)
async def test_what_is_no_answer_is_refused(
    gateway: AskingGateway, upstream: Upstream, chunks: list[bytes]
) -> None:
    upstream.reactions["m"] = sends(*chunks)
    gateway.link("m")
    assert error_of(await gateway.ask()) == (502, "model_failed")
    assert gateway.counted() == {"m malformed": 1}


@pytest.mark.parametrize(
    "chunks",
    [[], [b"data: [DONE]\n\n"], [event(delta(content="half"))], [event({"error": {"m": KEY}})]],
    ids=["empty", "done", "unfinished", "error"],
)
async def test_an_answer_that_is_not_whole_is_none(
    gateway: AskingGateway, upstream: Upstream, chunks: list[bytes]
) -> None:
    upstream.reactions["m"] = sends(*chunks)
    gateway.link("m")
    assert error_of(await gateway.ask()) == (503, "unavailable")


async def test_json_in_the_place_of_a_stream_is_refused(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = answers(200, {"choices": []})
    gateway.link("m")
    assert error_of(await gateway.ask()) == (502, "model_failed")


async def test_an_answer_without_an_end_is_cut_off(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = babbles
    gateway.most_bytes = 100_000
    gateway.link("m")
    assert error_of(await gateway.ask()) == (502, "model_failed")
    wait_until(upstream.gone.is_set)


async def test_an_embedding_without_an_end_is_cut_off(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    async def react(_: Upstream, __: Any, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % (10 << 30))
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    upstream.reactions["e"] = react
    gateway.most_bytes = 1 << 20
    gateway.link("e", capabilities=["embeddings"])
    answer = await gateway.ask("/v1/embeddings", input="a")
    assert error_of(answer) == (502, "model_failed")
    wait_until(upstream.gone.is_set)


async def test_what_it_says_of_a_bad_request_is_told_by_its_code_alone(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    said = {"message": f"key {KEY} of org-1 at http://127.0.0.1", "code": "bad_value", "param": "n"}
    upstream.reactions["m"] = answers(400, {"error": said})
    gateway.link("m")
    answer = await gateway.ask()
    assert error_of(answer) == (400, "invalid")
    message = "provider 'up' does not take this request (code 'bad_value', field 'n')"
    assert answer.json()["error"]["message"] == message
    assert len(upstream.received) == 1
    assert gateway.counted() == {"m invalid": 1}

    upstream.reactions["m"] = answers(400, {"error": {"code": "context_length_exceeded"}})
    assert error_of(await gateway.ask()) == (400, "context_length_exceeded")
    for code, body in ((422, b"<html>"), (413, {"error": KEY}), (400, {"error": {"code": KEY}})):
        upstream.reactions["m"] = answers(code, body)
        assert error_of(await gateway.ask()) == (400, "invalid")


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 405])
async def test_its_owners_mistakes_are_not_tried_again(
    gateway: AskingGateway, upstream: Upstream, status: int
) -> None:
    location = f"location: http://169.254.169.254/{KEY}\r\n"
    upstream.reactions["m"] = answers(status, {"error": {"message": KEY}}, location)
    gateway.link("m")
    assert error_of(await gateway.ask()) == (502, "model_failed")
    assert len(upstream.received) == 1


async def test_a_server_error_is_tried_again(gateway: AskingGateway, upstream: Upstream) -> None:
    upstream.reactions["m"] = answers(500, b"oops", times=2)
    gateway.link("m")
    answer = await gateway.ask()
    assert answer.json()["choices"][0]["message"]["content"] == "well again"
    assert gateway.counted() == {"m answered": 1, "m status": 2}


async def test_it_comes_back_when_it_was_told_to(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = answers(429, {}, "retry-after: 1\r\n", times=1)
    gateway.link("m")
    began = asyncio.get_running_loop().time()
    answer = await gateway.ask()
    assert answer.status == 200
    assert asyncio.get_running_loop().time() - began >= 1.0


async def test_it_does_not_wait_beyond_the_requests_time(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = answers(429, {}, "retry-after: 100\r\n")
    gateway.link("m")
    began = asyncio.get_running_loop().time()
    first, second = await gateway.ask(), await gateway.ask()
    assert error_of(first) == error_of(second) == (503, "unavailable")
    assert first.headers["retry-after"] == "100"
    assert 90 <= int(second.headers["retry-after"]) <= 100
    assert asyncio.get_running_loop().time() - began < 10
    assert len(upstream.received) == 1


async def test_the_next_is_asked_when_one_does_not_answer(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions |= {"a": answers(500, b""), "b": answers(401, b""), "c": says("Hi")}
    gateway.link(
        {"provider": "up", "model": "c", "order": 2},
        {"provider": "up", "model": "b", "order": 1},
        {"provider": "gone", "model": "x"},
        {"provider": "up", "model": "a"},
    )
    answer = await gateway.ask()
    assert answer.headers["x-modelyard-upstream"] == "up/c"
    assert [each.body["model"] for each in upstream.received] == ["a", "b", "c"]


async def test_weights_share_the_requests(gateway: AskingGateway, upstream: Upstream) -> None:
    upstream.reactions |= {"a": says("A"), "b": says("B")}
    gateway.link(
        {"provider": "up", "model": "a", "weight": 9}, {"provider": "up", "model": "b"}
    ).__dict__["_pool"]._random.seed(1)
    for _ in range(40):
        await gateway.ask()
    counted = gateway.counted()
    assert counted["a answered"] + counted["b answered"] == 40
    assert 1 <= counted["b answered"] <= 12


async def test_one_that_fails_again_and_again_rests(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions |= {"a": answers(500, b""), "b": says("B")}
    gateway.link({"provider": "up", "model": "a"}, {"provider": "up", "model": "b", "order": 1})
    for _ in range(8):
        assert (await gateway.ask()).status == 200
    assert gateway.counted() == {"a status": 5, "b answered": 8}


async def test_retries_have_a_budget(gateway: AskingGateway, upstream: Upstream) -> None:
    upstream.reactions["m"] = answers(429, {}, "retry-after: 0\r\n")
    gateway.link("m")
    for _ in range(10):
        assert error_of(await gateway.ask()) == (503, "unavailable")
    # Three to begin with, and a fifth for each request.
    assert len(upstream.received) == 10 + 5


async def test_a_client_that_leaves_stops_it_and_pays_for_what_came(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    upstream.reactions["m"] = stalls
    gateway.link("m")
    body = json.dumps({**HELLO, "stream": True}).encode()
    gone, seen = asyncio.Event(), b""
    messages = [{"type": "http.request", "body": body}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal seen
        seen += message.get("body", b"")
        if b"two" in seen:
            gone.set()

    headers = [(b"authorization", b"Bearer k")]
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": headers}
    await gateway.front(scope, receive, send)

    await asyncio.to_thread(wait_until, upstream.gone.is_set)
    await asyncio.sleep(0)
    await gateway.close()
    [recorded] = gateway.events()
    assert (recorded.status, recorded.finish) == (499, "client_gone+estimated")
    assert (recorded.completion_tokens, recorded.prompt_tokens > 0) == (2, True)


async def test_a_provider_that_is_gone_answers_nobody(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    other = gateway.provider("other")
    model = gateway.link("m", providers=(other,))
    assert model.failure == "there is no provider 'up'"
    assert error_of(await gateway.ask()) == (503, "unavailable")


async def test_a_connection_serves_one_request_after_the_other(
    gateway: AskingGateway, upstream: Upstream
) -> None:
    ports = set()

    async def react(up: Upstream, received: Any, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername")[1])
        await begin(writer)
        await part(writer, event(delta(content="Hi", reason="stop")))
        await part(writer, b"")

    upstream.reactions["m"] = react
    gateway.link("m")
    for _ in range(3):
        assert (await gateway.ask()).status == 200
    assert len(ports) == 1
