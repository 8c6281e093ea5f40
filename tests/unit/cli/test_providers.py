"""Providers on the command line: where a key is read from, and what is told of them."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from modelyard.cli.links import parsed
from modelyard_client import Upstream
from tests.unit.cli.conftest import Run
from tests.unit.sdk.scripted_server import Answer, ScriptedServer

AT = "2026-11-22T00:00:00Z"
KEY = "sk-canary"
PROVIDER: dict[str, Any] = {
    "id": "prv_1",
    "name": "openai",
    "base_url": "https://api.openai.com/v1",
    "has_key": True,
    "forward_headers": ["openai-beta"],
    "timeouts": {"connect_seconds": 5.0, "first_byte_seconds": 60.0, "between_seconds": 30.0},
    "created_at": AT,
    "updated_at": AT,
}
URL = PROVIDER["base_url"]


@pytest.mark.parametrize(
    ("options", "sent"),
    [([], KEY), (["--key-env", "VENDOR_KEY"], KEY), (["--no-key"], ""), (["--keep-key"], None)],
)
def test_where_the_key_comes_from(
    run: Run,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    sent: str | None,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
    monkeypatch.setenv("VENDOR_KEY", KEY)
    server.answers = [Answer(201, PROVIDER)]
    ended = run("providers", "add", "openai", URL, "--forward-header", "openai-beta", *options)
    assert ended.out == f"provider openai at {URL}: its key is sealed\n"
    assert server.asked[0].json().get("api_key") == sent
    assert server.asked[0].json()["forward_headers"] == ["openai-beta"]
    assert KEY not in ended.out + ended.err


def test_it_is_read_from_a_prompt_where_there_is_one(
    run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("getpass.getpass", lambda prompt: KEY if "openai" in prompt else "")
    server.answers = [Answer(201, PROVIDER)]
    assert run("providers", "add", "openai", URL).code == 0
    assert server.asked[0].json()["api_key"] == KEY


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "no key in standard input"),
        (["--key-env", "NOT_SET"], "no key in the environment variable NOT_SET"),
        (["--no-key", "--keep-key"], "exclude each other"),
    ],
)
def test_without_a_key_nothing_is_sent(
    run: Run,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    ended = run("providers", "add", "openai", URL, *options)
    assert (ended.code, said in ended.err) == (1, True)
    assert server.asked == []


def test_it_is_shown_listed_and_removed(run: Run, server: ScriptedServer) -> None:
    server.answers = [Answer(200, PROVIDER)]
    shown = run("providers", "show", "openai").out
    assert all(word in shown for word in (URL, "sealed", "openai-beta", "60 s"))
    server.answers = [Answer(200, {"items": [PROVIDER]})]
    assert all(word in run("providers", "list").out for word in ("openai", URL, "sealed"))
    assert json.loads(run("providers", "list", "--json").out)[0]["has_key"] is True
    server.answers = [Answer(204, None)]
    assert run("providers", "remove", "openai").out == "provider openai is removed\n"
    server.answers = [Answer(200, {"items": []})]
    assert run("providers", "list").out.startswith("no providers")


def test_a_test_that_fails_fails_the_command(run: Run, server: ScriptedServer) -> None:
    server.answers = [Answer(200, {"reason": "", "milliseconds": 12.5, "models": ["a", "b"]})]
    ended = run("providers", "test", "openai")
    assert ended.out == "provider openai answers in 12.5 ms; models: a, b\n"
    server.answers = [Answer(200, {"reason": "connect: Nobody", "milliseconds": 1.0})]
    ended = run("providers", "test", "openai", "--json")
    assert (ended.code, json.loads(ended.out)["reason"]) == (1, "connect: Nobody")
    assert "connect: Nobody" in ended.err


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("openai/gpt-4o", Upstream("openai", "gpt-4o")),
        ("openai/gpt-4o=3", Upstream("openai", "gpt-4o", 3)),
        ("hub/org/model:free=2", Upstream("hub", "org/model:free", 2)),
    ],
)
def test_how_a_model_of_a_provider_is_written(text: str, upstream: Upstream) -> None:
    assert parsed(text, 0) == upstream


@pytest.mark.parametrize("text", ["openai", "/gpt", "openai/", "openai/gpt=", "openai/gpt=x"])
def test_what_is_none(run: Run, server: ScriptedServer, text: str) -> None:
    ended = run("models", "link", "gpt", text)
    assert (ended.code, "must be PROVIDER/MODEL" in ended.err) == (1, True)
    assert run("models", "link", "gpt").code == 1
    assert server.asked == []
