"""The pages, done as they say, against a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests import real_models
from tests.docs.conftest import Reader
from tests.docs.markdown import ROOT, read
from tests.docs.walk import steps, walk
from tests.postgres import Server

HOW_TO = ROOT / "docs/how-to"
# These start a server of their own, for they are about its settings or its files.
OWN_SERVER = {"back-up.md", "run-on-postgresql.md", "use-a-provider.md"}
FIVE_MINUTES = 300
PRINTED_DATABASE = "postgresql+psycopg://modelyard:secret@127.0.0.1:5432/modelyard"
GUIDES = sorted(
    path for path in HOW_TO.glob("*.md") if path.name not in OWN_SERVER and steps(read(path).blocks)
)


def _follow(path: Path, reader: Reader) -> None:
    walk(read(path).blocks, reader.folder, reader.environ, reader.replaced)


NAMED = re.compile(r"^modelyard (datasets add|train|models import) (\S+)", re.MULTILINE)


def test_pages_that_share_a_server_make_things_of_names_of_their_own() -> None:
    lessons = sorted((ROOT / "docs/tutorial").glob("*.md"))
    made: dict[str, Path] = {}
    for path in [*GUIDES, *lessons]:
        for step in steps(read(path).blocks):
            for name in {found[1] for found in NAMED.findall(step.block.text)}:
                assert made.setdefault(name, path) == path, name


@pytest.mark.slow
def test_the_quick_start(newcomer: Reader) -> None:
    _follow(ROOT / "README.md", newcomer)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    "MODELYARD_TEST_INSTALL" not in os.environ,
    reason="it downloads some 250 MB: 'make quickstart' runs it",
)
def test_the_quick_start_from_a_clone_in_a_new_environment(newcomer: Reader) -> None:
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        copy = newcomer.folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy)
    began = time.monotonic()
    blocks = read(ROOT / "README.md").blocks
    walk(blocks, newcomer.folder, newcomer.environ, newcomer.replaced, install=True, timeout=800)
    assert time.monotonic() - began < FIVE_MINUTES


@pytest.mark.slow
def test_the_tutorial(newcomer: Reader) -> None:
    _follow(ROOT / "docs/tutorial/first-model.md", newcomer)


@pytest.mark.slow
def test_the_tutorial_on_linear_regression(resident: Reader) -> None:
    _follow(ROOT / "docs/tutorial/linear-regression.md", resident)


@pytest.mark.slow
def test_the_lesson_on_texts(resident: Reader) -> None:
    real_models.film_sentences()  # Where the package cannot be had, this says so.
    _follow(ROOT / "docs/tutorial/classify-texts.md", resident)


@pytest.mark.slow
def test_the_lesson_on_pictures(resident: Reader) -> None:
    _follow(ROOT / "docs/tutorial/networks-on-pictures.md", resident)


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


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_guide_to_providers(newcomer: Reader) -> None:
    blocks = read(HOW_TO / "use-a-provider.md").blocks
    # It loads a language model, and starts two servers.
    walk(blocks, newcomer.folder, newcomer.environ, newcomer.replaced, timeout=280)
