"""No key stands in any file or log, but the operator's own in its own file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from modelyard_client import Client
from tests.e2e import graphs
from tests.e2e.calls import Caller, serve
from tests.e2e.conftest import start_server, stop_server

PASSWORD = "canary-of-a-password-9Zq"
PROVIDER_KEY = "sk-canary-of-a-provider-7Xw"
ADMIN = "my_canary-of-the-operator-0123456789abcdefghijklm"


@pytest.mark.parametrize("given", [True, False], ids=["given", "made"])
def test_no_key_is_left_behind(given: bool, tmp_path: Path) -> None:
    home = tmp_path / "home"
    environ = {"MODELYARD_LOG_LEVEL": "debug"} | ({"MODELYARD_ADMIN_KEY": ADMIN} if given else {})
    server = start_server(home, "--workers", "1", **environ)
    admin = (home / "admin.key").read_text().strip()
    assert (admin == ADMIN) is given
    canaries = {admin}
    try:
        with Client(server.url, admin) as client:
            serve(client, "numbers", graphs.scaled(tmp_path / "scaled.onnx", 2))
            made = [client.keys.create(name, settle=0) for name in ("used", "revoked")]
            client.keys.revoke(made[1].id)
            rotated = client.keys.rotate(made[0].id, timedelta(hours=1), settle=0)
            invited = client.users.create("ann@example.com", operator=True)
            client.sessions.set_password(invited.invitation, PASSWORD)
            session = client.sessions.login("ann@example.com", PASSWORD, settle=0)
            canaries |= {key.key for key in made}
            canaries |= {rotated.key, invited.invitation, session.token, PASSWORD, PROVIDER_KEY}
            client.providers.put("up", "https://api.example.com/v1", api_key=PROVIDER_KEY)
            # Each has an id of the key's in what is told of it.
            client.quotas.set("requests", "day", 1, key_id=made[0].id, alert_at=50, settle=0)
            client.quotas.set("requests", "minute", 9, deployment="numbers", settle=1)
        _use_and_misuse(server.url, admin, made[0].key)
        _misuse_passwords(server.url)
        _read_everything(server.url, admin, canaries)
        _command_line(home)
    finally:
        assert stop_server(server.process) == 0
    # Even in a folder that was there before, open to all.
    assert [file for file in home.rglob("*") if file.stat().st_mode & 0o077] == []
    log = tmp_path / "home.log"
    said = log.read_text()
    # A key that the server makes is shown once, at its first start.
    assert said.count(admin) == (0 if given else 1)
    log.write_text(said.replace(admin, "", 1))
    # The part behind the prefix that tells keys apart by eye is what nobody may find.
    needles = {key[12:].encode() for key in canaries}
    found = [
        str(file)
        for file in tmp_path.rglob("*")
        if file.is_file() and file.name != "admin.key" and _holds(file, needles)
    ]
    assert found == []


def _use_and_misuse(url: str, admin: str, key: str) -> None:
    with Caller(url, key) as call:
        assert call.infer("numbers", x=[[1, 2]]).status in (200, 401)
        # In all the places where a key does not belong.
        for path in (f"/v2/models/{key}/infer", f"/api/v1/models/{key}", f"/api/v1/keys?k={key}"):
            assert call("POST", path, {"inputs": [], "key": key}).status >= 400
    with Caller(url, admin) as call:
        for path in (f"/v2/models/{key}/infer", f"/api/v1/models/{key}", f"/api/v1/{key}"):
            assert call("POST", path, {"inputs": key}, headers={key[3:20]: key}).status >= 400
        assert (
            call("POST", "/api/v1/keys", json.dumps({"name": 1, "k": key}).encode()).status >= 400
        )


def _read_everything(url: str, admin: str, canaries: set[str]) -> None:
    """What the API lists, its metrics and what it says of itself."""
    with Caller(url, admin) as call:
        paths = call("GET", "/openapi.json").json()["paths"]
        listed = [path for path, item in paths.items() if "get" in item and "{" not in path]
        assert len(listed) > 15
        for path in [
            *listed,
            "/metrics",
            "/openapi.json",
            "/docs",
            "/v1/models",
            "/v2/models/stats",
        ]:
            answer = call("GET", path)
            assert answer.status in (200, 400, 404, 409), (path, answer)
            assert not [key for key in canaries if key.encode() in answer.body], path


def _misuse_passwords(url: str) -> None:
    with Caller(url, None) as call:
        for body in (
            {"name": PASSWORD, "password": PASSWORD},
            {"name": "ann@example.com", "password": PASSWORD + "x"},
            {"name": 1, "password": PASSWORD},
            [PASSWORD],
        ):
            answer = call("POST", "/api/v1/sessions", body)
            assert answer.status in (400, 401)
            assert PASSWORD.encode() not in answer.body
        bad = {"invitation": PASSWORD, "password": PASSWORD}
        assert call("POST", "/api/v1/passwords", bad).status == 401


def _command_line(home: Path) -> None:
    for arguments in (["config"], ["keys", "list"], ["models", "list"]):
        ended = subprocess.run(
            [sys.executable, "-m", "modelyard", *arguments],
            env={**os.environ, "MODELYARD_HOME": str(home), "MODELYARD_ADMIN_KEY": ADMIN},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert ADMIN not in ended.stdout + ended.stderr
        assert (home / "admin.key").read_text().strip() not in ended.stdout + ended.stderr


def _holds(file: Path, needles: set[bytes]) -> bool:
    content = file.read_bytes()
    return any(needle in content for needle in needles)
