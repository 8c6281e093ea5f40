"""`modelyard chat`, with questions from a pipe."""

import io
import json
from collections.abc import Iterator

import pytest

from modelyard_client.chat import ChatMessage
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


def test_an_answer_can_be_stopped_and_the_talk_goes_on(
    run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[ChatMessage]] = []

    def stream(_: object, __: str, messages: list[ChatMessage], **___: object) -> Iterator[str]:
        asked.append(list(messages))
        yield "Once"
        if len(asked) == 1:
            raise KeyboardInterrupt

    typed = io.StringIO("A long story?\nA short one?\n")
    monkeypatch.setattr(typed, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", typed)
    monkeypatch.setattr("modelyard_client.chat.Chat.stream", stream)
    ended = run("chat", "smol")
    assert (ended.code, ended.out) == (0, "Once\nOnce\n")
    assert [[message.content for message in messages] for messages in asked] == [
        ["A long story?"],
        ["A short one?"],
    ]


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
