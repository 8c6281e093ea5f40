from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from bench.contenders import BARE, OURS
from bench.publish import publish
from bench.report import print_table
from bench.rounds import Absence
from tests.unit.bench.conftest import Measure

RUNS = (("B", BARE, 100.0, 1000.0), ("B", OURS, 150.0, 900.0))


def test_a_target_that_is_missed_is_printed_as_missed(measure: Measure) -> None:
    said = StringIO()

    print_table(measure(*RUNS), Console(file=said, width=240))

    assert "1.5 (at most 1: NOT MET)" in said.getvalue()


def test_who_has_no_number_is_named_with_the_reason(measure: Measure) -> None:
    absences = [
        Absence("Peer", "B", "predicts [1], not [0]"),
        Absence("Other", "", "does not install: no such release"),
    ]
    said = StringIO()

    print_table(measure(*RUNS, absences=absences), Console(file=said, width=240))

    assert "predicts [1], not [0]" in said.getvalue()
    assert "does not install: no such release" in said.getvalue()


def test_failed_requests_are_told(measure: Measure) -> None:
    said = StringIO()

    print_table(measure(*RUNS, failed=7), Console(file=said, width=240))

    assert "7 requests FAILED" in said.getvalue()


def test_publishing_writes_between_the_markers_and_nowhere_else(
    measure: Measure, tmp_path: Path
) -> None:
    page, drawing = tmp_path / "page.md", tmp_path / "picture.svg"
    page.write_text("# Page\n\n<!-- measured -->\nold\n<!-- end -->\n\nkept\n")

    publish(measure(*RUNS), page, drawing)
    publish(measure(*RUNS), page, drawing)

    text = page.read_text()
    assert text.startswith("# Page\n\n<!-- measured -->\n![")
    assert text.endswith("\n\n<!-- end -->\n\nkept\n")
    assert "old" not in text
    assert text.count("| Modelyard | 150.0 | 160.0 | 1.50 |") == 1
    widths = [
        float(bar.attrib["width"])
        for bar in ElementTree.parse(drawing).iter("{http://www.w3.org/2000/svg}rect")  # noqa: S314
    ]
    assert widths[0] / widths[1] == pytest.approx(110 / 160, rel=1e-3)
