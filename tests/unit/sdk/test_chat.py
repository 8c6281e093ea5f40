"""Talking to a language model: what is sent, and what becomes of the events."""

import json

import pytest

from modelyard_client import ApiError, Client, UnexpectedAnswer
from modelyard_client.chat import ChatMessage, ChatUsage
from tests.unit.sdk.scripted_server import Answer, ScriptedServer

EVENTS = {"content-type": "text/event-stream"}
HELLO = [ChatMessage("user", "Hello")]


def events(*told: object) -> Answer:
    lines = [one if isinstance(one, str) else json.dumps(one) for one in told]
    return Answer(200, "".join(f"data: {line}\n\n" for line in lines).encode(), EVENTS)


def piece(text: str) -> object:
    return {"choices": [{"index": 0, "delta": {"content": text}}], "usage": None}


def test_pieces_and_their_usage(server: ScriptedServer, client: Client) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    server.answers = [
        events(piece("Hi"), piece(" there"), {"choices": [], "usage": usage}, "[DONE]")
    ]

    told = list(client.chat.stream("smol", HELLO, max_tokens=5))

    assert told == ["Hi", " there", ChatUsage(7, 2)]
    sent = server.asked[0].json()
    assert (sent["model"], sent["max_tokens"], sent["stream"]) == ("smol", 5, True)
    assert sent["messages"] == [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("last", [{"error": {"message": "it broke"}}, piece("")])
def test_an_answer_that_breaks_off(server: ScriptedServer, client: Client, last: object) -> None:
    server.answers = [events(piece("Hi"), last)]

    with pytest.raises(UnexpectedAnswer, match="broke off"):
        list(client.chat.stream("smol", HELLO))


def test_a_refusal_in_the_form_of_openai(server: ScriptedServer, client: Client) -> None:
    error = {"message": "there is no deployment 'smol'", "code": "model_not_found", "param": None}
    server.answers = [Answer(404, {"error": error})]

    with pytest.raises(ApiError, match="no deployment 'smol'") as refused:
        list(client.chat.stream("smol", HELLO))
    assert refused.value.code == "model_not_found"
