from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.adapters.home import Home
from modelyard.core.errors import Invalid


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def test_a_home_has_one_server(home: Home) -> None:
    refused = pytest.raises(Invalid, match="another server runs in home")
    with home.held(), refused, Home(home.path).held():
        pytest.fail("it was held twice")
    with home.held():
        pass


def test_what_a_killed_server_left_half_written_is_removed(home: Home) -> None:
    (home.blobs / "incoming").mkdir()
    leftovers = [
        home.uploads / "upload-x",
        home.blobs / "incoming" / "x",
        home.journal / ".jrn_x.new",
    ]
    # An upload can be resumed: how long it waits is for those to say who take it in.
    kept = [home.journal / "jrn_x.journal", home.uploads / "tnt_x-y.part"]
    for file in (*leftovers, *kept):
        file.write_bytes(b"x")
    with home.held():
        pass
    assert [file for file in leftovers if file.exists()] == []
    assert all(file.exists() for file in kept)


def test_a_server_that_cannot_have_the_home_removes_nothing(home: Home) -> None:
    with home.held():
        upload = home.uploads / "upload-x"
        upload.write_bytes(b"being received")
        with pytest.raises(Invalid), Home(home.path).held():
            pytest.fail("it was held twice")
        assert upload.exists()
