from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from rich.padding import Padding

from modelyard.cli.display import table

JOB = "job_01a204ba0c8c7aaba067ba7e59dd1ac5"
AT = "2026-11-22 19:27:11"
PROSE = "evaluating on the held-out rows and on what else there is"
ROWS = [(JOB, 3, AT, PROSE), (JOB, None, AT, "")]


def _drawn(width: int) -> list[str]:
    out = StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False)
    console.print(table(("JOB", "N", "CREATED", "MESSAGE"), ROWS))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_table_that_fits_has_a_line_for_each_row() -> None:
    head, first, second = _drawn(140)
    assert head.split() == ["JOB", "N", "CREATED", "MESSAGE"]
    assert first == f"{JOB}  3  {AT}  {PROSE}"
    assert second == f"{JOB}  -  {AT}"


def test_a_table_is_no_wider_than_it_needs_to_be() -> None:
    out = StringIO()
    console = Console(file=out, width=100, markup=False, highlight=False)
    console.print(Padding(table(("A", "B"), [("one", 2)]), (0, 0, 0, 3), expand=False))
    assert out.getvalue().splitlines() == ["   A    B", "   one  2"]


def test_prose_alone_goes_over_several_lines() -> None:
    lines = _drawn(100)
    assert lines[1].startswith(f"{JOB}  3  {AT}  evaluating on the")
    assert " ".join(line.split(AT)[-1].strip() for line in lines[1:-1]) == PROSE


def test_a_text_without_spaces_is_prose_in_scripts_that_set_none() -> None:
    out = StringIO()
    console = Console(file=out, width=60, markup=False, highlight=False)
    console.print(table(("N", "TEXT"), [(1, "这家酒店的服务非常好" * 5)]))
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert lines[0].split() == ["N", "TEXT"]
    assert "".join(lines[1:]).replace(" ", "") == "1" + "这家酒店的服务非常好" * 5


@pytest.mark.parametrize("width", [60, 48])
def test_a_narrow_terminal_gets_a_few_lines_for_each_row(width: int) -> None:
    lines = _drawn(width)
    assert lines[0] == f"job      {JOB}"
    assert lines[1:3] == ["n        3", f"created  {AT}"]
    assert lines[-3:] == ["", f"job      {JOB}", f"created  {AT}"]
    assert max(map(len, lines)) <= width
