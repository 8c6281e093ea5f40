from __future__ import annotations

import socket
import time

import pytest

from modelyard_client import (
    ApiError,
    BadArgument,
    Client,
    TimedOut,
    UnexpectedAnswer,
    Unreachable,
)
from modelyard_client.transport import ATTEMPTS, route
from tests.unit.sdk.scripted_server import Answer, Asked, ScriptedServer

KEY = {"id": "key_1", "name": "n", "scope": "infer", "key": "my_secret"}
BUSY = {"status": 503, "title": "Service Unavailable", "detail": "not now", "code": "unavailable"}


def test_every_request_carries_the_key_and_every_post_a_key_of_its_own(
    server: ScriptedServer, client: Client
) -> None:
    server.answers = [Answer(201, KEY)]
    client.keys.create("a", settle=0)
    client.keys.create("b", settle=0)
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer my_key"}
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 2


def test_a_broken_connection_is_tried_again_with_the_same_idempotency_key(
    server: ScriptedServer, client: Client
) -> None:
    server.answers = [Answer(hang_up=True), Answer(hang_up=True), Answer(201, KEY)]
    assert client.keys.create("n", settle=0).key == "my_secret"
    keys = {asked.headers["idempotency-key"] for asked in server.asked}
    assert (len(server.asked), len(keys)) == (3, 1)


def test_retries_end(server: ScriptedServer, client: Client) -> None:
    server.answers = [Answer(hang_up=True)]
    with pytest.raises(Unreachable, match="broke"):
        client.keys.list()
    assert len(server.asked) == ATTEMPTS


def test_retry_after_is_kept(server: ScriptedServer, client: Client) -> None:
    server.answers = [Answer(503, BUSY, {"retry-after": "1"}), Answer(200, {"items": []})]
    began = time.monotonic()
    assert client.keys.list() == []
    assert time.monotonic() - began >= 1.0


def test_a_long_retry_after_is_left_to_the_caller(server: ScriptedServer, client: Client) -> None:
    server.answers = [Answer(503, BUSY, {"retry-after": "3600"})]
    with pytest.raises(ApiError) as caught:
        client.keys.list()
    assert (caught.value.status, caught.value.retry_after) == (503, 3600.0)
    assert len(server.asked) == 1


def test_a_prediction_that_may_have_been_made_is_not_asked_for_twice(
    server: ScriptedServer, client: Client
) -> None:
    server.answers = [Answer(hang_up=True), Answer(200, {"predictions": [1]})]
    with pytest.raises(Unreachable):
        client.predict("m", [{"a": 1}])
    assert len(server.asked) == 1


def test_a_prediction_that_was_refused_for_load_is_asked_for_again(
    server: ScriptedServer, client: Client
) -> None:
    server.answers = [Answer(503, {"error": "busy"}), Answer(200, {"predictions": [1]})]
    assert client.predict("m", [{"a": 1}]) == [1]


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        ({"detail": "no such key", "code": "not_found", "title": "x"}, "not_found", "no such key"),
        ({"error": "input 'a' is missing"}, "", "input 'a' is missing"),
        (b"<html>", "", "the server answered HTTP 404"),
        (b"", "", "the server answered HTTP 404"),
        ([1], "", "the server answered HTTP 404"),
    ],
)
def test_errors_of_both_protocols_are_read(
    server: ScriptedServer, client: Client, body: object, code: str, detail: str
) -> None:
    server.answers = [Answer(404, body)]
    with pytest.raises(ApiError) as caught:
        client.keys.list()
    assert (caught.value.status, caught.value.code, caught.value.detail) == (404, code, detail)


@pytest.mark.parametrize("body", [b"", b"<html>", {"items": [{"id": 5}]}, []])
def test_an_answer_of_another_form_is_told(
    server: ScriptedServer, client: Client, body: object
) -> None:
    server.answers = [Answer(200, body)]
    with pytest.raises(UnexpectedAnswer, match="/api/v1/keys"):
        client.keys.list()


def test_unknown_fields_of_a_newer_server_are_passed_over(
    server: ScriptedServer, client: Client
) -> None:
    server.answers = [Answer(201, {**KEY, "colour": "blue"})]
    assert client.keys.create("n", settle=0).id == "key_1"


def test_lists_follow_their_cursor(server: ScriptedServer, client: Client) -> None:
    def page(asked: Asked) -> Answer:
        first = "cursor" not in asked.path
        made = {"id": "1" if first else "2", "name": "n", "created_at": "2026-11-22T00:00:00Z"}
        return Answer(200, {"items": [made], "next_cursor": "abc=" if first else None})

    server.script = page
    assert [model.id for model in client.models.list()] == ["1", "2"]
    assert "cursor=abc%3D" in server.asked[1].path
    assert len(client.models.list(limit=1)) == 1
    with pytest.raises(BadArgument, match="limit is 0"):
        client.models.list(limit=0)


def test_nobody_there() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with Client(url, "my_key") as client, pytest.raises(Unreachable) as caught:
        client.keys.list()
    assert url in caught.value.message
    assert "modelyard up" in caught.value.hint


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "nonsense", "http://[::1"])
def test_a_bad_address_is_told(url: str) -> None:
    with Client(url, "my_key") as client, pytest.raises(Unreachable, match="not an address"):
        client.keys.list()


def test_a_silent_server_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, "my_key", timeout=0.2) as client, pytest.raises(TimedOut):
            client.keys.list()


def test_names_stay_one_segment_of_the_path() -> None:
    assert route("models", "a/../b", "versions", 3) == "/api/v1/models/a%2F..%2Fb/versions/3"
