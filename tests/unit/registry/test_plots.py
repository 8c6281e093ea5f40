"""Plots are well-formed pictures of what was measured, whatever the data are called."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from modelyard.core.errors import NotFound
from modelyard.registry.card import Candidate, Card, Confusion
from modelyard.registry.evaluation import (
    Calibration,
    Curve,
    Evaluation,
    Importance,
    Interval,
    Residuals,
    Slice,
)
from modelyard.registry.plots import draw, plots
from modelyard.registry.svg import ticks

NASTY = "</text><script>alert(1)</script>\x00\ud800&\"'"
CARD = Card(
    "classification",
    "svm",
    target=NASTY,
    metric="accuracy",
    metrics={"accuracy": 0.9},
    confusion=Confusion(("no", NASTY), ((8, 1), (0, 6))),
    leaderboard=(Candidate("svm", 0.9, 0.01), Candidate("mlp", None, error="x")),
)
CURVE = Curve(NASTY, (0.0, 0.5, 1.0), (0.0, 0.9, 1.0))
FULL = Evaluation(
    roc=(CURVE, CURVE),
    precision_recall=(CURVE,),
    calibration=Calibration(NASTY, (0.1, 0.9), (0.2, 0.8), (5, 5)),
    residuals=Residuals((1.0, 2.0), (1.5, 1.5), {"0.5": 0.0}),
    slices=(
        Slice(NASTY, NASTY, 3, {"accuracy": 0.5}, Interval(0.3, 0.8)),
        Slice("a", "b", 3, {}),
    ),
    importance=(Importance(NASTY, 0.2, 0.1), Importance("x", -0.01, 0.0)),
)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", plots(CARD, FULL))
def test_a_plot_is_well_formed_and_holds_no_markup_of_the_data(name: str) -> None:
    drawn = draw(name, CARD, FULL)
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    assert root.tag == f"{SVG}svg"
    assert not root.findall(f".//{SVG}script")
    assert {part.tag.removeprefix(SVG) for part in root.iter()} <= {
        "svg", "title", "desc", "style", "rect", "line", "text", "polyline", "circle"
    }  # fmt: skip
    assert "prefers-color-scheme:dark" in drawn
    assert "href" not in drawn
    assert "url(" not in drawn
    drawn.encode()


@pytest.mark.parametrize("name", plots(CARD, FULL))
def test_all_that_is_drawn_lies_on_the_page(name: str) -> None:
    root = ET.fromstring(draw(name, CARD, FULL))  # noqa: S314 - our own
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for part in root.iter():
        for key, most in (
            ("x", width),
            ("x1", width),
            ("cx", width),
            ("y", height),
            ("cy", height),
        ):
            if key in part.attrib:
                assert -0.1 <= float(part.attrib[key]) <= most + 0.1
        for point in part.attrib.get("points", "").split():
            across, down = map(float, point.split(","))
            assert 0 <= across <= width
            assert 0 <= down <= height


def test_only_what_was_measured_can_be_drawn() -> None:
    assert plots(Card("regression", "ridge"), Evaluation()) == ()
    assert plots(CARD, Evaluation()) == ("confusion", "leaderboard")
    with pytest.raises(NotFound, match="no plot 'roc' of this version; there are: confusion,"):
        draw("roc", CARD, Evaluation())
    many = tuple(str(place) for place in range(31))
    wide = Confusion(many, tuple((0,) * 31 for _ in many))
    assert plots(Card("classification", "svm", confusion=wide), Evaluation()) == ()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3, 12, [0, 5, 10]),
        (1e-6, 9e-6, [2e-6, 4e-6, 6e-6, 8e-6]),
        (5, 5, [5]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_are_few_in_any_range() -> None:
    for power in range(-12, 13):
        for factor in (1.0, 1.7, 3.3, 9.9):
            found = ticks(-factor * 10.0**power, 2 * factor * 10.0**power)
            assert 2 <= len(found) <= 8
            assert len({round(b - a, 15 - power) for a, b in pairwise(found)}) >= 1
