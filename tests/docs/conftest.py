"""A server that the pages of a module share, as their reader has one running."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.markdown import read
from tests.docs.walk import walk
from tests.e2e.conftest import start_server, stop_server

# What the pages print for a server that is left at its defaults.
ADDRESS = "127.0.0.1:8000"
GRPC_ADDRESS = "127.0.0.1:8001"


class Reader(NamedTuple):
    """Somebody who follows a page: in a folder and an environment, with their own address."""

    folder: Path
    environ: dict[str, str]
    replaced: dict[str, str]

    def follow(self, page: Path) -> None:
        """Do what the page says, and hold it to what it prints."""
        walk(read(page).blocks, self.folder, self.environ, self.replaced)


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def newcomer(tmp_path: Path) -> Reader:
    """Has no server: the page starts one."""
    port, grpc_port = str(free_port()), str(free_port())
    environ = {
        "HOME": str(tmp_path),
        "MODELYARD_PORT": port,
        "MODELYARD_GRPC_PORT": grpc_port,
        "MODELYARD_WORKERS": "1",
    }
    replaced = {ADDRESS: f"127.0.0.1:{port}", GRPC_ADDRESS: f"127.0.0.1:{grpc_port}"}
    return Reader(tmp_path / "folder", environ, replaced)


@pytest.fixture(scope="module")
def shared_home(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder that holds `.modelyard`, and the addresses of its server for the printed ones."""
    folder = tmp_path_factory.mktemp("docs")
    started = start_server(folder / ".modelyard", MODELYARD_WORKERS="1")
    try:
        yield folder, {ADDRESS: started.url.removeprefix("http://"), GRPC_ADDRESS: started.grpc_url}
    finally:
        code = stop_server(started.process)
    assert code == 0


@pytest.fixture
def resident(shared_home: tuple[Path, dict[str, str]], tmp_path: Path) -> Reader:
    """Has a server running."""
    folder, replaced = shared_home
    return Reader(tmp_path / "folder", {"HOME": str(folder)}, replaced)
