from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from modelyard.cli.app import main
from tests.unit.sdk.scripted_server import ScriptedServer, scripted_server


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A scripted server that the commands find by the environment."""
    with scripted_server() as server:
        monkeypatch.setenv("MODELYARD_URL", server.url)
        monkeypatch.setenv("MODELYARD_API_KEY", "my_key")
        yield server


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command in this process, as the console script does."""

    def run(*arguments: str) -> Ended:
        code = main(arguments)
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    return run
