"""The how-to guides, done as they say, against a real server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.conftest import Reader
from tests.docs.markdown import ROOT, read
from tests.docs.walk import steps, walk
from tests.postgres import Server

HOW_TO = ROOT / "docs/how-to"
# These start a server of their own, for they are about its settings or its files.
OWN_SERVER = {"back-up.md", "run-on-postgresql.md", "use-a-provider.md"}
NAMED = re.compile(r"^modelyard (datasets add|train|models import) (\S+)", re.MULTILINE)
PRINTED_DATABASE = "postgresql+psycopg://modelyard:secret@127.0.0.1:5432/modelyard"
GUIDES = sorted(
    path for path in HOW_TO.glob("*.md") if path.name not in OWN_SERVER and steps(read(path).blocks)
)


def test_pages_that_share_a_server_make_things_of_names_of_their_own() -> None:
    lessons = sorted((ROOT / "docs/tutorial").glob("*.md"))
    made: dict[str, Path] = {}
    for path in [*GUIDES, *lessons]:
        for step in steps(read(path).blocks):
            for name in {found[1] for found in NAMED.findall(step.block.text)}:
                assert made.setdefault(name, path) == path, name


@pytest.mark.slow
@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guide(path: Path, resident: Reader) -> None:
    resident.follow(path)


@pytest.mark.slow
def test_the_guide_to_backup(newcomer: Reader) -> None:
    newcomer.follow(HOW_TO / "back-up.md")


@pytest.mark.slow
@pytest.mark.postgres
def test_the_guide_to_postgresql(newcomer: Reader, postgres_server: Server) -> None:
    replaced = {**newcomer.replaced, PRINTED_DATABASE: postgres_server.url}
    newcomer._replace(replaced=replaced).follow(HOW_TO / "run-on-postgresql.md")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_guide_to_providers(newcomer: Reader) -> None:
    blocks = read(HOW_TO / "use-a-provider.md").blocks
    # It loads a language model, and starts two servers.
    walk(blocks, newcomer.folder, newcomer.environ, newcomer.replaced, timeout=280)
