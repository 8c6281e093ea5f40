"""The pages, done as they say, against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.conftest import Reader
from tests.docs.markdown import ROOT, read
from tests.docs.walk import steps, walk
from tests.postgres import Server

HOW_TO = ROOT / "docs/how-to"
# These start a server of their own, for they are about its settings or its files.
OWN_SERVER = {"back-up.md", "run-on-postgresql.md"}
PRINTED_DATABASE = "postgresql+psycopg://modelyard:secret@127.0.0.1:5432/modelyard"
GUIDES = sorted(
    path for path in HOW_TO.glob("*.md") if path.name not in OWN_SERVER and steps(read(path).blocks)
)


def _follow(path: Path, reader: Reader) -> None:
    walk(read(path).blocks, reader.folder, reader.environ, reader.replaced)


@pytest.mark.slow
def test_the_quick_start(newcomer: Reader) -> None:
    _follow(ROOT / "README.md", newcomer)


@pytest.mark.slow
def test_the_tutorial(newcomer: Reader) -> None:
    _follow(ROOT / "docs/tutorial/first-model.md", newcomer)


@pytest.mark.slow
@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guide(path: Path, resident: Reader) -> None:
    _follow(path, resident)


@pytest.mark.slow
def test_the_guide_to_backup(newcomer: Reader) -> None:
    _follow(HOW_TO / "back-up.md", newcomer)


@pytest.mark.slow
@pytest.mark.postgres
def test_the_guide_to_postgresql(newcomer: Reader, postgres_server: Server) -> None:
    replaced = {**newcomer.replaced, PRINTED_DATABASE: postgres_server.url}
    _follow(HOW_TO / "run-on-postgresql.md", newcomer._replace(replaced=replaced))
