from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from modelyard.adapters.home import Home
from modelyard.adapters.store import open_store, sqlite_url
from modelyard.cli import doctor
from modelyard.core.sandboxing import Capabilities
from modelyard.core.settings import Settings
from tests.unit.cli.conftest import Run

NO_PORTS = {"port": 0, "grpc_port": -1}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.fixture(autouse=True)
def without_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks that start processes have a test of their own."""
    monkeypatch.setattr(doctor, "_onnxruntime", lambda: iter(()))
    found = doctor.Finding("sandboxed process", doctor.State.GOOD, "loads")
    monkeypatch.setattr(doctor, "_trial", lambda _: found)


def examined(home: Home, able: Capabilities | None = None, **more: Any) -> dict[str, Any]:
    in_force = Settings(home=str(home.path), **{**NO_PORTS, **more})
    return {one.check: one for one in doctor.examine(in_force, able or Capabilities(7, True))}


def test_a_sound_home_is_good(home: Home) -> None:
    open_store(sqlite_url(home.database)).close()
    found = examined(home)
    assert [found[name].state for name in ("python", "home", "database")] == ["good"] * 3
    assert str(home.database) in found["database"].found


def test_a_home_that_is_not_there_is_left_so(tmp_path: Path) -> None:
    home = Home(tmp_path / "none")
    found = examined(home)
    assert found["home"].state == found["database"].state == "good"
    assert "will be made" in found["home"].found
    assert not home.path.exists()


def test_a_home_that_is_open_to_others_is_noted(home: Home) -> None:
    home.path.chmod(0o755)
    found = examined(home)["home"]
    assert found.state == "note"
    assert f"chmod 700 {home.path}" in found.advice


def test_a_secret_that_others_can_read_is_bad(home: Home) -> None:
    (home.path / "secrets" / "pepper").chmod(0o644)
    found = examined(home)["home"]
    assert found.state == "bad"
    assert "chmod 600" in found.found


def test_a_full_disk_is_bad(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TOO_LITTLE", 1 << 60)
    assert examined(home)["disk"].state == "bad"


def test_a_database_that_is_away_is_bad(home: Home) -> None:
    url = "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"
    found = examined(home, database_url=url)["database"]
    assert found.state == "bad"
    assert "secret" not in found.found


def test_a_file_that_is_no_database_is_bad(home: Home) -> None:
    home.database.write_bytes(b"no database at all" * 100)
    assert examined(home)["database"].state == "bad"


def test_a_port_that_someone_has_is_bad_unless_it_is_our_server(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        found = examined(home, port=number)["port"]
        assert found.state == "bad"
        assert "MODELYARD_PORT" in found.advice
        home.announce(f"http://127.0.0.1:{number}", "")
        assert examined(home, port=number)["port"].state == "good"
    home.withdraw()
    assert examined(home, port=number)["port"].state == "good"


@pytest.mark.parametrize(
    ("able", "state", "word"),
    [
        (Capabilities(7, True, ("user", "net", "ipc")), "good", "full"),
        (Capabilities(7, True, (), (), ("namespaces are not allowed",)), "note", "reduced"),
        (Capabilities(0, True, (), (), ("Landlock is missing",)), "note", "Landlock is missing"),
    ],
)
def test_the_sandbox_is_told_with_its_reasons(
    able: Capabilities, state: str, word: str, home: Home
) -> None:
    found = examined(home, able)["sandbox"]
    assert found.state == state
    assert word in found.found


def test_a_sandbox_below_the_demanded_level_is_bad(home: Home) -> None:
    able = Capabilities(7, True, (), (), ("namespaces are not allowed",))
    found = examined(home, able, sandbox="full")["sandbox"]
    assert found.state == "bad"
    assert "demands" in found.found


def test_extras_name_what_is_missing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["numpy>=1", "nowhere>=1; extra == 'postgres'", "numpy>=1; extra == 'train'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: asked)
    found = examined(home)
    assert found["extra train"].state == "good"
    assert found["extra postgres"].found == "not installed: nowhere"
    assert "modelyard[postgres]" in found["extra postgres"].advice


def test_a_check_that_breaks_is_a_finding(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no disk at all")

    monkeypatch.setattr(doctor, "_disk", broken)
    found = examined(home)
    assert found["disk"].found == "RuntimeError: no disk at all"
    assert "database" in found


def test_the_command_prints_a_table_or_json_and_exits_by_it(
    run: Run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_PORT", "0")
    monkeypatch.setenv("MODELYARD_GRPC_PORT", "-1")
    ended = run("doctor", "--home", str(home.path))
    assert ended.code == 0, ended.out
    assert "WHAT TO DO" in ended.out
    (home.path / "secrets" / "pepper").chmod(0o644)
    ended = run("doctor", "--home", str(home.path), "--json")
    assert ended.code == 1
    document = json.loads(ended.out)
    assert document["level"] in {"none", "reduced", "full"}
    assert {one["check"] for one in document["findings"]} >= {"home", "database", "sandbox"}
