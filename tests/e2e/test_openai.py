"""OpenAI's client, as its makers publish it, against a real server with real models."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelyard_client import Client, Upstream
from tests import real_models
from tests.dataplane import wait_until
from tests.e2e.conftest import Server, start_server, stop_server

SECONDS = 110.0


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server of its own, with a language model and an embedder, and a key for them."""
    started = start_server(tmp_path_factory.mktemp("speaking") / "home", "--workers", "1")
    try:
        with Client(started.url, started.admin_key, timeout=SECONDS) as client:
            smol = client.models.import_model("smol", real_models.chat_model())
            assert smol.card.task == "text-generation"
            assert "135 million parameters in Q4_1" in smol.card.description
            client.models.import_model("minilm", real_models.embedder())
            for name in ("smol", "minilm"):
                client.deployments.put(name, name)
            for name in ("smol", "minilm"):
                client.deployments.wait_ready(name, SECONDS)
            client.prices.set("smol", "token", "0.60", input_amount="0.15")
            key = client.keys.create("speaking").key
        yield started, key
    finally:
        code = stop_server(started.process)
    assert code == 0


@pytest.fixture(scope="module")
def relaying(
    speaking: tuple[Server, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str]]:
    """A server whose models all run at that one, and a key for them."""
    provider, key = speaking
    home = tmp_path_factory.mktemp("relaying") / "home"
    started = start_server(home, "--workers", "1", MODELYARD_PROVIDER_ALLOW="127.0.0.0/8")
    try:
        with Client(started.url, started.admin_key) as client:
            client.providers.put("yard", f"{provider.url}/v1", api_key=key)
            assert client.providers.test("yard").models == ["minilm", "smol"]
            can = ("chat", "completions")
            client.models.link("smol", [Upstream("yard", "smol")], capabilities=can)
            client.models.link("minilm", [Upstream("yard", "minilm")], capabilities=("embeddings",))
            for name in ("smol", "minilm"):
                client.deployments.put(name, name)
                client.deployments.wait_ready(name)
            client.prices.set("smol", "token", "0.60", input_amount="0.15")
            ours = client.keys.create("relaying").key
        yield started, ours
    finally:
        code = stop_server(started.process)
    assert code == 0


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["speaking", "relaying"])
def test_it_chats_streams_embeds_and_is_metered(
    fixture: str, request: pytest.FixtureRequest, clients_python: Path
) -> None:
    server, key = request.getfixturevalue(fixture)
    script = Path(__file__).with_name("openai_calls.py")

    ended = subprocess.run(
        [str(clients_python), str(script), server.url, key],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr[-3000:]
    came = json.loads(ended.stdout)
    _check_chat(came["chat"])
    _check_rest(came["rest"])
    # Beside others even the likeliest tokens may differ in their last bits.
    assert all(text.startswith("The capital of France is Paris") for text in came["async"]["texts"])
    _check_ledger(server, came)


def _check_chat(chat: Any) -> None:
    assert chat["text"] == "The capital of France is Paris."
    assert (chat["reason"], chat["streamed"]) == ("stop", chat["text"])
    assert (chat["usage"]["prompt_tokens"], chat["usage"]["completion_tokens"]) == (37, 8)
    assert chat["stream_usage"] == chat["usage"]
    assert chat["logprobs"] == 7
    assert chat["tool"]["name"] == "get_weather"
    assert set(json.loads(chat["tool"]["arguments"])) == {"city"}
    assert set(json.loads(chat["schema"])) == {"city"}
    assert (chat["two"], chat["stopped"]) == (2, "The capital of France is")


def _check_rest(rest: Any) -> None:
    assert rest["completion"].startswith(" Paris")
    assert (rest["width"], rest["embedding_tokens"]) == (384, 25)
    assert rest["same"] < 1e-6
    assert rest["near"] > 0.5 > rest["far"]
    assert (rest["models"], rest["model"]) == (["minilm", "smol"], "smol")
    assert rest["unknown"] == {"kind": "NotFoundError", "status": 404, "code": "model_not_found"}
    assert rest["no_key"]["code"] == rest["no_key_embedding"]["code"] == "invalid_api_key"
    assert (rest["overflow"]["status"], rest["overflow"]["code"]) == (
        400,
        "context_length_exceeded",
    )
    assert rest["too_hot"]["status"] == rest["bomb"]["status"] == 400


def _check_ledger(server: Server, came: Any) -> None:
    """The very tokens that the client was told, for whole answers and for what was left."""
    left = came["async"]["left"]
    ids = {
        "whole": came["chat"]["request_id"],
        "left": left["id"].removeprefix("chatcmpl-"),
    }
    rows: dict[str, Any] = {}

    def is_there() -> bool:
        with closing(sqlite3.connect(f"file:{server.home}/modelyard.db?mode=ro", uri=True)) as db:
            for name, id_ in ids.items():
                row = db.execute(
                    "SELECT status, finish, prompt_tokens, completion_tokens FROM usage_events "
                    "WHERE request_id = ?",
                    [id_],
                ).fetchone()
                if row is not None:
                    rows[name] = row
        return len(rows) == len(ids)

    wait_until(is_there)
    usage = came["chat"]["usage"]
    assert rows["whole"] == (200, "stop", usage["prompt_tokens"], usage["completion_tokens"])
    status, finish, _, tokens = rows["left"]
    assert (status, finish) == (499, "client_gone")
    # What had been generated before the engine heard of it: far from the 2,000 that were asked for.
    assert left["seen"] <= tokens < 200
    with Client(server.url, server.admin_key) as client:
        line = next(one for one in client.usage.report("deployment") if one.group == "smol")
    assert line.cost is not None
    assert line.cost > 0
