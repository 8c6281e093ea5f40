"""The picture: processor time a request, as bars."""

from __future__ import annotations

from html import escape
from typing import Final

from bench.contenders import OURS, SESSION
from bench.results import Results, Row, title
from bench.scenarios import SCENARIOS

LETTERS: Final = ("B", "F")
"""A cheap model and a dear one."""

_WIDTH: Final = 960
_LEFT: Final = 250
_RIGHT: Final = 90
_BAR: Final = 22
_GAP: Final = 8
_HEAD: Final = 64

_STYLE: Final = """
    .head { fill: #1f2328; font-size: 17px; font-weight: 600 }
    .name { fill: #1f2328; font-size: 14px; text-anchor: end }
    .value { fill: #57606a; font-size: 13px }
    .other { fill: #afb8c1 } .ours { fill: #2da44e }
    @media (prefers-color-scheme: dark) {
      .head, .name { fill: #e6edf3 } .value { fill: #9da7b1 }
      .other { fill: #484f58 } .ours { fill: #2ea043 }
    }
  """


def picture(results: Results) -> str:
    """An SVG with a chart for each of LETTERS that was measured."""
    parts, y = [], 8
    for letter in LETTERS:
        rows = [row for row in results.rows if row.scenario == letter and row.server != SESSION]
        if rows:
            chart, y = _chart(letter, sorted(rows, key=lambda row: row.cpu_all), y)
            parts.append(chart)
    it = results.machine
    foot = f"{it.date}, {it.processor}; the server on one core, all its processes counted"
    parts.append(f'<text class="value" x="20" y="{y + 16}">{escape(foot)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 28}" role="img" '
        'aria-labelledby="title" font-family="system-ui, sans-serif">\n'
        f'  <title id="title">Processor time a request, server by server</title>\n'
        f"  <style>{_STYLE}</style>\n  " + "\n  ".join(parts) + "\n</svg>\n"
    )


def _chart(letter: str, rows: list[Row], top: int) -> tuple[str, int]:
    """One group of bars, and where the next one begins."""
    connections = next(each.connections for each in SCENARIOS if each.letter == letter)
    name = title(letter)
    head = f"{name[0].upper()}{name[1:]}, {connections} connections: CPU microseconds a request"
    lines = [f'<text class="head" x="20" y="{top + 28}">{escape(head)}</text>']
    most = rows[-1].cpu_all
    y = top + _HEAD - 16
    for row in rows:
        width = (_WIDTH - _LEFT - _RIGHT) * row.cpu_all / most
        kind = "ours" if row.server == OURS else "other"
        middle = y + _BAR - 6
        lines += [
            f'<text class="name" x="{_LEFT - 10}" y="{middle}">{escape(row.server)}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}"/>',
            f'<text class="value" x="{_LEFT + width + 8:.1f}" y="{middle}">'
            f"{row.cpu_all:,.0f}</text>",
        ]
        y += _BAR + _GAP
    return "\n  ".join(lines), y + 8
