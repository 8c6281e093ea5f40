"""Every example is either run or says that it is not; every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import walk
from tests.docs.markdown import ROOT, Block, pages, read

PAGES = pages()
LESSONS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs/tutorial").glob("*.md")),
    *sorted((ROOT / "docs/how-to").glob("*.md")),
]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", LESSONS, ids=_name)
def test_every_example_says_whether_it_runs(path: Path) -> None:
    known = walk.RUN | walk.SHOWN
    unmarked = [
        block.place
        for block in read(path).blocks
        if block.language in ("sh", "bash", "shell", "console", "python", "")
        and (block.language, block.mode) not in known
    ]
    assert unmarked == []


@pytest.mark.parametrize("path", LESSONS, ids=_name)
def test_every_promised_output_follows_what_prints_it(path: Path) -> None:
    blocks = read(path).blocks
    promised = [step.promised for step in walk.steps(blocks)]
    loose = [b.place for b in blocks if (b.language, b.mode) == walk.OUTPUT and b not in promised]
    assert loose == []


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for line, target in read(path).links:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists():
            broken.append(f"{_name(path)}:{line}: {target}: there is no such file")
        elif anchor and anchor not in read(there).anchors:
            broken.append(f"{_name(path)}:{line}: {target}: there is no such heading")
    assert broken == []


@pytest.mark.parametrize(
    "path", [p for p in PAGES if p.is_relative_to(ROOT / "docs") and p.stem != "index"], ids=_name
)
def test_every_page_is_in_the_index_of_its_folder(path: Path) -> None:
    listed = {target for _, target in read(path.parent / "index.md").links}
    assert path.name in listed


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_pages_have_one_title(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    code = {n for b in read(path).blocks for n in range(b.line, b.line + b.text.count("\n") + 3)}
    titles = [n for n, line in enumerate(lines, 1) if line.startswith("# ") and n not in code]
    assert titles == [1]


def test_an_output_that_was_not_printed_is_noticed() -> None:
    promised = Block(ROOT / "README.md", 1, "text", "output", "a   b\n… of 2 rows\n")
    walk.compare(promised, "x\na b\nsome of 2 rows\n")
    with pytest.raises(AssertionError, match=r"README.md:1: not printed: … of 2 rows"):
        walk.compare(promised, "some of 2 rows\na b\n")
    with pytest.raises(AssertionError, match="not printed: a   b"):
        walk.compare(promised, "a b c\nmore of 2 rows\n")


def test_a_command_that_fails_is_named_with_its_line(tmp_path: Path) -> None:
    page = ROOT / "README.md"
    blocks = [
        Block(page, 3, "sh", "run", "WORD=kept"),
        Block(page, 7, "sh", "run", 'echo "$WORD"; false'),
        Block(page, 9, "sh", "run", "echo never"),
    ]
    with pytest.raises(AssertionError, match=r"README.md:7: ended with code 1:(.|\n)*kept"):
        walk.walk(blocks, tmp_path / "walk", {}, {})


def test_variables_and_replacements_carry_through_a_page(tmp_path: Path) -> None:
    page = ROOT / "README.md"
    blocks = [
        Block(page, 1, "sh", "run", "export PORT=8000"),
        Block(page, 2, "python", "run", 'import os\nprint("port", os.environ["PORT"])'),
        Block(page, 3, "text", "output", "port 1234"),
    ]
    walk.walk(blocks, tmp_path / "walk", {}, {"8000": "1234"})
