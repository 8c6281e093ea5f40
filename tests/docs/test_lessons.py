"""The README and the lessons, done as they say, against a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest

from tests import real_models
from tests.docs.conftest import Reader
from tests.docs.markdown import ROOT, read
from tests.docs.walk import walk

FIVE_MINUTES = 300


@pytest.mark.slow
def test_the_quick_start(newcomer: Reader) -> None:
    newcomer.follow(ROOT / "README.md")


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
    newcomer.follow(ROOT / "docs/tutorial/first-model.md")


@pytest.mark.slow
def test_the_tutorial_on_linear_regression(resident: Reader) -> None:
    resident.follow(ROOT / "docs/tutorial/linear-regression.md")


@pytest.mark.slow
def test_the_lesson_on_texts(resident: Reader) -> None:
    real_models.film_sentences()  # Where the package cannot be had, this says so.
    resident.follow(ROOT / "docs/tutorial/classify-texts.md")


@pytest.mark.slow
def test_the_lesson_on_pictures(resident: Reader) -> None:
    resident.follow(ROOT / "docs/tutorial/networks-on-pictures.md")
