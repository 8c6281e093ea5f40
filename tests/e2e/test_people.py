"""People over a real server: invited, logged in by the command line, and by a browser's cookie."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard_client import ApiError, Client
from tests.e2e.calls import Caller
from tests.e2e.conftest import Server, start_server, stop_server

PASSWORD = "canary-of-a-password-7Qx"
ANN = "ann@example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = start_server(tmp_path_factory.mktemp("people") / "home", "--workers", "2")
    try:
        yield started
    finally:
        assert stop_server(started.process) == 0


def run(server: Server, folder: Path, *arguments: str, said: str = "", key: str = "") -> str:
    """One command, as a person runs it on another machine."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MODELYARD_")}
    environ |= {
        "MODELYARD_URL": server.url,
        "MODELYARD_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    if key:
        environ["MODELYARD_API_KEY"] = key
    ended = subprocess.run(
        [sys.executable, "-m", "modelyard", *arguments],
        input=said,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert PASSWORD not in ended.stdout + ended.stderr
    return ended.stdout if ended.returncode == 0 else f"failed: {ended.stderr}"


def test_somebody_is_invited_sets_a_password_logs_in_and_out(
    server: Server, tmp_path: Path
) -> None:
    admin = server.admin_key
    assert "acme" in run(server, tmp_path, "tenants", "create", "acme", key=admin)
    add = ("--tenant", "acme", "members", "add", ANN, "--role", "auditor")
    invitation = run(server, tmp_path, *add, key=admin).strip()
    assert invitation.startswith("my_")
    assert "401" in run(server, tmp_path, "whoami") or "key" in run(server, tmp_path, "whoami")
    said = f"{invitation}\n{PASSWORD}\n"
    assert "is set" in run(server, tmp_path, "password", "--invited", said=said)
    assert "not right" in run(server, tmp_path, "login", ANN, said="wrong\n")
    assert "logged in" in run(server, tmp_path, "login", ANN, said=f"{PASSWORD}\n")
    session = tmp_path / "config" / "modelyard" / "session.json"
    assert session.stat().st_mode & 0o077 == 0
    shown = run(server, tmp_path, "whoami")
    assert ANN in shown
    assert "acme" in shown
    assert ANN in run(server, tmp_path, "members", "list")
    # An auditor looks and does nothing else.
    assert "members:write" in run(server, tmp_path, "members", "remove", ANN)
    assert "logged out" in run(server, tmp_path, "logout")
    assert not session.exists()
    assert "failed" in run(server, tmp_path, "whoami")


def test_a_browser_is_known_by_its_cookie_and_only_on_its_own_pages(server: Server) -> None:
    name = "bob@example.com"
    with Client(server.url, server.admin_key) as operator:
        invited = operator.members.put(name, "owner")
        operator.sessions.set_password(invited.invitation, PASSWORD)
    with Caller(server.url, None) as browser:
        body = {"name": name, "password": PASSWORD}
        answer = browser("POST", "/api/v1/sessions", body)
        assert answer.status == 201
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-modelyard=my_")
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; ")[1:])
        with_cookie = {"cookie": f"other=1; {cookie.split(';')[0]}"}
        time.sleep(1.0)
        assert browser("GET", "/api/v1/me", headers=with_cookie).json()["user"] == name
        new = {"name": "app", "scope": "infer"}

        def make(**headers: str) -> int:
            given = {**with_cookie, **{k.replace("_", "-"): v for k, v in headers.items()}}
            return browser("POST", "/api/v1/keys", new, headers=given).status

        host = server.url.removeprefix("http://")
        assert make() == 403
        assert make(sec_fetch_site="cross-site") == 403
        assert make(sec_fetch_site="same-site", origin=f"http://{host}") == 403
        assert make(origin="http://evil.example") == 403
        assert make(sec_fetch_site="same-origin") == 201
        assert make(origin=f"http://{host}") == 201
        # The data plane takes no cookies at all.
        assert browser("GET", "/v2", headers=with_cookie).status == 401
        ended = browser(
            "DELETE",
            "/api/v1/sessions/current",
            headers={**with_cookie, "sec-fetch-site": "same-origin"},
        )
        assert (ended.status, "Max-Age=0" in ended.headers["set-cookie"]) == (204, True)
        time.sleep(1.0)
        assert browser("GET", "/api/v1/me", headers=with_cookie).status == 401


def test_guesses_are_slowed_down_over_all_gateways(server: Server) -> None:
    statuses, waits = [], 0.0
    for _ in range(12):
        # A connection each: it may be another gateway's.
        with Client(server.url, server.admin_key) as client:
            try:
                client.sessions.login("guessed@example.com", "guess", settle=0)
            except ApiError as refused:
                statuses.append(refused.status)
                waits = max(waits, refused.retry_after)
    assert statuses[:5] == [401] * 5
    assert 429 in statuses
    assert waits >= 1
