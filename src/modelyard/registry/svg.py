"""Charts as SVG: lines, points, bars and a matrix, readable on a light and on a dark page.

A file of its own each: no script, no font and nothing from elsewhere. Colours follow the reader's
scheme by a media query; the palette is Okabe and Ito's, which the colour-blind can tell apart.
Texts come from data, so every one is escaped, cut, and freed of what XML does not take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

import msgspec

WIDTH: Final = 560
HEIGHT: Final = 400
MAX_LABEL: Final = 28
"""Characters."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 44, 52
_ROW: Final = 26
"""Height of a bar with its gap."""
_TICKS: Final = 5

_STYLE: Final = """
svg{--page:#fff;--ink:#1b1f24;--soft:#59636e;--grid:#d9dee3;--a:#0072b2;--b:#d55e00;--c:#009e73;
--d:#cc79a7;--e:#b8860b;--f:#56b4e9;--g:#7a5195;--h:#8c564b;--i:#6b7280;--j:#b22222;
font:12px system-ui,sans-serif}
@media(prefers-color-scheme:dark){svg{--page:#14181d;--ink:#e6eaee;--soft:#9aa5b1;--grid:#333b44;
--a:#5ab4ff;--b:#ff9a4d;--c:#3fd0a4;--d:#ec9fc8;--e:#f0c94a;--f:#9bd8ff;--g:#c39bd8;--h:#d1a08f;
--i:#aab3bd;--j:#ff7b72}}
.page{fill:var(--page)}text{fill:var(--ink)}.soft{fill:var(--soft)}.title{font-size:15px;font-weight:600}
.grid{stroke:var(--grid)}.axis{stroke:var(--soft)}.ideal{stroke:var(--soft);stroke-dasharray:4 4}
.line{fill:none;stroke-width:2}.whisker{stroke:var(--ink);stroke-width:1.5}
"""
_COLOURS: Final = "abcdefghij"


class Series(msgspec.Struct, frozen=True):
    """Points of one line, in order."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


class Bar(msgspec.Struct, frozen=True):
    """One value, and where it may lie."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


class Frame(msgspec.Struct, frozen=True):
    """Words around a chart of two axes. `about` is for those who cannot see it."""

    title: str
    about: str
    x: str
    y: str


Range = tuple[float, float]


def lines(
    frame: Frame,
    series: Sequence[Series],
    x: Range,
    y: Range,
    ideal: tuple[Range, Range] | None = None,
    *,
    marked: bool = False,
) -> str:
    """Lines over both axes. `ideal` is a dashed line from one point to another; `marked` lines
    have a dot at each point.
    """
    parts = _axes(frame, x, y)
    if ideal is not None:
        (x1, y1), (x2, y2) = ideal
        ends = f'x1="{_x(x1, x)}" y1="{_y(y1, y)}" x2="{_x(x2, x)}" y2="{_y(y2, y)}"'
        parts.append(f'<line class="ideal" {ends}/>')
    for place, one in enumerate(series):
        colour = _COLOURS[place % len(_COLOURS)]
        points = [(_x(at, x), _y(value, y)) for at, value in zip(one.x, one.y, strict=True)]
        path = " ".join(f"{across},{down}" for across, down in points)
        parts.append(f'<polyline class="line" stroke="var(--{colour})" points="{path}"/>')
        if marked:
            parts += [_dot(*point, colour, 3.5) for point in points]
    if len(series) > 1:
        parts += _legend([one.label for one in series])
    return _document(frame.title, frame.about, WIDTH, HEIGHT, parts)


def scatter(
    frame: Frame, points: Sequence[Range], x: Range, y: Range, ideal: tuple[Range, Range]
) -> str:
    """Dots over both axes, with a dashed line where they would ideally be."""
    parts = _axes(frame, x, y)
    (x1, y1), (x2, y2) = ideal
    ends = f'x1="{_x(x1, x)}" y1="{_y(y1, y)}" x2="{_x(x2, x)}" y2="{_y(y2, y)}"'
    parts.append(f'<line class="ideal" {ends}/>')
    parts += [_dot(_x(across, x), _y(up, y), "a", 2.5, 0.55) for across, up in points]
    return _document(frame.title, frame.about, WIDTH, HEIGHT, parts)


