from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.cli.failure import CommandFailed
from modelyard.cli.local_server import LocalServer


def test_a_server_that_cannot_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    in_the_way = tmp_path / "home"
    in_the_way.write_text("a file where the folder should be")
    server = LocalServer(in_the_way, tmp_path / "server.log")
    with pytest.raises(CommandFailed, match="ended at once with code 1"):
        server.start()
    assert "home" in server.last_words()
    assert server.stop() == 1


def test_a_server_that_was_never_started_is_stopped() -> None:
    assert LocalServer(Path("home"), Path("log")).stop() == 0
