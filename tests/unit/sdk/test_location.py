from __future__ import annotations

from pathlib import Path

import pytest

from modelyard_client.errors import ServerNotFound
from modelyard_client.location import Location, locate

LOCAL = "http://127.0.0.1:4711"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "server.json").write_text(f'{{"url": "{LOCAL}", "pid": 1}}')
    (tmp_path / "admin.key").write_text("my_operator\n")
    return tmp_path


def test_arguments_come_before_the_environment(home: Path) -> None:
    environ = {
        "MODELYARD_URL": "http://other",
        "MODELYARD_API_KEY": "my_other",
        "MODELYARD_HOME": str(home),
    }
    assert locate("http://this/", "my_this", environ) == Location("http://this", "my_this")
    assert locate(environ=environ) == Location("http://other", "my_other")


def test_the_local_home_gives_both(home: Path) -> None:
    assert locate(environ={"MODELYARD_HOME": str(home)}) == Location(LOCAL, "my_operator")


def test_the_local_key_goes_to_no_other_server(home: Path) -> None:
    environ = {"MODELYARD_HOME": str(home), "MODELYARD_URL": "http://elsewhere:8000"}
    assert locate(environ=environ) == Location("http://elsewhere:8000", None)
    assert locate(LOCAL + "/", environ={"MODELYARD_HOME": str(home)}).api_key == "my_operator"


def test_a_key_of_the_environment_opens_the_local_server(home: Path) -> None:
    environ = {"MODELYARD_HOME": str(home), "MODELYARD_API_KEY": "my_infer"}
    assert locate(environ=environ) == Location(LOCAL, "my_infer")


def test_without_a_server_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(ServerNotFound) as caught:
        locate(environ={"MODELYARD_HOME": str(tmp_path)})
    assert "modelyard up" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{", '{"pid": 1}', "[]"])
def test_a_damaged_server_file_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "server.json").write_text(content)
    with pytest.raises(ServerNotFound, match=r"server\.json"):
        locate(environ={"MODELYARD_HOME": str(tmp_path)})
