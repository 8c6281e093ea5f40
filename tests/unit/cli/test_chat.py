"""`modelyard chat`, with questions from a pipe."""

import io
import json

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.sdk.scripted_server import Answer, ScriptedServer


def told(*pieces: str) -> Answer:
    chunks = [json.dumps({"choices": [{"delta": {"content": piece}}]}) for piece in pieces]
    body = "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"]).encode()
    return Answer(200, body, {"content-type": "text/event-stream"})


def test_a_question_on_the_command_line_is_the_only_one(run: Run, server: ScriptedServer) -> None:
    server.answers = [told("Paris")]
    assert run("chat", "smol", "The capital of France?").out == "Paris\n"
    (message,) = server.asked[0].json()["messages"]
    assert (message["role"], message["content"]) == ("user", "The capital of France?")


def test_each_line_is_a_turn(
    run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n\nAnd you?\n"))
    server.answers = [told("Hi", " there"), told("Fine")]

    ended = run("chat", "smol", "--system", "Be brief.", "--temperature", "0")

    assert ended.out == "Hi there\nFine\n"
    first, second = (asked.json() for asked in server.asked)
    assert first["temperature"] == 0
    assert [message["role"] for message in second["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert second["messages"][2]["content"] == "Hi there"
