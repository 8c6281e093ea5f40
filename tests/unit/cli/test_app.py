from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from cyclopts import App

from modelyard.cli.app import build
from tests.unit.cli.conftest import Run
from tests.unit.sdk.scripted_server import Answer, ScriptedServer

HEAVY = ("httpx2", "modelyard_client", "modelyard.bootstrap", "numpy", "litestar", "sqlalchemy")


def _commands(app: App, path: tuple[str, ...] = ()) -> Mapping[tuple[str, ...], App]:
    found: dict[tuple[str, ...], App] = {}
    for name, command in app.resolved_commands().items():
        if not name.startswith("-"):
            found[(*path, name)] = command
            found |= _commands(command, (*path, name))
    return found


def test_every_command_of_the_table_is_there_and_says_what_it_does() -> None:
    commands = _commands(build())
    assert {path[0] for path in commands} >= {"up", "demo", "train", "predict", "usage", "keys"}
    assert [path for path, command in commands.items() if not command.help.strip()] == []


@pytest.mark.parametrize("path", sorted(_commands(build())), ids=" ".join)
def test_every_command_has_help(run: Run, path: tuple[str, ...]) -> None:
    ended = run(*path, "--help")
    assert ended.code == 0
    assert "Usage: modelyard " + " ".join(path) in ended.out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from modelyard.cli.app import main; main(['--help']); "
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "Unknown command"),
        (["keys", "create", "--expires", "soon"], "--expires"),
        (["deploy"], "MODEL"),
        (["predict", "m"], "--input"),
        (["jobs", "show", "job_1", "--colour"], "--colour"),
        (["jobs", "show", "job_1", "job_2"], "takes fewer arguments: 'job_2' is too many"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(run: Run, arguments: list[str], said: str) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "--help')" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tenant", "north", "keys", "list"],
        ["--tenant=north", "keys", "list"],
        ["keys", "list", "--tenant", "north"],
        ["keys", "--tenant=north", "list", "--json"],
    ],
)
def test_the_tenant_may_be_named_anywhere(
    run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("MODELYARD_TENANT", "")
    server.answers = [Answer(200, {"items": []})]
    assert run(*arguments).code == 0
    assert server.asked[0].headers["x-modelyard-tenant"] == "north"


@pytest.mark.parametrize("arguments", [["keys", "list", "--tenant"], ["--tenant", "--json"]])
def test_a_tenant_needs_a_name(run: Run, arguments: list[str]) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (1, "")
    assert "--tenant takes the name of a tenant" in ended.err


def test_without_a_server_it_says_how_to_start_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    ended = run("models", "list", "--json")
    assert (ended.code, ended.out) == (1, "")
    assert "modelyard up" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "MODELYARD_API_KEY"), (403, "wider scope"), (404, "")]
)
def test_a_refusal_is_the_servers_words_and_a_hint(
    run: Run, server: ScriptedServer, status: int, hint: str
) -> None:
    server.answers = [Answer(status, {"detail": "that is\nnot so", "code": "x"})]
    ended = run("keys", "list")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("modelyard: that is not so")
    assert hint in ended.err
    assert ended.err.count("\n") == 1


def test_a_file_that_cannot_be_written_is_one_line(
    run: Run, server: ScriptedServer, tmp_path: Path
) -> None:
    server.answers = [Answer(200, b"a,b")]
    for target in (tmp_path / "missing" / "u.csv", tmp_path):
        ended = run("usage", "export", "--to", str(target))
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith(f"modelyard: cannot use {target}")
        assert ended.err.count("\n") == 1


def test_a_wrong_password_is_no_matter_of_keys(
    run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    said = "the name or the password is not right"
    server.answers = [Answer(401, {"detail": said, "code": "unauthenticated"})]
    assert run("login", "ann").err == f"modelyard: {said}\n"


def test_a_reader_that_leaves_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "modelyard", "config"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")
