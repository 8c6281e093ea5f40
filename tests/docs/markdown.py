"""The little of Markdown that the tests need: fenced blocks, headings, links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(`{3,})(.*)$")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block. `mode` is what follows the language in the info string."""

    page: Path
    line: int
    language: str
    mode: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Page(NamedTuple):
    """What a page holds. `links` are (line, target); `anchors` as GitHub makes them."""

    path: Path
    blocks: list[Block]
    links: list[tuple[int, str]]
    anchors: set[str]


def read(path: Path) -> Page:
    """Raises ValueError for a fence that is never closed."""
    page = Page(path, [], [], set())
    fence, info, start, text = "", "", 0, list[str]()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found = _FENCE.match(line)
        if fence and line.strip() == fence:
            language, _, mode = info.partition(" ")
            page.blocks.append(Block(path, start, language, mode.strip(), "\n".join(text)))
            fence, text = "", []
        elif fence:
            text.append(line)
        elif found:
            fence, info, start = found[1], found[2].strip(), number
        else:
            if heading := _HEADING.match(line):
                page.anchors.add(_anchor(heading[1]))
            page.links.extend((number, target) for target in _LINK.findall(line))
    if fence:
        raise ValueError(f"{path}:{start}: this block is never closed")
    return page


def pages() -> list[Path]:
    """Every page of the repository that readers are shown."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def _anchor(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower().replace(" ", "-")
    return re.sub(r"[^\w-]", "", plain)
