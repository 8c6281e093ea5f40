"""A provider behind our own keys, on a real server: its whole life, and where its key turns up."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from modelyard_client import ApiError, Client, Upstream
from modelyard_client.models import VersionFailed
from tests.dataplane import wait_until
from tests.e2e.conftest import Server, start_server, stop_server
from tests.upstreams import KEY, answers, resets, says
from tests.upstreams import Upstream as Scripted

OTHER_KEY = "sk-canary-another-one-of-a-provider"


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    models = answers(200, {"data": [{"id": "m"}]})
    with Scripted({"m": says("Hel", "lo"), "/v1/models": models}) as started:
        yield started


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("asking") / "home"
    allowed = {"MODELYARD_PROVIDER_ALLOW": "127.0.0.0/8", "MODELYARD_LOG_LEVEL": "debug"}
    started = start_server(home, "--workers", "2", **allowed)
    try:
        yield started
    finally:
        code = stop_server(started.process)
    assert code == 0
    # After all the tests, whatever they did: neither the key nor its end is anywhere.
    needles = (KEY[10:].encode(), OTHER_KEY[10:].encode())
    files = [home.with_name("home.log"), *(path for path in home.rglob("*") if path.is_file())]
    assert [str(file) for file in files if any(n in file.read_bytes() for n in needles)] == []
    assert (home / "secrets" / "sealing.key").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def client(asking: Server) -> Iterator[Client]:
    with Client(asking.url, asking.admin_key) as client:
        yield client


def chat(server: Server, model: str = "gpt", **more: Any) -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}
    headers = {"authorization": f"Bearer {server.admin_key}"}
    return httpx2.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=30)


def command(server: Server, *words: str, said: str = "", **environ: str) -> str:
    """What the command line prints; of its errors too."""
    ended = subprocess.run(
        [sys.executable, "-m", "modelyard", *words],
        input=said,
        env={**os.environ, "MODELYARD_HOME": str(server.home), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return f"{ended.returncode}: {ended.stdout}{ended.stderr}"


def test_a_provider_is_put_behind_our_keys_by_commands_alone(
    asking: Server, client: Client, scripted: Scripted
) -> None:
    added = command(asking, "providers", "add", "up", scripted.url, said=f"{KEY}\n")
    assert added.startswith(f"0: provider up at {scripted.url}: its key is sealed")
    assert "models: m" in command(asking, "providers", "test", "up")
    linked = command(asking, "models", "link", "gpt", "up/m=3", "--fallback", "up/n")
    assert "gpt version 1 is registered" in linked
    assert "gpt: ready" in command(asking, "deploy", "gpt", "--wait")
    client.prices.set("gpt", "token", "1000000", input_amount="1000000")

    answer = chat(asking)

    assert answer.json()["choices"][0]["message"]["content"] == "Hello"
    assert scripted.received[-1].headers["authorization"] == f"Bearer {KEY}"

    def is_billed() -> bool:
        with closing(sqlite3.connect(f"file:{asking.home}/modelyard.db?mode=ro", uri=True)) as db:
            found = db.execute(
                "SELECT prompt_tokens, cached_tokens, completion_tokens, status, finish "
                "FROM usage_events WHERE request_id = ?",
                [answer.headers["x-request-id"]],
            ).fetchone()
        return bool(found == (11, 3, 5, 200, "stop"))

    wait_until(is_billed, 60)
    told = [
        added,
        command(asking, "providers", "list"),
        command(asking, "providers", "show", "up", "--json"),
        command(asking, "providers", "add", "up", "nowhere", "--key-env", "K", K=KEY),
        command(asking, "providers", "add", "up", scripted.url, said=f"{KEY} x"),
        command(asking, "providers", "add", "up", scripted.url),
        command(asking, "providers", "add", "up", scripted.url, "--no-key", "--keep-key"),
    ]
    assert [each[0] for each in told] == list("0001111")
    assert [each for each in told if "canary" in each] == []


def test_a_changed_key_is_used_and_a_deleted_provider_is_asked_no_more(
    asking: Server, client: Client, scripted: Scripted
) -> None:
    client.providers.put("turns", scripted.url, api_key=KEY)
    client.models.link("turning", [Upstream("turns", "m")])
    client.deployments.put("turning", "turning")
    client.deployments.wait_ready("turning")

    client.providers.put("turns", scripted.url, api_key=OTHER_KEY)

    def is_used() -> bool:
        assert chat(asking, "turning").status_code == 200
        return scripted.received[-1].headers["authorization"] == f"Bearer {OTHER_KEY}"

    wait_until(is_used, 60)
    client.providers.delete("turns")
    wait_until(lambda: chat(asking, "turning").status_code == 503, 60)
    wait_until(lambda: client.deployments.get("turning").status.state == "failed", 60)
    reason = client.deployments.get("turning").status.reason
    assert reason == "there is no provider 'turns'"
    client.providers.put("turns", scripted.url, api_key=KEY)
    wait_until(lambda: chat(asking, "turning").status_code == 200, 60)


def test_faults_leave_no_trace_of_the_key(
    asking: Server, client: Client, scripted: Scripted
) -> None:
    client.providers.put("faulty", scripted.url, api_key=KEY)
    scripted.reactions |= {
        "resets": resets,
        "echo": answers(400, {"error": {"message": KEY, "code": KEY, "param": KEY}}),
        "denies": answers(401, {"error": {"message": f"Incorrect API key: {KEY}"}}),
        "moves": answers(302, b"", f"location: http://169.254.169.254/?key={KEY}\r\n"),
        "fails": answers(500, KEY.encode()),
    }
    expected = {"resets": 503, "echo": 400, "denies": 502, "moves": 502, "fails": 503}
    for model in expected:
        client.models.link(model, [Upstream("faulty", model)])
        client.deployments.put(model, model)
    for model, status in expected.items():
        client.deployments.wait_ready(model)
        answer = chat(asking, model)
        assert (model, answer.status_code) == (model, status)
        assert "canary" not in answer.text
    metrics = httpx2.get(
        f"{asking.url}/metrics", headers={"authorization": f"Bearer {asking.admin_key}"}
    ).text
    assert "canary" not in metrics


def test_a_description_that_is_none_is_refused(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "upstreams.json"
    path.write_text('{"upstreams": [{"provider": "up", "modle": "m"}]}')
    with pytest.raises((VersionFailed, ApiError), match="modle"):
        client.models.import_model("broken", path)