def bars(title: str, about: str, rows: Sequence[Bar]) -> str:
    """Bars from left to right, one below the other; from zero, whichever side a value is on."""
    ends = [0.0]
    for one in rows:
        ends += [end for end in (one.value, one.low, one.high) if end is not None]
    across = _widened(min(ends), max(ends))
    left = 200
    height = _TOP + _ROW * len(rows) + _BOTTOM - 16

    def at(value: float) -> float:
        return _between(value, across, left, WIDTH - 76)

    parts = []
    for tick in ticks(*across):
        x = at(tick)
        parts.append(f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{height - 36}"/>')
        parts.append(_text(x, height - 20, _number(tick), "middle", "soft"))
    for place, one in enumerate(rows):
        middle = _TOP + _ROW * place + _ROW / 2
        start, end = sorted((at(0.0), at(one.value)))
        parts.append(_text(left - 8, middle + 4, one.label, "end"))
        parts.append(
            f'<rect x="{start}" y="{middle - 8}" width="{max(1.0, round(end - start, 1))}" '
            'height="16" rx="2" fill="var(--a)"/>'
        )
        furthest = end
        if one.low is not None and one.high is not None:
            low, furthest = at(one.low), max(end, at(one.high))
            ends_at = f'x1="{low}" y1="{middle}" x2="{at(one.high)}" y2="{middle}"'
            parts.append(f'<line class="whisker" {ends_at}/>')
        parts.append(_text(furthest + 6, middle + 4, _number(one.value), "start", "soft"))
    return _document(title, about, WIDTH, height, parts)


def matrix(frame: Frame, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Counts in a grid, each row shaded by its share of the row's sum."""
    left, top, size = 130, 84, len(labels)
    cell = max(14.0, min(64.0, 400 / size))
    told = cell >= 24
    parts = [
        _text(left + cell * size / 2, 62, frame.x, "middle", "soft"),
        _turned(16, top + cell * size / 2, frame.y),
    ]
    for row, label in enumerate(labels):
        down = top + cell * row
        parts.append(_text(left - 6, down + cell / 2 + 4, _cut(label, 14), "end"))
        total = sum(counts[row]) or 1
        for column, count in enumerate(counts[row]):
            across, share = left + cell * column, count / total
            box = f'x="{across:.1f}" y="{down:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}"'
            parts.append(f'<rect {box} fill="var(--a)" fill-opacity="{0.06 + 0.8 * share:.2f}"/>')
            if told and count:
                parts.append(_text(across + cell / 2, down + cell / 2 + 4, str(count), "middle"))
    if told:
        parts += [
            _text(left + cell * (place + 0.5), 78, _cut(label, max(3, int(cell / 7))), "middle")
            for place, label in enumerate(labels)
        ]
    edge = left + cell * size + 20
    return _document(frame.title, frame.about, max(360, edge), top + cell * size + 16, parts)


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers between two: 1, 2 or 5 times a power of ten apart."""
    if not low < high:
        return [low]
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * part for part in (1, 2, 5, 10) if power * part >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def _widened(low: float, high: float) -> Range:
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def around(values: Sequence[float]) -> Range:
    """A range with some room on both sides."""
    low, high = _widened(min(values), max(values))
    room = (high - low) * 0.04
    return low - room, high + room


def _axes(frame: Frame, x: Range, y: Range) -> list[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for tick in ticks(*x):
        at = _x(tick, x)
        parts.append(f'<line class="grid" x1="{at}" y1="{_TOP}" x2="{at}" y2="{bottom}"/>')
        parts.append(_text(at, bottom + 18, _number(tick), "middle", "soft"))
    for tick in ticks(*y):
        at = _y(tick, y)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{at}" x2="{right}" y2="{at}"/>')
        parts.append(_text(_LEFT - 8, at + 4, _number(tick), "end", "soft"))
    parts.append(f'<line class="axis" x1="{_LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}"/>')
    parts.append(f'<line class="axis" x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{bottom}"/>')
    parts.append(_text((_LEFT + right) / 2, HEIGHT - 12, frame.x, "middle"))
    parts.append(_turned(16, (_TOP + bottom) / 2, frame.y))
    return parts


def _legend(labels: Sequence[str]) -> list[str]:
    """In the lower right, where curves worth looking at are not."""
    parts, top = [], HEIGHT - _BOTTOM - 16 * len(labels) - 6
    for place, label in enumerate(labels):
        y, colour = top + 16 * place, _COLOURS[place % len(_COLOURS)]
        parts.append(
            f'<rect x="{WIDTH - 184}" y="{y}" width="12" height="4" fill="var(--{colour})"/>'
        )
        parts.append(_text(WIDTH - 166, y + 7, _cut(label, 22), "start"))
    return parts


def _document(title: str, about: str, width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="t d">',
            f'<title id="t">{_safe(title)}</title><desc id="d">{_safe(about)}</desc>',
            f"<style>{_STYLE}</style>",
            f'<rect class="page" width="{width:g}" height="{height:g}" rx="6"/>',
            _text(16, 26, _cut(title, 70), "start", "title"),
            *parts,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, said: str, anchor: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    said = said if kind == "title" else _cut(said, MAX_LABEL)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{_safe(said)}</text>'


def _turned(x: float, y: float, said: str) -> str:
    place = f'transform="translate({x:.1f} {y:.1f}) rotate(-90)"'
    return f'<text {place} text-anchor="middle">{_safe(_cut(said, 48))}</text>'


def _dot(x: float, y: float, colour: str, radius: float, opacity: float = 1.0) -> str:
    faint = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="var(--{colour})"{faint}/>'


def _x(value: float, x: Range) -> float:
    return _between(value, x, _LEFT, WIDTH - _RIGHT)


def _y(value: float, y: Range) -> float:
    return _between(value, y, HEIGHT - _BOTTOM, _TOP)


def _between(value: float, span: Range, start: float, end: float) -> float:
    return round(start + (value - span[0]) / (span[1] - span[0]) * (end - start), 1)


def _number(value: float) -> str:
    return f"{0.0 if abs(value) < 1e-12 else value:.4g}"


def _cut(said: str, most: int) -> str:
    return said if len(said) <= most else said[: most - 1] + "…"


def _safe(said: str) -> str:
    """No character that XML 1.0 does not take; markup as text."""
    kept = "".join(
        one
        if one in "\t\n" or " " <= one <= "\ud7ff" or "\ue000" <= one <= "\ufffd" or one > "\uffff"
        else "\ufffd"
        for one in said
    )
    return escape(kept, {'"': "&quot;"})
